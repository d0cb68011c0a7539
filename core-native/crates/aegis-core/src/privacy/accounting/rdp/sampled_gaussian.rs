//! The Gaussian mechanism on a Poisson sample: Rényi divergence of (1−q)·N(0,σ²) + q·N(1,σ²) from N(0,σ²).
//!
//! As [`poisson`] says, with r = e^((2z−1)/2σ²) for z ~ N(0,σ²), so that E[r^k] = e^{k(k−1)/2σ²} (Mironov, Talwar, Zhang 1908.10530, where it is
//! also proved that this direction is the larger one). Real orders go by the trapezoidal rule, which converges exponentially here.

use super::{chord, poisson};
use crate::privacy::accounting::special::{LN_SQRT_2PI, LogSum, ln_1p_exp};

/// Where the rule for real orders would need more nodes than this, they are bounded from their whole neighbours.
const MOST_NODES: f64 = 20_000.0;

/// What rounding may have taken from A − 1, as a factor.
const UP: f64 = 1.0 + 4e-13;

/// ln A(α) for 0 < q < 1, σ > 0, α > 1. Never below the exact value.
pub fn ln_moment(q: f64, sigma: f64, alpha: f64) -> f64 {
    let ln_excess = if alpha.fract() == 0.0 {
        let half_precision = 0.5 / (sigma * sigma);
        poisson::ln_excess(q, alpha, |k| k * (k - 1.0) * half_precision)
    } else if (alpha + 20.0 * sigma) / step_of(sigma) > MOST_NODES {
        return chord(alpha, |whole| ln_moment(q, sigma, whole));
    } else {
        real_order(q, sigma, alpha)
    };
    ln_1p_exp(ln_excess + UP.ln()) * (1.0 + 1e-15)
}

/// ln(A − 1) by the trapezoidal rule.
///
/// The integrand is analytic for |Im z| < πσ² and its Gaussian factor has width σ: the steps below put the error of the rule under 1e-15.
fn real_order(q: f64, sigma: f64, alpha: f64) -> f64 {
    let (precision, order) = (1.0 / (sigma * sigma), alpha - 1.0);
    let step = step_of(sigma);
    let from = -10.0 * sigma;
    let nodes = ((alpha + 20.0 * sigma) / step).ceil() as usize;
    let mut sum = LogSum::EMPTY;
    for index in 0..=nodes {
        let z = from + index as f64 * step;
        let loss = (z - 0.5) * precision;
        sum.add(poisson::ln_term(q, loss, order) - 0.5 * z * z * precision);
    }
    sum.ln() + (step / sigma).ln() - LN_SQRT_2PI
}

fn step_of(sigma: f64) -> f64 {
    (sigma / 6.0).min(sigma * sigma / 4.0)
}
