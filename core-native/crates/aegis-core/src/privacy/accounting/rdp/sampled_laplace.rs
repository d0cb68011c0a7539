//! Laplace noise of scale b on a sample, in units of the L1 sensitivity under the relation.
//!
//! One coordinate moved by all of that sensitivity is the worst case: what any other shift of a vector does to a test, it does in steps of one
//! coordinate, and for log-concave noise such steps cost what the same distance costs in one (docs/privacy-events.md, "Samples").
//!
//! Under P₀ the loss x = ln P₁/P₀ has an atom of ½ at −1/b, one of ½e^{−1/b} at 1/b, and the density ¼e^{−x/2−1/2b} between them.

use std::f64::consts::LN_2;

use super::{chord, laplace, poisson};
use crate::privacy::accounting::quadrature::panel;
use crate::privacy::accounting::special::{LogSum, ln_1p_exp, ln_expm1, ln_mixture};

/// Where real orders would need more panels than this, they are bounded from their whole neighbours.
const MOST_PANELS: f64 = 4_000.0;

/// What quadrature and rounding may have taken from A − 1, as a factor.
const UP: f64 = 1.0 + 1e-12;

/// ln A(α) on a Poisson sample of rate 0 < q < 1, for α > 1, as [`poisson`] says. Never below the exact value.
pub fn poisson_ln_moment(q: f64, b: f64, alpha: f64) -> f64 {
    if let Some(largest) = all_at_the_top(q, b, alpha) {
        return largest;
    }
    let ln_excess = if alpha.fract() == 0.0 {
        poisson::ln_excess(q, alpha, |k| laplace::ln_moment(b, k))
    } else if panels(q, b, -1.0 / b, alpha) > MOST_PANELS {
        return chord(alpha, |whole| poisson_ln_moment(q, b, whole));
    } else {
        let mut sum = LogSum::EMPTY;
        let term = |loss: f64| poisson::ln_term(q, loss, alpha - 1.0);
        sum.add(term(-1.0 / b) - LN_2);
        integrate(q, b, -1.0 / b, alpha, term, &mut sum);
        sum.ln()
    };
    ln_1p_exp(ln_excess + UP.ln()) * (1.0 + 1e-15)
}

/// Upper bound of ln A(α) on a sample of fixed size, a part 0 < q < 1 of all, between data sets that differ by replacing one unit.
///
/// δ(ln(1 + q(e^ε − 1))) is at most q times the δ(ε) of the mechanism without sampling (by Balle, Barthe, Gaboardi 1807.01647, theorem 2), which is
/// the δ of the Poisson mixture against P₀. So the symmetric pair whose losses above 0 are those of that mixture dominates, and
/// A − 1 = E_{P₀}[(a^{α−1} − 1)(a − a^{1−α}); a > 1] for a = 1 − q + qe^x.
pub fn fixed_size_ln_moment(q: f64, b: f64, alpha: f64) -> f64 {
    if let Some(largest) = all_at_the_top(q, b, alpha) {
        return largest;
    }
    let ln_excess = if panels(q, b, 0.0, alpha) <= MOST_PANELS {
        let mut sum = LogSum::EMPTY;
        let term = |loss: f64| {
            let ln_a = ln_mixture(q, loss);
            ln_expm1((alpha - 1.0) * ln_a) + ln_expm1(alpha * ln_a) - (alpha - 1.0) * ln_a
        };
        integrate(q, b, 0.0, alpha, term, &mut sum);
        sum.ln()
    } else if alpha.fract() == 0.0 {
        // at every loss above 0 it is at most twice what the Poisson sample has there; and A is jointly convex
        let twice = LN_2 + poisson::ln_excess(q, alpha, |k| laplace::ln_moment(b, k));
        twice.min(q.ln() + ln_expm1(laplace::ln_moment(b, alpha)))
    } else {
        return chord(alpha, |whole| fixed_size_ln_moment(q, b, whole));
    };
    ln_1p_exp(ln_excess + UP.ln()) * (1.0 + 1e-15)
}

/// Where the part of A above the atom at the top is less than this of ln A, the largest loss stands for all.
const NEAR_THE_TOP: f64 = 1e-5;

/// The largest loss l bounds ln A(α) by (α−1)l. The atom alone has αl − ln 2 − 1/b, so at large orders that is all there is to know, and no series of
/// millions of terms is asked.
fn all_at_the_top(q: f64, b: f64, alpha: f64) -> Option<f64> {
    let (largest, unknown) = (ln_mixture(q, 1.0 / b), LN_2 + 1.0 / b);
    let bound = || ((alpha - 1.0) * largest).min(laplace::ln_moment(b, alpha)) * (1.0 + 1e-15);
    (unknown < NEAR_THE_TOP * alpha * largest).then(bound)
}

/// From `from` to the top: what grows no faster than e^{cx} is integrated to full precision on panels of 1/c, and a^α grows no faster than a does at
/// the top, α times.
fn panels(q: f64, b: f64, from: f64, alpha: f64) -> f64 {
    let top = 1.0 / b;
    let share = (q.ln() + top - ln_mixture(q, top)).exp();
    ((top - from) * (1.5 + alpha * share)).ceil()
}

/// Adds E_{P₀}[e^`term`(x)] over the losses above `from`, the atom at the top among them.
fn integrate(q: f64, b: f64, from: f64, alpha: f64, term: impl Fn(f64) -> f64, sum: &mut LogSum) {
    let top = 1.0 / b;
    sum.add(term(top) - LN_2 - top);
    let count = panels(q, b, from, alpha);
    let width = (top - from) / count;
    for index in 0..count as u32 {
        let start = from + f64::from(index) * width;
        panel(start, start + width, width, |loss, weight| {
            sum.add(term(loss) + (0.25 * weight).ln() - 0.5 * (loss + top));
        });
    }
}
