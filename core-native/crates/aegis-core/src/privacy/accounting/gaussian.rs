//! The Gaussian mechanism, unsampled: exact (Balle, Wang 1805.06530, theorem 8). Compositions are one mechanism with μ² = Σ (Δ/σ)².

use super::special::mills;

/// Relative error that the difference of two Mills ratios may have, as a part of the larger one.
const ROUNDING: f64 = 4e-15;

/// ln δ(ε) = ln[Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ)] for μ > 0, ε ≥ 0; rounded up.
pub fn ln_delta(mu: f64, epsilon: f64) -> f64 {
    let (near, far) = (epsilon / mu - 0.5 * mu, epsilon / mu + 0.5 * mu);
    if near < -36.0 {
        return 0.0;
    }
    // e^ε·φ(far) = φ(near), so that δ = φ(near)·(mills(near) − mills(far))
    let upper = mills(near);
    let difference = upper - mills(far) + ROUNDING * upper;
    let ln = difference.ln() - 0.5 * near * near - super::special::LN_SQRT_2PI;
    if ln.is_nan() { 0.0 } else { (ln + 1e-15 * near * near).min(0.0) }
}

/// The smallest ε whose δ does not exceed `delta`, rounded up.
pub fn epsilon(mu: f64, delta: f64) -> f64 {
    let target = delta.ln();
    if ln_delta(mu, 0.0) <= target {
        return 0.0;
    }
    // The Rényi bound is above the answer, wherever it is.
    let mut high = 0.5 * mu * mu + mu * (-2.0 * target).sqrt() + f64::MIN_POSITIVE;
    while ln_delta(mu, high) > target {
        high *= 2.0;
        if high.is_infinite() {
            return f64::INFINITY;
        }
    }
    let mut low = 0.0;
    while high - low > 4.0 * f64::EPSILON * high {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if ln_delta(mu, middle) <= target { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_reports_less_for_less_noise_or_a_smaller_delta() {
        let mut last = 0.0;
        for step in 1..200 {
            let here = epsilon(0.05 * f64::from(step), 1e-6);
            assert!(here >= last);
            last = here;
        }
        assert!(epsilon(1.0, 1e-9) > epsilon(1.0, 1e-8));
    }

    #[test]
    fn a_delta_above_the_total_variation_costs_nothing() {
        assert_eq!(epsilon(1e-3, 1e-3), 0.0);
        assert!(epsilon(1e-3, 1e-4) > 0.0);
    }
}
