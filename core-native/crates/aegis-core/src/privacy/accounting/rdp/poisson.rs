//! What is common to all mechanisms on a Poisson sample of rate q.
//!
//! With r = P₁/P₀ for the outputs with and without the unit, u = q(r − 1) and A(α) = E_{P₀}[(1+u)^α], the divergence of the mixture
//! (1−q)P₀ + qP₁ from P₀ is ln A(α)/(α−1). A − 1 is a sum of positive terms, so that nothing cancels however small q is:
//!
//! - whole α: A − 1 = Σ_{k=2}^{α} C(α,k) (1−q)^{α−k} q^k (E_{P₀}[r^k] − 1);
//! - real α: A − 1 = E_{P₀}[(1+u)^α − 1 − αu], since E[u] = 0.

use crate::privacy::accounting::special::{LogSum, ln_binomial_pmf, ln_expm1};

/// ln(A − 1) at a whole order, from ln E[r^k] = (k−1)·R(k) of the unsampled mechanism at whole k, which rises with k. Blocks of terms that cannot matter
/// are replaced by an upper bound, so large orders stay cheap.
pub fn ln_excess(q: f64, alpha: f64, ln_moment: impl Fn(f64) -> f64) -> f64 {
    let series = Series { alpha, q, ln_odds: q.ln() - (-q).ln_1p(), ln_moment };
    let mut sum = LogSum::EMPTY;
    // The terms peak near one end or both, or at one place in between; with these summed first all else is mostly skipped.
    let left = (2.0 + LEAF).min(alpha + 1.0);
    let right = (alpha + 1.0 - LEAF).max(left);
    series.leaf(2.0, left, &mut sum);
    series.leaf(right, alpha + 1.0, &mut sum);
    let start = series.peak(left, right);
    let end = (start + LEAF).min(right);
    series.leaf(start, end, &mut sum);
    series.block(left, start, &mut sum);
    series.block(end, right, &mut sum);
    sum.ln()
}

/// Terms that are summed one by one.
const LEAF: f64 = 32.0;
/// e^−42 of the sum: what a skipped block may weigh.
const NEGLIGIBLE: f64 = 42.0;

struct Series<M> {
    alpha: f64,
    q: f64,
    ln_odds: f64,
    ln_moment: M,
}

impl<M: Fn(f64) -> f64> Series<M> {
    fn ln_growth(&self, k: f64) -> f64 {
        ln_expm1((self.ln_moment)(k))
    }

    fn ln_term(&self, k: f64) -> f64 {
        ln_binomial_pmf(k, self.alpha, self.q) + self.ln_growth(k)
    }

    /// About where the terms of [from, to) are largest, if they have one peak there.
    fn peak(&self, from: f64, to: f64) -> f64 {
        let (mut low, mut high) = (from, to);
        while high - low > LEAF {
            let (left, right) = ((low + (high - low) / 3.0).floor(), (high - (high - low) / 3.0).floor());
            if self.ln_term(left) < self.ln_term(right) { low = left } else { high = right }
        }
        low
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

/// ln((1+u)^α − 1 − αu) where ln r = `loss`, for `order` = α − 1 > 0.
pub fn ln_term(q: f64, loss: f64, order: f64) -> f64 {
    if loss > 300.0 { ln_convexity_far(q.ln() + loss, order) } else { ln_convexity(q * loss.exp_m1(), order) }
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
