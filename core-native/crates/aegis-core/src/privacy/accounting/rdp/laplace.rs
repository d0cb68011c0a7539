//! The Laplace mechanism, unsampled: Rényi divergence of Laplace(1, b) from Laplace(0, b) (Mironov 1702.07476, proposition 6).

/// ln E[e^{(α−1)L}] for scale b in units of the L1 sensitivity, α > 1. Never below the exact value.
pub fn ln_moment(b: f64, alpha: f64) -> f64 {
    let (up, down) = ((alpha - 1.0) / b, alpha / b);
    let weight = alpha / (2.0 * alpha - 1.0);
    if up > 700.0 {
        return up + weight.ln() + ((1.0 - weight) / weight * (-down - up).exp()).ln_1p();
    }
    // α/(2α−1)·e^{(α−1)/b} + (α−1)/(2α−1)·e^{−α/b} − 1; the parts nearly cancel for large b, and what rounding may have taken is given back
    let (rise, fall) = (weight * up.exp_m1(), (1.0 - weight) * (-down).exp_m1());
    (rise + fall + 4e-16 * (rise - fall)).ln_1p()
}
