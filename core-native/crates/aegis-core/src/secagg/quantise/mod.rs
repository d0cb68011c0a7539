//! Updates as integers: what a node puts under its mask, and what the sum means once it is open.
//!
//! A masked vector is, in this order:
//!
//! | elements | what each node puts there | what the sum says |
//! |---|---|---|
//! | [`SENTINELS`] | 1 | the number of nodes; anything else means that masks did not cancel |
//! | 1 | its weight w, 1 … weight-max | the total weight W |
//! | one a metric | w · metric on the metric's range | the weighted mean |
//! | the tensors, in order, C order | w · x/clip · half-range, rounded | the weighted mean |
//!
//! half-range = 2^(value-bits − 1) − 1. Rounding is stochastic and unbiased: E[rounded] is the value.

mod bounded;
mod grid;
mod opened;

use serde::{Deserialize, Serialize};

pub use bounded::{NormBound, norm_bound};
pub use grid::{Grid, GridOptions, MetricRange, TensorRange};
pub use opened::OpenedSum;

use super::residues::Residues;
use crate::error::{Code, Error, Result};
use crate::privacy::noise::Drbg;
use crate::tensor::cast::{self, BLOCK};

/// Slots that must sum to the number of survivors: with 4 of b bits a sum whose masks did not cancel passes with 2^-4b.
pub const SENTINELS: usize = 4;
/// Before metrics and tensors: the sentinels and the weight.
pub const PREAMBLE: usize = SENTINELS + 1;
/// Rounding attempts before a bounded rounding gives up; each succeeds with probability 1 − β at least.
const ATTEMPTS: usize = 100;

/// How values become integers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    Unbiased,
    /// Drawn again until the rounded vector is no longer than the bound that the privacy guarantee counts with. Needs weights of 1, an L2
    /// clip and one clip for all tensors.
    Bounded {
        beta: f64,
    },
}

/// One node's contribution: little-endian elements of each tensor of the grid in its own dtype and C order, and each metric.
pub struct Contribution<'a> {
    pub tensors: &'a [&'a [u8]],
    pub metrics: &'a [f64],
    /// 1 … weight-max of the grid: see [`Grid::weight_of`].
    pub weight: u64,
}

impl Grid {
    /// The vector to be masked. [`Code::ValueNotFinite`] for NaN and infinities, [`Code::NpySizeMismatch`] for a tensor of another size,
    /// [`Code::WeightInvalid`] for a weight outside its range.
    pub fn quantise(&self, bits: u32, input: &Contribution, rounding: Rounding, drbg: &mut Drbg) -> Result<Residues> {
        self.check_input(input)?;
        let mut vector = Residues::new(bits, self.length())?;
        let weight = input.weight as i64;
        vector.put(0, &[1; SENTINELS]);
        vector.put(SENTINELS, &[weight]);
        for (slot, (range, &metric)) in self.metrics.iter().zip(input.metrics).enumerate() {
            let scaled = range.unit_of(metric) * (input.weight * self.half_range()) as f64;
            vector.put(PREAMBLE + slot, &[round(scaled, drbg)]);
        }
        let shrink = self.shrink(input.tensors)?;
        let bound = match rounding {
            Rounding::Unbiased => None,
            Rounding::Bounded { beta } => Some(self.norm_bound(input.weight, beta)?),
        };
        for _ in 0..ATTEMPTS {
            let squares = self.round_tensors(&mut vector, input, shrink, drbg);
            if bound.is_none_or(|bound| squares <= bound.squared) {
                return Ok(vector);
            }
        }
        Err(Error::new(Code::NormExceeded, "no rounding within the bound was found").with("attempts", ATTEMPTS))
    }

    /// The sum of squares of what was put.
    fn round_tensors(&self, vector: &mut Residues, input: &Contribution, shrink: f64, drbg: &mut Drbg) -> f64 {
        let (mut values, mut rounded) = ([0.0; BLOCK], [0i64; BLOCK]);
        let (mut at, mut squares) = (PREAMBLE + self.metrics.len(), 0.0);
        for (range, bytes) in self.tensors.iter().zip(input.tensors) {
            let scale = (input.weight * self.half_range()) as f64 / range.clip * shrink;
            let limit = (input.weight * self.half_range()) as f64;
            for block in bytes.chunks(BLOCK * range.spec.dtype().size()) {
                let values = &mut values[..block.len() / range.spec.dtype().size()];
                cast::decode(range.spec.dtype(), block, values);
                for (out, value) in rounded.iter_mut().zip(&*values) {
                    *out = round((value * scale).clamp(-limit, limit), drbg);
                    squares += (*out as f64).powi(2);
                }
                vector.put(at, &rounded[..values.len()]);
                at += values.len();
            }
        }
        squares
    }

    /// What the whole update is multiplied by to be no longer than the L2 clip, after each element is clipped on its own.
    fn shrink(&self, tensors: &[&[u8]]) -> Result<f64> {
        let (mut values, mut squares) = ([0.0; BLOCK], 0.0);
        for (range, bytes) in self.tensors.iter().zip(tensors) {
            for block in bytes.chunks(BLOCK * range.spec.dtype().size()) {
                let values = &mut values[..block.len() / range.spec.dtype().size()];
                cast::decode(range.spec.dtype(), block, values);
                if values.iter().any(|value| !value.is_finite()) {
                    return Err(Error::new(Code::ValueNotFinite, "a value is NaN or infinite")
                        .with("tensor", range.spec.name()));
                }
                squares += values.iter().map(|value| value.clamp(-range.clip, range.clip).powi(2)).sum::<f64>();
            }
        }
        Ok(self.norm_clip.map_or(1.0, |clip| (clip / squares.sqrt()).min(1.0)))
    }

    fn check_input(&self, input: &Contribution) -> Result<()> {
        if !(1..=self.weight_max).contains(&input.weight) {
            return Err(Error::new(Code::WeightInvalid, "a weight is from 1 to weight-max")
                .with("weight", input.weight)
                .with("weight-max", self.weight_max));
        }
        if input.tensors.len() != self.tensors.len() || input.metrics.len() != self.metrics.len() {
            return Err(Error::new(Code::TensorMissing, "the update has other tensors or metrics than the plan")
                .with("tensors", input.tensors.len())
                .with("metrics", input.metrics.len()));
        }
        for (range, bytes) in self.tensors.iter().zip(input.tensors) {
            let expected = range.spec.elements() * range.spec.dtype().size() as u64;
            if bytes.len() as u64 != expected {
                return Err(Error::new(Code::NpySizeMismatch, "a tensor has another size than the plan's")
                    .with("tensor", range.spec.name())
                    .with("expected", expected)
                    .with("got", bytes.len()));
            }
        }
        match self.metrics.iter().zip(input.metrics).find(|(_, metric)| !metric.is_finite()) {
            Some((range, _)) => {
                Err(Error::new(Code::ValueNotFinite, "a metric is NaN or infinite").with("metric", &range.name))
            }
            None => Ok(()),
        }
    }
}

/// Up with the probability of the fraction, else down: unbiased.
fn round(value: f64, drbg: &mut Drbg) -> i64 {
    let down = value.floor();
    let fraction = (drbg.word() >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
    down as i64 + i64::from(fraction < value - down)
}

#[cfg(test)]
mod tests;
