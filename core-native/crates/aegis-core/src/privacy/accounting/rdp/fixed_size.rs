//! The Gaussian mechanism on a sample of fixed size, drawn without replacement, between data sets that differ by replacing one unit.
//!
//! An upper bound for whole orders (Wang, Balle, Kasiviswanathan 1808.00087, theorem 27):
//! A(α) ≤ 1 + Σ_{j=2}^{α} C(α,j) γ^j · m(j) with m(j) = min(2e^{j(j−1)/2σ²}, 4√(B(2⌊j/2⌋)·B(2⌈j/2⌉))), B(l) = E_Q[(P/Q − 1)^l]; σ is relative to
//! the sensitivity under replacement, which is twice the clip.

use super::chord;
use crate::privacy::accounting::special::{LN_SQRT_2PI, LogSum, ln_1p_exp, ln_expm1};

/// Upper bound of ln A(α) for sampling rate 0 < γ < 1.
pub fn ln_moment(rate: f64, sigma: f64, alpha: f64) -> f64 {
    if alpha.fract() != 0.0 {
        return chord(alpha, |whole| ln_moment(rate, sigma, whole));
    }
    let precision = 1.0 / (sigma * sigma);
    // m(2) = min(2e^{1/σ²}, 4(e^{1/σ²} − 1)), which is 4·B(2)
    let mut crossed = 0;
    let (mut even, mut ln_choose) = (f64::NAN, alpha.ln() + rate.ln());
    let mut sum = LogSum::EMPTY;
    let mut j = 2.0;
    while j <= alpha {
        ln_choose += ((alpha - j + 1.0) / j).ln() + rate.ln();
        let plain = 2f64.ln() + 0.5 * j * (j - 1.0) * precision;
        let mut ln_bound = plain;
        // Once the plain bound has won at a few orders in a row it wins at all later ones: B(l) tends to e^{l(l−1)/2σ²}.
        if crossed < 4 {
            let central = if j == 2.0 {
                even = ln_expm1(precision);
                even
            } else if j % 2.0 == 0.0 {
                even
            } else {
                let next = ln_central_moment(sigma, j + 1.0);
                let mean = 0.5 * (even + next);
                even = next;
                mean
            };
            ln_bound = plain.min(4f64.ln() + central);
            crossed = if ln_bound == plain { crossed + 1 } else { 0 };
        }
        sum.add(ln_choose + ln_bound);
        j += 1.0;
    }
    ln_1p_exp(sum.ln() + 1e-11)
}

/// ln E[(e^{(2z−1)/2σ²} − 1)^l] for even l and z ~ N(0, σ²), by the trapezoidal rule: all terms are positive.
fn ln_central_moment(sigma: f64, l: f64) -> f64 {
    let precision = 1.0 / (sigma * sigma);
    let step = (sigma / 8.0).min(sigma * sigma / 4.0);
    let from = -12.0 * sigma;
    let nodes = ((l + 24.0 * sigma) / step).ceil().min(200_000.0) as usize;
    let mut sum = LogSum::EMPTY;
    for index in 0..=nodes {
        let z = from + index as f64 * step;
        let loss = (z - 0.5) * precision;
        let ln = if loss > 40.0 { loss } else { loss.exp_m1().abs().ln() };
        sum.add(l * ln - 0.5 * z * z * precision);
    }
    sum.ln() + (step / sigma).ln() - LN_SQRT_2PI
}
