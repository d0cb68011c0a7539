//! The Skellam mechanism on integers: the difference of two Poisson variables, variance μ per coordinate.

use super::chord;

/// (α−1)·R(α) with R(α) ≤ αΔ₂²/2μ + min(((2α−1)Δ₂² + 6Δ₁)/4μ², 3Δ₁/2μ) for whole α (Agarwal, Kairouz, Liu 2110.04995, corollary
/// 3.6). Δ₁ and Δ₂ are the sensitivities of the rounded integers.
pub fn ln_moment(variance: f64, l1: f64, l2: f64, alpha: f64) -> f64 {
    if alpha.fract() != 0.0 {
        return chord(alpha, |whole| ln_moment(variance, l1, l2, whole));
    }
    let square = l2 * l2;
    let first = ((2.0 * alpha - 1.0) * square + 6.0 * l1) / (4.0 * variance * variance);
    (alpha - 1.0) * (alpha * square / (2.0 * variance) + first.min(3.0 * l1 / (2.0 * variance)))
}
