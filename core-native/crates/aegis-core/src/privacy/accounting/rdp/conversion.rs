//! From Rényi to approximate differential privacy (Canonne, Kamath, Steinke 2004.00010, proposition 12).

/// ε for δ from one order; 0 where the bound is negative, +∞ where the divergence is not finite.
pub fn epsilon(rdp: f64, alpha: f64, delta: f64) -> f64 {
    if rdp.is_nan() || rdp < 0.0 {
        return f64::INFINITY; // nothing is known then
    }
    // δ at ε = 0 is a total variation, which is at most √(1 − e^−KL) (Bretagnolle, Huber), and KL is at most any Rényi divergence.
    if delta * delta >= -(-rdp).exp_m1() {
        return 0.0;
    }
    let epsilon = rdp + (-1.0 / alpha).ln_1p() - (delta.ln() + alpha.ln()) / (alpha - 1.0);
    epsilon.max(0.0)
}

/// ln δ for ε from one order; above 0 where that order shows nothing.
pub fn ln_delta(rdp: f64, alpha: f64, epsilon: f64) -> f64 {
    if rdp.is_nan() || rdp < 0.0 {
        return f64::INFINITY;
    }
    (alpha - 1.0) * (rdp - epsilon + (-1.0 / alpha).ln_1p()) - alpha.ln()
}

/// ln of the total variation, which bounds δ at every ε.
pub fn ln_total_variation(rdp: f64) -> f64 {
    if rdp.is_nan() || rdp < 0.0 { 0.0 } else { 0.5 * (-(-rdp).exp_m1()).ln() }
}
