//! Distributed noise: every node adds a share, and what is in the sum protects each of them from whoever reads it.
//!
//! The mechanism is that of Kairouz, Liu and Steinke, "The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure
//! Aggregation" (ICML 2021): clip in L2, round to integers within a bound, add a discrete Gaussian of σ steps to each. No server can be sure that a
//! node did so, so nodes that may work with it count as if they had added nothing, and so does everybody who need not be in the sum:
//! the guarantee stands on the shares of the m honest nodes that are in every sum which may be opened.
//!
//! A node's own share protects it as well: neighbouring sums differ in what it learned, not in whether it took part.

use serde::Serialize;
use zeroize::Zeroizing;

use super::{Grid, NormBound, PREAMBLE};
use crate::error::{Code, Error, Result};
use crate::privacy::noise::{DiscreteGaussian, Drbg, GREATEST_SCALE};
use crate::secagg::parameters::LOG2_ACCEPTED;
use crate::secagg::parameters::modulus::gaussian_tail;
use crate::secagg::residues::Residues;
use crate::tensor::cast::BLOCK;

/// e^(−1/2), as in the paper: a rounding stays within its bound with probability 0.39 at least, and is drawn again until it does.
pub const ROUNDING_BETA: f64 = 0.606_530_659_712_633_4;
/// Of one share, in steps. The sum of discrete Gaussians is no discrete Gaussian; from 4 steps on they differ by less than n·e^−155. A share far
/// below one step is 0 nearly always, whatever σ says.
const LEAST_SHARE: f64 = 4.0;
/// Shares are multiples of 2^-10 steps: their text is short, and every language reads the same number.
const SHARE_PARTS: f64 = 1024.0;
/// What the evaluation of a closed form may have lost to rounding.
const SLACK: f64 = 1e-12;

/// What the noise of so many honest nodes amounts to, for whoever accounts for it. In steps of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Noise {
    pub parties: u64,
    /// σ of one node's share.
    pub local_sigma: f64,
    pub dimension: u64,
    /// L1 and L2 sensitivity of the rounded integers.
    pub l1: f64,
    pub l2: f64,
    /// √parties · σ ÷ l2, rounded down.
    pub noise_multiplier: f64,
}

impl Grid {
    /// Elements of all tensors.
    pub(super) fn dimension(&self) -> u64 {
        self.tensors.iter().map(|range| range.spec.elements()).sum()
    }

    /// [`Code::SecaggParameters`] where noise would promise nothing: without an L2 clip, with several ranges or weights, with a metric in
    /// the same sum, or for what is no float.
    pub(super) fn with_noise(self, sigma: Option<f64>) -> Result<Self> {
        let Some(sigma) = sigma else { return Ok(self) };
        let refuse = |why: &str| Error::new(Code::SecaggParameters, why).with("noise-sigma", sigma);
        self.bound()?;
        if !(sigma.is_finite() && sigma > 0.0 && sigma <= GREATEST_SCALE) {
            return Err(refuse("the σ of noise is above 0, and at most 2^52 steps"));
        }
        if sigma < LEAST_SHARE {
            return Err(refuse(
                "a share of less than 4 steps is no noise worth its σ: more value-bits make finer steps",
            ));
        }
        if !self.metrics.is_empty() {
            return Err(refuse("a sum with noise holds no metrics: they would have none"));
        }
        if let Some(range) = self.tensors.iter().find(|range| !range.spec.dtype().is_float()) {
            return Err(refuse("a tensor that is not of floats has no noise").with("tensor", range.spec.name()));
        }
        Ok(Self { noise: Some(sigma), ..self })
    }

    /// The least σ of one node's share, in steps, with which `honest` of them make noise of `multiplier` times a node's sensitivity.
    /// [`Code::SecaggParameters`] below 4 steps: more value-bits make finer ones.
    pub fn noise_share(&self, multiplier: f64, honest: u64) -> Result<f64> {
        let NormBound { squared, .. } = self.bound()?;
        let needed = multiplier * squared.sqrt() / (honest as f64).sqrt() * (1.0 + 4.0 * SLACK);
        let share = (needed * SHARE_PARTS).ceil() / SHARE_PARTS;
        if honest > 0 && share.is_finite() && (LEAST_SHARE..=GREATEST_SCALE).contains(&share) {
            return Ok(share);
        }
        Err(Error::new(Code::SecaggParameters, "no share of noise fits this grid: it has from 4 to 2^52 steps")
            .with("share", share)
            .with("noise-multiplier", multiplier)
            .with("honest", honest))
    }

    /// What the shares of `honest` nodes amount to. [`Code::SecaggParameters`] for a grid without noise, or without anybody.
    pub fn noise(&self, honest: u64) -> Result<Noise> {
        let none =
            || Error::new(Code::SecaggParameters, "there is no noise that protects anybody").with("honest", honest);
        let local_sigma = self.noise.filter(|_| honest > 0).ok_or_else(none)?;
        let NormBound { squared, l1, .. } = self.bound()?;
        let (l2, total) = (squared.sqrt(), (honest as f64).sqrt() * local_sigma);
        let noise_multiplier = total / l2 * (1.0 - SLACK);
        Ok(Noise { parties: honest, local_sigma, dimension: self.dimension(), l1, l2, noise_multiplier })
    }

    /// What the noise of so many nodes exceeds nowhere in their sum but with probability 2^-40; 0 without noise.
    pub(super) fn noise_tail(&self, nodes: u64) -> Result<u64> {
        let Some(sigma) = self.noise else { return Ok(0) };
        // sub-Gaussian with variance proxy σ² each, so with nσ² together
        gaussian_tail((nodes as f64).sqrt() * sigma, self.dimension(), LOG2_ACCEPTED)
    }

    /// This node's share, drawn from the core's own generator. Whoever knew it could take it away: no copy of it stays.
    pub(super) fn add_noise(&self, vector: &mut Residues, drbg: &mut Drbg) -> Result<()> {
        let Some(sigma) = self.noise else { return Ok(()) };
        let gaussian = DiscreteGaussian::new(sigma)?;
        let mut drawn = Zeroizing::new([0i64; BLOCK]);
        let first = PREAMBLE + self.metrics.len();
        for start in (first..vector.len()).step_by(BLOCK) {
            let drawn = &mut drawn[..(vector.len() - start).min(BLOCK)];
            gaussian.fill(drbg, drawn);
            vector.add_signed(start, drawn);
        }
        Ok(())
    }

    fn bound(&self) -> Result<NormBound> {
        self.norm_bound(self.weight_max, ROUNDING_BETA)
    }
}

#[cfg(test)]
mod tests;
