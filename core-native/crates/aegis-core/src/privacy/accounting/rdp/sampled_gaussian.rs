//! The Gaussian mechanism on a Poisson sample: Rényi divergence of (1−q)·N(0,σ²) + q·N(1,σ²) from N(0,σ²).
//!
//! With A(α) = E[(1+u)^α] for z ~ N(0,σ²) and u(z) = q·(e^((2z−1)/2σ²) − 1), the divergence is ln A(α)/(α−1) (Mironov, Talwar, Zhang
//! 1908.10530, where it is also proved that this direction is the larger one). Both forms below compute A − 1 as a sum of
//! positive terms only, so nothing cancels however small q is:
//!
//! - whole α: A − 1 = Σ_{k=2}^{α} C(α,k) (1−q)^{α−k} q^k (e^{k(k−1)/2σ²} − 1);
//! - real α: A − 1 = E[(1+u)^α − 1 − αu], since E[u] = 0, by the trapezoidal rule, which converges exponentially here.

use super::chord;
use crate::privacy::accounting::special::{LN_SQRT_2PI, LogSum, ln_binomial_pmf, ln_expm1};

/// Where the rule for real orders would need more nodes than this, they are bounded from their whole neighbours.
const MOST_NODES: f64 = 20_000.0;

/// What rounding may have taken from A − 1, as a factor.
const UP: f64 = 1.0 + 4e-13;

/// ln A(α) for 0 < q < 1, σ > 0, α > 1. Never below the exact value.
pub fn ln_moment(q: f64, sigma: f64, alpha: f64) -> f64 {
    let ln_excess = if alpha.fract() == 0.0 {
        whole_order(q, sigma, alpha)
    } else if (alpha + 20.0 * sigma) / step_of(sigma) > MOST_NODES {
        return chord(alpha, |whole| ln_moment(q, sigma, whole));
    } else {
        real_order(q, sigma, alpha)
    };
    let ln_excess = ln_excess + UP.ln();
    // ln(1 + e^x)
    let ln = if ln_excess > 40.0 { ln_excess } else { ln_excess.exp().ln_1p() };
    ln * (1.0 + 1e-15)
}

/// ln(A − 1) by the series. Blocks of terms that cannot matter are replaced by an upper bound, so large orders stay cheap.
fn whole_order(q: f64, sigma: f64, alpha: f64) -> f64 {
    let series = Series { alpha, q, ln_odds: q.ln() - (-q).ln_1p(), half_precision: 0.5 / (sigma * sigma) };
    let mut sum = LogSum::EMPTY;
    // The terms peak near one end or both; with them summed first the middle is mostly skipped.
    let left = (2.0 + LEAF).min(alpha + 1.0);
    let right = (alpha + 1.0 - LEAF).max(left);
    series.leaf(2.0, left, &mut sum);
    series.leaf(right, alpha + 1.0, &mut sum);
    series.block(left, right, &mut sum);
    sum.ln()
}

/// Terms that are summed one by one.
const LEAF: f64 = 32.0;
/// e^−42 of the sum: what a skipped block may weigh.
const NEGLIGIBLE: f64 = 42.0;

struct Series {
    alpha: f64,
    q: f64,
    ln_odds: f64,
    half_precision: f64,
}

impl Series {
    fn ln_growth(&self, k: f64) -> f64 {
        ln_expm1(k * (k - 1.0) * self.half_precision)
    }

    /// Terms of [from, to).
    fn leaf(&self, from: f64, to: f64, sum: &mut LogSum) {
        if from >= to {
            return;
        }
        let mut ln_pmf = ln_binomial_pmf(from, self.alpha, self.q);
        let mut k = from;
        while k < to {
            sum.add(ln_pmf + self.ln_growth(k));
            ln_pmf += ((self.alpha - k) / (k + 1.0)).ln() + self.ln_odds;
            k += 1.0;
        }
    }

    fn block(&self, from: f64, to: f64, sum: &mut LogSum) {
        if from >= to {
            return;
        }
        // The binomial factor has one mode, the other grows with k: their separate maxima bound every term.
        let mode = ((self.alpha + 1.0) * self.q).floor().clamp(from, to - 1.0);
        let bound = ln_binomial_pmf(mode, self.alpha, self.q) + self.ln_growth(to - 1.0) + (to - from).ln();
        if bound < sum.ln() - NEGLIGIBLE {
            sum.add(bound);
        } else if to - from <= LEAF {
            self.leaf(from, to, sum);
        } else {
            let middle = from + ((to - from) * 0.5).floor();
            self.block(from, middle, sum);
            self.block(middle, to, sum);
        }
    }
}

/// ln(A − 1) by the trapezoidal rule.
///
/// The integrand is analytic for |Im z| < πσ² and its Gaussian factor has width σ: the steps below put the error of the rule under 1e-15.
fn real_order(q: f64, sigma: f64, alpha: f64) -> f64 {
    let (precision, order) = (1.0 / (sigma * sigma), alpha - 1.0);
    let step = step_of(sigma);
    let from = -10.0 * sigma;
    let nodes = ((alpha + 20.0 * sigma) / step).ceil() as usize;
    let ln_q = q.ln();
    let mut sum = LogSum::EMPTY;
    for index in 0..=nodes {
        let z = from + index as f64 * step;
        let loss = (z - 0.5) * precision;
        let ln_f =
            if loss > 300.0 { ln_convexity_far(ln_q + loss, order) } else { ln_convexity(q * loss.exp_m1(), order) };
        sum.add(ln_f - 0.5 * z * z * precision);
    }
    sum.ln() + (step / sigma).ln() - LN_SQRT_2PI
}

fn step_of(sigma: f64) -> f64 {
    (sigma / 6.0).min(sigma * sigma / 4.0)
}

/// ln((1+u)^α − 1 − αu) for u > −1 and `order` = α − 1 > 0.
fn ln_convexity(u: f64, order: f64) -> f64 {
    let alpha = order + 1.0;
    if u.abs() * alpha.max(2.0) < 0.1 {
        // α(α−1)u²/2 · (1 + (α−2)u/3 · (1 + (α−3)u/4 · …))
        let (mut term, mut sum) = (1.0, 1.0);
        for k in 3..24 {
            term *= (alpha - f64::from(k - 1)) * u / f64::from(k);
            sum += term;
            if term.abs() < 1e-17 {
                break;
            }
        }
        return (0.5 * alpha * order * u * u * sum).ln();
    }
    let ln = u.ln_1p();
    if order * ln > 40.0 {
        return alpha * ln;
    }
    ((1.0 + u) * (order * ln).exp_m1() - order * u).ln()
}

/// The same where u = e^`ln` is so large that 1 does not count beside it.
fn ln_convexity_far(ln: f64, order: f64) -> f64 {
    if order * ln > 40.0 {
        return (order + 1.0) * ln;
    }
    ln + ((order * ln).exp_m1() - order).ln()
}
