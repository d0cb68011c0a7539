//! What an update is, and whether it may be folded: names, shapes, types, sizes, finite values, bounded norm.
//!
//! An update is read from its parts block by block ([`read`]) and measured on the way ([`measure`]).

mod measure;
mod read;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

pub use measure::Measure;
pub(crate) use read::JoinedReader;
pub use read::TensorReader;

use crate::error::{Code, Error, Result};
use crate::tensor::cast::{self, BLOCK};
use crate::tensor::{DType, TensorSpec};

/// Where parts are read from: the intake log, or memory in tests.
pub trait Parts {
    type Reader: PartRead;

    /// [`Code::PartUnknown`] if there is none of that id.
    fn part(&self, id: &str) -> Result<Self::Reader>;

    /// Distinguishes this source from every other one in the process, if its parts can never change. What was verified under
    /// an identity stays verified.
    fn identity(&self) -> Option<u64> {
        None
    }
}

pub trait PartRead {
    fn length(&self) -> u64;
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> Result<()>;
}

#[derive(Clone, Debug)]
pub struct PartSlice {
    pub part: String,
    pub offset: u64,
    pub length: u64,
}

/// The slices, joined, are one complete `.npy` file.
#[derive(Clone, Debug)]
pub struct TensorSource {
    pub name: String,
    pub slices: Vec<PartSlice>,
    /// What two-byte records (`V2`) hold, for readers that have no spec to tell them.
    pub dtype: Option<DType>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Largest L2 norm over all elements of all tensors.
    pub max_norm: Option<f64>,
}

/// What validation learned. `norm` is the L2 norm, `largest` the greatest magnitude, over all elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateFacts {
    pub norm: f64,
    pub elements: u64,
    pub largest: f64,
}

/// Validates a whole update against `specs`; names may come in any order. Reads every byte, changes nothing.
pub fn validate(
    parts: &impl Parts,
    specs: &[TensorSpec],
    sources: &[TensorSource],
    limits: Limits,
) -> Result<UpdateFacts> {
    if limits.max_norm.is_some_and(|limit| limit.is_nan() || limit < 0.0) {
        return Err(Error::new(Code::Argument, "a norm bound is a number from 0 up"));
    }
    let mut measure = Measure::default();
    for (spec, source) in match_names(specs, sources)? {
        let mut tensor = TensorReader::open_as(parts, source, spec)?;
        tensor
            .each_block(|_, bytes| {
                let mut values = [0.0; BLOCK];
                let values = &mut values[..bytes.len() / spec.dtype().size()];
                check_bools(spec.dtype(), bytes)?;
                cast::decode(spec.dtype(), bytes, values);
                measure.add(values)
            })
            .map_err(|error| error.with("tensor", spec.name()))?;
    }
    let facts = measure.facts();
    match limits.max_norm {
        Some(limit) if facts.norm > limit => {
            Err(Error::new(Code::NormExceeded, "the update is longer than the norm bound allows")
                .with("norm", facts.norm)
                .with("limit", limit))
        }
        _ => Ok(facts),
    }
}

/// The facts of values in memory, block by block as [`validate`] measures them.
#[cfg(test)]
pub(crate) fn measured(values: &[f64]) -> Result<UpdateFacts> {
    let mut measure = Measure::default();
    values.chunks(BLOCK).try_for_each(|block| measure.add(block))?;
    Ok(measure.facts())
}

/// Pairs every spec with its source, in the order of the specs.
pub fn match_names<'a>(
    specs: &'a [TensorSpec],
    sources: &'a [TensorSource],
) -> Result<Vec<(&'a TensorSpec, &'a TensorSource)>> {
    let mut by_name = HashMap::with_capacity(sources.len());
    for source in sources {
        if by_name.insert(source.name.as_str(), source).is_some() {
            return Err(Error::new(Code::TensorDuplicate, "a tensor comes twice").with("tensor", &source.name));
        }
    }
    let known: HashSet<_> = specs.iter().map(TensorSpec::name).collect();
    if let Some(extra) = sources.iter().find(|source| !known.contains(source.name.as_str())) {
        return Err(Error::new(Code::TensorUnexpected, "the model has no such tensor").with("tensor", &extra.name));
    }
    specs
        .iter()
        .map(|spec| match by_name.get(spec.name()) {
            Some(source) => Ok((spec, *source)),
            None => {
                Err(Error::new(Code::TensorMissing, "a tensor of the model is missing").with("tensor", spec.name()))
            }
        })
        .collect()
}

/// A bool is a byte 0 or 1, as numpy writes it. Others are refused rather than normalised: they would make two files of one
/// array, and the same model would have two identities.
pub fn check_bools(dtype: DType, bytes: &[u8]) -> Result<()> {
    if dtype == DType::Bool && bytes.iter().any(|&byte| byte > 1) {
        return Err(Error::new(Code::NpyMalformed, "not a valid npy file").with("reason", "a bool other than 0 and 1"));
    }
    Ok(())
}
