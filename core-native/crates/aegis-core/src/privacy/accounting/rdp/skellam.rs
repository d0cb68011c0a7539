//! The Skellam mechanism on integers: the difference of two Poisson variables, variance μ per coordinate.

use super::{chord, poisson};
use crate::privacy::accounting::special::{ln_1p_exp, ln_expm1};

/// Variance per coordinate and sensitivities of the rounded integers, under the relation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Skellam {
    pub variance: f64,
    pub l1: f64,
    pub l2: f64,
}

/// What rounding may have taken from a sum, as a factor.
const UP: f64 = 1.0 + 4e-13;

impl Skellam {
    /// (α−1)·R(α) with R(α) ≤ αΔ₂²/2μ + min(((2α−1)Δ₂² + 6Δ₁)/4μ², 3Δ₁/2μ) for whole α (Agarwal, Kairouz, Liu 2110.04995,
    /// corollary 3.6).
    pub fn ln_moment(&self, alpha: f64) -> f64 {
        if alpha.fract() != 0.0 {
            return chord(alpha, |whole| self.ln_moment(whole));
        }
        let Self { variance, l1, l2 } = *self;
        let square = l2 * l2;
        let first = ((2.0 * alpha - 1.0) * square + 6.0 * l1) / (4.0 * variance * variance);
        (alpha - 1.0) * (alpha * square / (2.0 * variance) + first.min(3.0 * l1 / (2.0 * variance)))
    }

    /// The same on a Poisson sample of rate 0 < q < 1: the series of [`poisson`] over the bounds above, each of which is one of a moment.
    pub fn poisson_ln_moment(&self, q: f64, alpha: f64) -> f64 {
        if alpha.fract() != 0.0 {
            return chord(alpha, |whole| self.poisson_ln_moment(q, whole));
        }
        ln_1p_exp(poisson::ln_excess(q, alpha, |k| self.ln_moment(k)) + UP.ln())
    }

    /// The same on a sample of fixed size, a part 0 < q < 1 of all, between data sets that differ by replacing one unit: A − 1 is at most 2(2−q)
    /// times that of the Poisson sample (docs/privacy-events.md, "Samples"), and at most q times that without sampling (A is jointly convex).
    pub fn fixed_size_ln_moment(&self, q: f64, alpha: f64) -> f64 {
        if alpha.fract() != 0.0 {
            return chord(alpha, |whole| self.fixed_size_ln_moment(q, whole));
        }
        let amplified = poisson::ln_excess(q, alpha, |k| self.ln_moment(k)) + (2.0 * (2.0 - q)).ln();
        let convex = ln_expm1(self.ln_moment(alpha)) + q.ln();
        ln_1p_exp(amplified.min(convex) + UP.ln())
    }
}
