//! Central privacy: the sum of clipped updates on a grid of integers, and noise on it, once.
//!
//! Per update Δ = update − start model; NaN and infinity are refused; Δ is clipped in L2 over all float tensors together and put on a grid of whole
//! steps (see [`crate::privacy::clip`]: the norm in steps is proved to be within the bound); the steps are added up exactly. The end adds exact
//! discrete Gaussian noise of σ = z · bound, in steps, divides by a **fixed** denominator — a count of those who answered would tell who did — and adds
//! the start model. Taking one update away, or putting one in, moves the sum by at most the bound: the Gaussian mechanism with noise
//! multiplier z under add-or-remove-one and zero-out, z / 2 under replace-one.
//!
//! **Order.** Integers commute, so the sum depends on the multiset of updates only, to the bit, and a sum that is formed again after a crash is the same.
//!
//! **Once.** The noised model is a sealed file that appears whole or not at all. While it exists nothing draws noise for that path again:
//! two noises on one sum would average out. The same holds for the sum of bits beside it, which is made durable before the model.
//!
//! **Other tensors.** Integers and booleans are not noised. An update that leaves them as the start model has them is taken and they are
//! kept; one that changes them is refused by the tensor's name ([`Code::TensorNotNoised`]): passing them on would release them unprotected.

#[cfg(test)]
mod audit;
mod finish;
mod start;
#[cfg(test)]
pub(in crate::privacy) mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use finish::{Bits, Finish, Noised};
use start::Start;

use crate::error::{Code, Error, Result};
use crate::model::ModelReader;
use crate::privacy::clip::{Bound, Scale, broken_bound};
use crate::tensor::cast::{self, BLOCK};
use crate::tensor::{FortranWalk, TensorSpec};
use crate::update::{Measure, Parts, TensorReader, TensorSource, match_names};

/// Most updates of one sum: with at most 2^40 steps each it stays far inside an i64.
const CAPACITY: u64 = (1 << 19) - 1;
/// Weights beyond are no longer exact counts.
const MAX_WEIGHT: f64 = 9_007_199_254_740_992.0;

pub struct PrivateFold {
    start: Vec<Start>,
    bound: Bound,
    /// Weights are clipped to it, and counted as parts of it.
    weight_max: f64,
    state: Mutex<State>,
}

struct State {
    /// Steps, for every float tensor; nothing for the others.
    sums: Vec<Vec<i64>>,
    count: u64,
    /// An update broke off between its first tensor and its last.
    broken: bool,
}

/// What became of one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Added {
    /// The norm before clipping. It is not private: it stays on this side.
    pub norm: f64,
    pub clipped: bool,
    /// The weight that was used.
    pub weight: f64,
}

impl PrivateFold {
    /// An empty sum around a start model, whose bytes it keeps in memory besides 8 bytes for every element.
    ///
    /// `clip` is the L2 bound of one update; `weight_max` the greatest weight one update may have. [`Code::Argument`] for numbers that
    /// make no sense.
    pub fn open(model: &ModelReader, clip: f64, weight_max: f64) -> Result<Self> {
        if !(weight_max > 0.0 && weight_max <= MAX_WEIGHT) {
            return Err(
                Error::new(Code::Argument, "the greatest weight is above 0 and at most 2^53").with("got", weight_max)
            );
        }
        let bound = Bound::fine(clip)?;
        let start = model.info().tensors.iter().map(|tensor| Start::read(model, tensor)).collect::<Result<Vec<_>>>()?;
        let sums = start.iter().map(Start::zeros).collect::<Result<_>>()?;
        Ok(Self { start, bound, weight_max, state: Mutex::new(State { sums, count: 0, broken: false }) })
    }

    /// Adds an update, clipped, times min(weight, greatest) / greatest. A failed add changes nothing, except as said at
    /// [`crate::fold::Fold::add`].
    ///
    /// [`Code::ValueNotFinite`], [`Code::TensorNotNoised`], those of [`match_names`] and [`TensorReader::open_as`], [`Code::WeightInvalid`],
    /// [`Code::TooManyUpdates`] beyond 2^19 − 1.
    pub fn add(&self, parts: &impl Parts, sources: &[TensorSource], weight: f64) -> Result<Added> {
        if !(weight > 0.0 && weight <= MAX_WEIGHT) {
            return Err(Error::new(Code::WeightInvalid, "a weight is above 0 and at most 2^53").with("weight", weight));
        }
        let weight = weight.min(self.weight_max);
        let specs: Vec<TensorSpec> = self.start.iter().map(|start| start.spec.clone()).collect();
        let sources: Vec<_> = match_names(&specs, sources)?.into_iter().map(|(_, source)| source).collect();
        let mut measure = Measure::default();
        for (start, source) in self.start.iter().zip(&sources) {
            each_difference(start, parts, source, |_, values| measure.add(values))?;
        }
        let facts = measure.facts();
        let scale = self.bound.scale(&facts, weight / self.weight_max)?;

        let mut state = self.state();
        state.refuse_if_broken()?;
        if state.count >= CAPACITY {
            return Err(
                Error::new(Code::TooManyUpdates, "a fold takes at most 2^19 - 1 updates").with("limit", CAPACITY)
            );
        }
        state.broken = true; // until the last tensor is in
        let mut squares = 0u128;
        for (position, (start, source)) in self.start.iter().zip(&sources).enumerate() {
            let sums = &mut state.sums[position];
            let added = add_steps(start, parts, source, scale, sums)?;
            squares = squares.saturating_add(added);
        }
        if !self.bound.holds(squares) {
            return Err(broken_bound());
        }
        state.broken = false;
        state.count += 1;
        Ok(Added { norm: facts.norm, clipped: scale.clipped, weight })
    }

    /// Updates added so far.
    pub fn count(&self) -> u64 {
        self.state().count
    }

    /// A panic while adding leaves `broken` set, which every caller asks first.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refuse_if_broken(&self) -> Result<()> {
        if self.broken {
            return Err(Error::new(Code::Io, "an earlier update broke off half-way; fold anew from the log"));
        }
        Ok(())
    }
}

fn add_steps(start: &Start, parts: &impl Parts, source: &TensorSource, scale: Scale, sums: &mut [i64]) -> Result<u128> {
    let mut steps = [0; BLOCK];
    let mut squares = 0u128;
    each_difference(start, parts, source, |places, values| {
        let steps = &mut steps[..values.len()];
        squares = squares.saturating_add(scale.to_steps(values, steps));
        places.each(values.len(), |at, place| sums[place] += steps[at]);
        Ok(())
    })?;
    Ok(squares)
}

/// Where the elements of a block belong, in C order.
enum Places<'a> {
    From(usize),
    These(&'a [usize]),
}

impl Places<'_> {
    #[inline(always)]
    fn each(&self, count: usize, mut take: impl FnMut(usize, usize)) {
        match self {
            Places::From(first) => (0..count).for_each(|at| take(at, first + at)),
            Places::These(places) => places[..count].iter().enumerate().for_each(|(at, &place)| take(at, place)),
        }
    }
}

/// Calls `take` with the differences of an update's tensor from the start model's, block by block; of a tensor that is not noised, never, but
/// checks that there is none.
fn each_difference(
    start: &Start,
    parts: &impl Parts,
    source: &TensorSource,
    mut take: impl FnMut(Places<'_>, &[f64]) -> Result<()>,
) -> Result<()> {
    let spec = &start.spec;
    let mut tensor = TensorReader::open_as(parts, source, spec)?;
    let scattered = tensor.header.fortran_order && spec.shape().iter().filter(|&&axis| axis > 1).count() > 1;
    let mut walk = scattered.then(|| FortranWalk::new(spec.shape()));
    let mut scattered_places = [0; BLOCK];
    let mut values = [0.0; BLOCK];
    tensor
        .each_block(|first, bytes| {
            let count = bytes.len() / spec.dtype().size();
            let places = match &mut walk {
                None => Places::From(first as usize),
                Some(walk) => {
                    scattered_places[..count].iter_mut().zip(walk).for_each(|(place, at)| *place = at as usize);
                    Places::These(&scattered_places)
                }
            };
            if !spec.dtype().is_float() {
                return start.require_kept(&places, bytes);
            }
            let values = &mut values[..count];
            cast::decode(spec.dtype(), bytes, values);
            start.subtract_from(values, &places);
            take(places, values)
        })
        .map_err(|error| error.with("tensor", spec.name()))
}
