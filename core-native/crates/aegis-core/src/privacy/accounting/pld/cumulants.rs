//! Cumulants of the composed loss: where to look for ε, and how much lies outside of where we look (Chernoff).

use super::loss::{Atom, Loss, Range};

/// One mechanism, `count` times, in one direction, with its range.
#[derive(Clone, Debug)]
pub struct Steps {
    pub loss: Loss,
    pub range: Range,
    pub count: u64,
    /// The loss on quadrature nodes.
    nodes: Vec<Atom>,
}

impl Steps {
    pub fn new(loss: Loss, count: u64, below: f64, above: f64) -> Self {
        let range = loss.range(below, above);
        let mut nodes = loss.atoms();
        loss.integrate(range.from, range.to, |atom| {
            if atom.mass > 0.0 {
                nodes.push(atom);
            }
        });
        Self { loss, range, count, nodes }
    }
}

/// Of Σ L under e^{sΣL}: logarithm of the mean, then mean and variance of ΣL, and Σ|L| as a measure of how coarse a grid may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cumulants {
    pub ln_mean: f64,
    pub mean: f64,
    pub variance: f64,
    pub absolute: f64,
}

pub fn cumulants(all: &[Steps], s: f64) -> Cumulants {
    let mut total = Cumulants::default();
    for steps in all {
        let top = steps.nodes.iter().map(|atom| s * atom.loss).fold(f64::NEG_INFINITY, f64::max);
        let (mut zeroth, mut first, mut second, mut absolute) = (0.0, 0.0, 0.0, 0.0);
        for atom in &steps.nodes {
            let weight = atom.mass * (s * atom.loss - top).exp();
            zeroth += weight;
            first += weight * atom.loss;
            second += weight * atom.loss * atom.loss;
            absolute += weight * atom.loss.abs();
        }
        let (count, mean) = (steps.count as f64, first / zeroth);
        total.ln_mean += count * (top + zeroth.ln());
        total.mean += count * mean;
        total.variance += count * (second / zeroth - mean * mean).max(0.0);
        total.absolute += count * absolute / zeroth;
    }
    total
}

/// ln E[e^{sΣL}] alone.
pub fn ln_mean(all: &[Steps], s: f64) -> f64 {
    let of = |steps: &Steps| {
        let top = steps.nodes.iter().map(|atom| s * atom.loss).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = steps.nodes.iter().map(|atom| atom.mass * (s * atom.loss - top).exp()).sum();
        steps.count as f64 * (top + sum.ln())
    };
    all.iter().map(of).sum()
}

/// The Rényi bound of ε for `ln_delta` on these (truncated) losses, and the s = α − 1 it is reached at.
pub fn saddle(all: &[Steps], ln_delta: f64) -> (f64, f64) {
    lowest(|ln_s| {
        let s = ln_s.exp();
        (ln_mean(all, s) - ln_delta - (1.0 + s) * s.ln_1p() + s * ln_s) / s
    })
}

/// The s under whose tilt the mean of ΣL is `loss`.
pub fn tilt_to(all: &[Steps], loss: f64) -> f64 {
    lowest(|ln_s| ln_mean(all, ln_s.exp()) - ln_s.exp() * loss).1
}

/// The lowest value of a function of ln s with one valley, and its s, to two percent.
fn lowest(value: impl Fn(f64) -> f64) -> (f64, f64) {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let (mut low, mut high) = (-7.0, 19.0);
    let (mut left, mut right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut at_left, mut at_right) = (value(left), value(right));
    while high - low > 0.02 {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - GOLDEN * (high - low);
            at_left = value(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + GOLDEN * (high - low);
            at_right = value(right);
        }
    }
    let ln_s = if at_left <= at_right { left } else { right };
    (at_left.min(at_right), ln_s.exp())
}
