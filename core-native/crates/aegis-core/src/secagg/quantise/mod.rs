//! Updates as integers: what a node puts under its mask, and what the sum means once it is open.
//!
//! A masked vector is, in this order:
//!
//! | elements | what each node puts there | what the sum says |
//! |---|---|---|
//! | [`SENTINELS`] | 1 | the number of nodes; anything else means that masks did not cancel |
//! | 1 | its weight w, 1 … weight-max | the total weight W |
//! | one a metric | w · metric on the metric's range | the weighted mean |
//! | the tensors, in order, C order | w · x/clip · half-range, rounded; x is the value, or its difference from the start | the weighted mean of x |
//!
//! half-range = 2^(value-bits − 1) − 1. Rounding is stochastic and unbiased: E[rounded] is the value. Where a plan asks for noise, each node adds
//! its share of it to the tensors after rounding ([`noise`]).

mod bounded;
mod grid;
mod noise;
mod opened;

use serde::{Deserialize, Serialize};

pub use bounded::{NormBound, norm_bound};
pub use grid::{Grid, GridOptions, MetricRange, TensorRange};
pub use noise::{Noise, ROUNDING_BETA};
pub use opened::OpenedSum;

use super::residues::Residues;
use crate::error::{Code, Error, Result};
use crate::privacy::noise::Drbg;
use crate::tensor::cast::{self, BLOCK};
use crate::tensor::difference;

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
    /// The same of what the update started from: then the differences are what counts, clips and all. Without it, the values themselves.
    pub start: Option<&'a [&'a [u8]]>,
    pub metrics: &'a [f64],
    /// 1 … weight-max of the grid: see [`Grid::weight_of`].
    pub weight: u64,
}

impl Grid {
    /// The vector to be masked; of a grid with noise rounded bounded, whatever is asked for, and with this node's share of the noise in it.
    /// [`Code::ValueNotFinite`] for NaN and infinities, [`Code::NpySizeMismatch`] for a tensor of another size,
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
        let shrink = self.shrink(input)?;
        let bound = match (rounding, self.noise) {
            (Rounding::Unbiased, None) => None,
            (Rounding::Bounded { beta }, None) => Some(self.norm_bound(input.weight, beta)?),
            (_, Some(_)) => Some(self.norm_bound(input.weight, ROUNDING_BETA)?),
        };
        for _ in 0..ATTEMPTS {
            let squares = self.round_tensors(&mut vector, input, shrink, drbg)?;
            if bound.is_none_or(|bound| squares <= bound.squared as u128) {
                self.add_noise(&mut vector, drbg)?;
                return Ok(vector);
            }
        }
        Err(Error::new(Code::NormExceeded, "no rounding within the bound was found").with("attempts", ATTEMPTS))
    }

    /// The sum of squares of what was put, exactly: a guarantee counts with it.
    fn round_tensors(&self, vector: &mut Residues, input: &Contribution, shrink: f64, drbg: &mut Drbg) -> Result<u128> {
        let mut rounded = [0i64; BLOCK];
        let (mut at, mut squares) = (PREAMBLE + self.metrics.len(), 0u128);
        let limit = (input.weight * self.half_range()) as f64;
        self.each_block(input, |range, values| {
            let scale = limit / range.clip * shrink;
            for (out, value) in rounded.iter_mut().zip(values) {
                *out = round((value * scale).clamp(-limit, limit), drbg);
                squares += u128::from(out.unsigned_abs()).pow(2);
            }
            vector.put(at, &rounded[..values.len()]);
            at += values.len();
            Ok(())
        })?;
        Ok(squares)
    }

    /// What the whole update is multiplied by to be no longer than the L2 clip, after each element is clipped on its own.
    fn shrink(&self, input: &Contribution) -> Result<f64> {
        let mut squares = 0.0;
        self.each_block(input, |range, values| {
            if values.iter().any(|value| !value.is_finite()) {
                return Err(
                    Error::new(Code::ValueNotFinite, "a value is NaN or infinite").with("tensor", range.spec.name())
                );
            }
            squares += values.iter().map(|value| value.clamp(-range.clip, range.clip).powi(2)).sum::<f64>();
            Ok(())
        })?;
        Ok(self.norm_clip.map_or(1.0, |clip| (clip / squares.sqrt()).min(1.0)))
    }

    /// The values that count, in order, a block of each tensor at a time.
    fn each_block(&self, input: &Contribution, mut take: impl FnMut(&TensorRange, &[f64]) -> Result<()>) -> Result<()> {
        let mut values = [0.0; BLOCK];
        for (index, (range, bytes)) in self.tensors.iter().zip(input.tensors).enumerate() {
            let dtype = range.spec.dtype();
            for (position, block) in bytes.chunks(BLOCK * dtype.size()).enumerate() {
                let values = &mut values[..block.len() / dtype.size()];
                match input.start {
                    None => cast::decode(dtype, block, values),
                    Some(start) => {
                        let before = &start[index][position * BLOCK * dtype.size()..][..block.len()];
                        difference::subtract(dtype, block, before, values);
                    }
                }
                take(range, values)?;
            }
        }
        Ok(())
    }

    fn check_input(&self, input: &Contribution) -> Result<()> {
        if !(1..=self.weight_max).contains(&input.weight) {
            return Err(Error::new(Code::WeightInvalid, "a weight is from 1 to weight-max")
                .with("weight", input.weight)
                .with("weight-max", self.weight_max));
        }
        let counts_differ = |tensors: &[&[u8]]| tensors.len() != self.tensors.len();
        if counts_differ(input.tensors)
            || input.start.is_some_and(counts_differ)
            || input.metrics.len() != self.metrics.len()
        {
            return Err(Error::new(Code::TensorMissing, "the update has other tensors or metrics than the plan")
                .with("tensors", input.tensors.len())
                .with("metrics", input.metrics.len()));
        }
        let all = [Some(input.tensors), input.start];
        let sizes = all.into_iter().flatten().flat_map(|tensors| self.tensors.iter().zip(tensors));
        for (range, bytes) in sizes {
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
mod start_tests;
#[cfg(test)]
mod tests;
