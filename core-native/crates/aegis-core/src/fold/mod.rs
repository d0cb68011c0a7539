//! The weighted mean of updates, folded one at a time, in memory that does not grow with their number.
//!
//! The result depends on the multiset of (update, weight) pairs only, to the bit: see [`digits`]. A restarted server that
//! folds the same log in another order gets the same model.

pub mod digits;
mod kernels;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use crate::error::{Code, Error, Result};
use crate::hash::Sha256;
use crate::model::{ModelInfo, ModelWriter};
use crate::seal::DataKey;
use crate::tensor::cast::{self, BLOCK};
use crate::tensor::{DType, FortranWalk, TensorSpec};
use crate::update::{Limits, Parts, TensorReader, TensorSource, UpdateFacts, match_names, validate};
use digits::{CAPACITY, Sums};

/// Most parameters of one model: 2^33, whose sums take 128 GiB.
const MAX_PARAMETERS: u64 = 1 << 33;
/// Weights beyond 2^53 are no longer exact counts.
const MAX_WEIGHT: f64 = 9_007_199_254_740_992.0;
/// Verified updates remembered, so that `check` then `add` reads an update twice, not three times.
const REMEMBERED: usize = 1024;

pub struct Fold {
    specs: Vec<TensorSpec>,
    sums: Vec<Mutex<Sums>>,
    /// Adding takes it shared (their order is irrelevant), writing the mean takes it alone.
    gate: RwLock<()>,
    tally: Mutex<Tally>,
    /// Set while sums are incomplete: an update broke off between validation and its last tensor.
    broken: AtomicBool,
    verified: Mutex<VecDeque<([u8; 32], UpdateFacts)>>,
}

struct Tally {
    count: u64,
    /// Slots taken by adds under way.
    reserved: u64,
    /// The same digits as the parameters', so that the total is order-independent too; integer weights sum exactly.
    weight: Sums,
}

impl Fold {
    /// Sums for the model's tensors, in this order: 16 bytes a parameter.
    pub fn new(specs: Vec<TensorSpec>) -> Result<Self> {
        let too_large = || Error::new(Code::TensorTooLarge, "the sums of this model do not fit into memory");
        let mut names: Vec<_> = specs.iter().map(TensorSpec::name).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::new(Code::TensorDuplicate, "the model has a tensor twice").with("tensor", pair[0]));
        }
        let parameters = specs.iter().try_fold(0u64, |sum, spec| sum.checked_add(spec.elements()));
        if parameters.is_none_or(|parameters| parameters > MAX_PARAMETERS) {
            return Err(too_large().with("limit", MAX_PARAMETERS));
        }
        let sums = specs
            .iter()
            .map(|spec| Sums::new(spec.elements() as usize).map(Mutex::new))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(too_large)?;
        let weight = Sums::new(1).ok_or_else(too_large)?;
        Ok(Self {
            specs,
            sums,
            gate: RwLock::new(()),
            tally: Mutex::new(Tally { count: 0, reserved: 0, weight }),
            broken: AtomicBool::new(false),
            verified: Mutex::new(VecDeque::new()),
        })
    }

    /// Validates an update and adds nothing. See [`validate`].
    pub fn check(&self, parts: &impl Parts, sources: &[TensorSource], limits: Limits) -> Result<UpdateFacts> {
        let fingerprint = fingerprint(parts, sources);
        let facts = validate(parts, &self.specs, sources, limits)?;
        if let Some(fingerprint) = fingerprint {
            let mut verified = lock(&self.verified);
            verified.push_front((fingerprint, facts));
            verified.truncate(REMEMBERED);
        }
        Ok(facts)
    }

    /// Adds `weight` times the update. A failed add changes nothing.
    ///
    /// One failure cannot be undone: bytes that were verified a moment ago become unreadable between the first tensor
    /// and the last (a dying disk). The fold then refuses everything further, with the error's own code, and its result can
    /// never be written; the round folds anew from its log.
    ///
    /// [`Code::WeightInvalid`] unless 0 < weight ≤ 2^53; [`Code::TooManyUpdates`] beyond 2^19 − 1 updates.
    pub fn add(&self, parts: &impl Parts, sources: &[TensorSource], weight: f64) -> Result<()> {
        if !(weight > 0.0 && weight <= MAX_WEIGHT) {
            return Err(Error::new(Code::WeightInvalid, "a weight is above 0 and at most 2^53").with("weight", weight));
        }
        let known = fingerprint(parts, sources).and_then(|wanted| {
            lock(&self.verified).iter().find(|(fingerprint, _)| *fingerprint == wanted).map(|(_, facts)| *facts)
        });
        let facts = match known {
            Some(facts) => facts,
            None => validate(parts, &self.specs, sources, Limits::default())?,
        };
        if !(facts.largest * weight).is_finite() {
            return Err(Error::new(Code::ValueNotFinite, "a weighted value is beyond f64's range"));
        }
        let _shared = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.refuse_if_broken()?;
        let slot = self.reserve()?;
        let breaking = BreakUnlessDone { broken: &self.broken, done: false };
        for (position, (spec, source)) in match_names(&self.specs, sources)?.into_iter().enumerate() {
            let tensor = TensorReader::open_as(parts, source, spec)?;
            add_tensor(&mut lock(&self.sums[position]), tensor, spec.dtype(), weight)
                .map_err(|error| error.with("tensor", spec.name()))?;
        }
        breaking.disarm();
        slot.take(weight);
        Ok(())
    }

    /// Updates added so far.
    pub fn count(&self) -> u64 {
        lock(&self.tally).count
    }

    /// Their weights, added up independently of their order.
    pub fn total_weight(&self) -> f64 {
        lock(&self.tally).total_weight()
    }

    /// The weighted mean, each tensor in its own dtype and C order, as a sealed model file.
    ///
    /// Floats round to nearest even, integers half to even (saturating), bool is true from 0.5 up. A sum of zero is +0.
    /// [`Code::NothingFolded`] if no update was added.
    pub fn write_model(&self, path: &Path, key: &DataKey) -> Result<ModelInfo> {
        let _alone = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.refuse_if_broken()?;
        let total = {
            let tally = lock(&self.tally);
            if tally.count == 0 {
                return Err(Error::new(Code::NothingFolded, "no update was folded, so there is no mean"));
            }
            tally.total_weight()
        };
        let mut writer = ModelWriter::create(path, key)?;
        let mut values = [0.0; BLOCK];
        let mut bytes = Vec::with_capacity(BLOCK * 8);
        for (spec, sums) in self.specs.iter().zip(&self.sums) {
            let sums = lock(sums);
            writer.begin(spec.name(), spec.dtype(), spec.shape())?;
            let elements = spec.elements() as usize;
            for block in 0..elements.div_ceil(BLOCK) {
                let values = &mut values[..(elements - block * BLOCK).min(BLOCK)];
                sums.quotients(block, total, values);
                bytes.clear();
                cast::encode(spec.dtype(), values, &mut bytes);
                writer.payload(&bytes)?;
            }
        }
        writer.finish()
    }

    fn refuse_if_broken(&self) -> Result<()> {
        if self.broken.load(Ordering::Acquire) {
            return Err(Error::new(Code::Io, "an earlier update broke off half-way; fold anew from the log"));
        }
        Ok(())
    }

    fn reserve(&self) -> Result<Slot<'_>> {
        let mut tally = lock(&self.tally);
        if tally.count + tally.reserved >= CAPACITY {
            return Err(Error::new(Code::TooManyUpdates, "the fold is full").with("limit", CAPACITY));
        }
        tally.reserved += 1;
        Ok(Slot(&self.tally))
    }
}

impl Tally {
    fn total_weight(&self) -> f64 {
        let mut out = [0.0];
        self.weight.quotients(0, 1.0, &mut out);
        out[0]
    }
}

fn add_tensor<P: Parts>(sums: &mut Sums, mut tensor: TensorReader<'_, P>, dtype: DType, weight: f64) -> Result<()> {
    // One axis longer than 1 has one order; numpy marks some such arrays Fortran all the same.
    let scattered = tensor.header.fortran_order && tensor.header.shape.iter().filter(|&&axis| axis > 1).count() > 1;
    let mut walk = scattered.then(|| FortranWalk::new(&tensor.header.shape));
    let mut values = [0.0; BLOCK];
    tensor.each_block(|first, bytes| {
        if dtype == DType::F32 && walk.is_none() {
            sums.add_f32_block(first as usize / BLOCK, bytes, weight);
            return Ok(());
        }
        let values = &mut values[..bytes.len() / dtype.size()];
        cast::decode(dtype, bytes, values);
        values.iter_mut().for_each(|value| *value *= weight);
        match &mut walk {
            None => sums.add_block(first as usize / BLOCK, values),
            // Order does not matter to the sums, so a Fortran array is transposed by adding each element where it belongs.
            Some(walk) => values.iter().zip(walk).for_each(|(&value, at)| sums.add_one(at as usize, value)),
        }
        Ok(())
    })
}

/// What was read, exactly: the source of the parts and every slice of every tensor.
fn fingerprint(parts: &impl Parts, sources: &[TensorSource]) -> Option<[u8; 32]> {
    let mut hash = Sha256::default();
    hash.update(&parts.identity()?.to_le_bytes());
    for source in sources {
        hash.field(source.name.as_bytes());
        hash.update(&(source.slices.len() as u64).to_le_bytes());
        for slice in &source.slices {
            hash.field(slice.part.as_bytes());
            hash.update(&slice.offset.to_le_bytes());
            hash.update(&slice.length.to_le_bytes());
        }
    }
    Some(hash.finish())
}

/// A place among the updates the fold can take; given back on drop, or turned into a counted update.
struct Slot<'a>(&'a Mutex<Tally>);

impl Slot<'_> {
    fn take(self, weight: f64) {
        let mut tally = lock(self.0);
        tally.count += 1;
        tally.weight.add_one(0, weight);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        lock(self.0).reserved -= 1;
    }
}

/// Marks the fold broken if folding ends early, by an error or a panic.
struct BreakUnlessDone<'a> {
    broken: &'a AtomicBool,
    done: bool,
}

impl BreakUnlessDone<'_> {
    fn disarm(mut self) {
        self.done = true;
    }
}

impl Drop for BreakUnlessDone<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.broken.store(true, Ordering::Release);
        }
    }
}

/// A poisoned lock is taken all the same: a panic while folding is recorded in `broken`, which every caller asks first.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
