//! The sum of discrete Gaussians that several parties draw, each with σ in grid steps (Kairouz, Liu, Steinke 2102.06387).

/// What the sum of `parties` discrete Gaussians costs in `dimension` coordinates. Sensitivities are those of the rounded integers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distributed {
    pub parties: f64,
    pub local_sigma: f64,
    pub dimension: f64,
    pub l1: f64,
    pub l2: f64,
}

impl Distributed {
    /// τ = 10·Σ_{k<n} e^{−2π²σ²k/(k+1)}: how far the sum is from one discrete Gaussian.
    fn tau(&self) -> f64 {
        let exponent = 2.0 * std::f64::consts::PI.powi(2) * self.local_sigma * self.local_sigma;
        let mut sum = 0.0;
        let mut k = 1.0;
        while k < self.parties {
            let term = (-exponent * k / (k + 1.0)).exp();
            sum += term;
            // from here on no term exceeds e^{−exponent}'s limit by more than a billionth: the rest at once, upwards
            if k >= 1e4 {
                sum += (self.parties - k) * term;
                break;
            }
            k += 1.0;
        }
        10.0 * sum
    }

    /// (α−1)·R(α): α/2 times the smaller squared ε of theorem 1 that carries τ with the shift, or α‖Δ‖²/2nσ² plus the max-divergence τd of
    /// the noises (proposition 14). Theorem 1's third form, with τd/2 under the root, is left out: below α = 4 it would undercut the latter.
    pub fn ln_moment(&self, alpha: f64) -> f64 {
        let (tau, noise) = (self.tau(), self.parties.sqrt() * self.local_sigma);
        let ratio = self.l2 / noise;
        let shifted = ratio * ratio + 2.0 * self.l1 * tau / noise + tau * tau * self.dimension;
        let added = (ratio + tau * self.dimension.sqrt()).powi(2);
        let concentrated = 0.5 * alpha * shifted.min(added);
        (alpha - 1.0) * concentrated.min(0.5 * alpha * ratio * ratio + tau * self.dimension)
    }
}
