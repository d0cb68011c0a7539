//! An empirical audit of the whole mechanism — clip, grid, sum, noise, model file — in one run (Steinke, Nasr & Jagielski 2023, "Privacy
//! auditing with one training run", arXiv 2305.08846).
//!
//! Each of m canaries takes part or not by the toss of a coin. From the released model alone we guess for which of them the coin fell how, where
//! we are surest, and count the right guesses. Under (ε, δ) they are hardly more than the binomial variable with success e^ε / (1 + e^ε): the
//! greatest ε that the count refutes is a lower bound of the true one, at 95 % confidence. The audit passes if it is below what the accountant
//! says, and it must have noticed something, so that it would notice more.

use super::tests::Setup;
use super::*;
use crate::privacy::noise::Drbg;
use crate::tensor::DType;

/// Canaries, each along an axis of its own and far too long, so that clipping is audited too.
const CANARIES: usize = 12_000;
const GUESSES: usize = 300;
const DELTA: f64 = 1e-5;
const CLAIMED: f64 = 2.0;

/// The greatest ε that the release refutes, if its noise multiplier is `real`.
fn refuted(real: f64, bits: u8) -> f64 {
    let mut setup = Setup::new();
    let fold = setup.fold(&[("w", DType::F32, &[0.0; CANARIES])], 1.0, 1.0);
    let mut coins = Drbg::repeatable(bits);
    let took_part: Vec<bool> = (0..CANARIES).map(|_| coins.word() & 1 == 1).collect();
    let mut canary = vec![0.0; CANARIES];
    for at in (0..CANARIES).filter(|&at| took_part[at]) {
        canary[at] = 100.0;
        let update = setup.tensors("canary", &[("w", DType::F32, &canary)]);
        fold.add(&setup.parts, &update, 1.0).unwrap();
        canary[at] = 0.0;
    }
    let path = setup.path("noised");
    let how = Finish { noise_multiplier: real, denominator: 1.0, bits: None, tree: None, path: &path, key: &setup.key };
    let released = fold.finish_with(&how, &mut Drbg::repeatable(bits ^ 0xff)).unwrap();
    let scores = setup.values("noised", &released.model).concat();

    let mut order: Vec<usize> = (0..CANARIES).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let absent = order[..GUESSES / 2].iter().filter(|&&at| !took_part[at]).count();
    let present = order[CANARIES - GUESSES / 2..].iter().filter(|&&at| took_part[at]).count();
    greatest_refuted(absent + present)
}

fn greatest_refuted(right: usize) -> f64 {
    let (mut low, mut high) = (0.0, 20.0);
    while high - low > 1e-4 {
        let middle = (low + high) / 2.0;
        if chance(right, middle) < 0.05 { low = middle } else { high = middle }
    }
    low
}

/// How likely so many right guesses are at most under (ε, δ): Theorem 5.2 there.
fn chance(right: usize, epsilon: f64) -> f64 {
    let success = 1.0 / (1.0 + (-epsilon).exp());
    let tail = tails(success);
    let steepest = (1..=right).map(|i| (tail[right - i] - tail[right]) / i as f64).fold(0.0, f64::max);
    tail[right] + 2.0 * CANARIES as f64 * DELTA * steepest
}

/// P[Binomial(GUESSES, success) ≥ v] for every v.
fn tails(success: f64) -> Vec<f64> {
    let mut log = GUESSES as f64 * (1.0 - success).ln();
    let mut mass = vec![log.exp()];
    for v in 1..=GUESSES {
        log += ((GUESSES - v + 1) as f64 / v as f64).ln() + success.ln() - (1.0 - success).ln();
        mass.push(log.exp());
    }
    let mut sum = 0.0;
    let mut tail: Vec<f64> = mass
        .iter()
        .rev()
        .map(|mass| {
            sum += mass;
            sum
        })
        .collect();
    tail.reverse();
    tail
}

/// ε of the Gaussian mechanism, from the definition and not from the accountant's formulas: the least with ∫ max(0, p − e^ε q) ≤ δ, for the
/// densities with and without one update. On a grid of 2^40 steps to σ the discrete Gaussian is the continuous one as far as anybody can tell.
fn claimed() -> f64 {
    const STEP: f64 = 1e-3;
    let density = |x: f64, mean: f64| {
        (-((x - mean) / CLAIMED).powi(2) / 2.0).exp() / (CLAIMED * (2.0 * std::f64::consts::PI).sqrt())
    };
    let delta = |epsilon: f64| -> f64 {
        let points = (-20_000..20_000).map(|i| f64::from(i) * STEP);
        points.map(|x| (density(x, 1.0) - epsilon.exp() * density(x, 0.0)).max(0.0) * STEP).sum()
    };
    let (mut low, mut high) = (0.0, 20.0);
    while high - low > 1e-4 {
        let middle = (low + high) / 2.0;
        if delta(middle) > DELTA { low = middle } else { high = middle }
    }
    high
}

#[test]
fn the_claim_is_the_known_one() {
    // Balle & Wang 2018, arXiv 1805.06530, for σ = 2, δ = 10^-5
    assert!((claimed() - 1.99309).abs() < 1e-3, "{}", claimed());
}

#[test]
fn what_the_release_tells_is_within_what_the_accountant_says() {
    for bits in [1, 2, 3] {
        let refuted = refuted(CLAIMED, bits);
        assert!(refuted < claimed(), "an ε of {refuted} was seen, {} claimed", claimed());
        assert!(refuted > 0.5, "the audit sees too little to be trusted: {refuted}");
    }
}

#[test]
fn the_audit_catches_noise_that_is_missing_or_half() {
    for (real, what) in [(1e-9, "no noise"), (CLAIMED / 2.0, "half the noise")] {
        let refuted = refuted(real, 4);
        assert!(refuted > claimed(), "{what}: an ε of {refuted} was seen, {} claimed", claimed());
    }
}
