//! How long a rounded vector may be, for guarantees that count with integers.

use serde::Serialize;

use super::Grid;
use crate::error::{Code, Error, Result};

/// In steps of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NormBound {
    /// Of the clipped update before rounding.
    pub norm: f64,
    /// The square of the L2 sensitivity after rounding.
    pub squared: f64,
    /// The L1 sensitivity after rounding.
    pub l1: f64,
}

/// Kairouz, Liu and Steinke, "The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure Aggregation" (ICML 2021),
/// section 4: with a vector of norm c in d dimensions, stochastic rounding stays within
/// Δ₂² = min((c + √d)², c² + d/4 + √(2 ln 1/β)·(c + √d/2)) with probability 1 − β at least; Δ₁ ≤ Δ₂·min(√d, Δ₂).
pub fn norm_bound(norm: f64, dimensions: u64, beta: f64) -> Result<NormBound> {
    if !(norm > 0.0 && norm.is_finite() && beta > 0.0 && beta < 1.0) {
        return Err(Error::new(Code::SecaggParameters, "a norm is above 0, and β between 0 and 1")
            .with("norm", norm)
            .with("beta", beta));
    }
    let root = (dimensions as f64).sqrt();
    let sure = (norm + root).powi(2);
    let likely = norm.powi(2) + root.powi(2) / 4.0 + (2.0 * (1.0 / beta).ln()).sqrt() * (norm + root / 2.0);
    let squared = sure.min(likely);
    Ok(NormBound { norm, squared, l1: squared.sqrt() * root.min(squared.sqrt()) })
}

impl Grid {
    /// The bound of this grid's updates. [`Code::SecaggParameters`] unless there is an L2 clip, one clip for all tensors and weight 1: a
    /// guarantee needs one step size.
    pub fn norm_bound(&self, weight: u64, beta: f64) -> Result<NormBound> {
        let refuse = |why: &str| Error::new(Code::SecaggParameters, why);
        let norm = self.norm_clip.ok_or_else(|| refuse("a bounded rounding needs an L2 clip"))?;
        let clip = self.tensors.first().map(|range| range.clip).ok_or_else(|| refuse("there is nothing to round"))?;
        if weight != 1 || self.weight_max != 1 || self.tensors.iter().any(|range| range.clip != clip) {
            return Err(refuse("a bounded rounding needs weights of 1 and one clip for all tensors"));
        }
        norm_bound(norm / clip * self.half_range() as f64, self.dimension(), beta)
    }
}
