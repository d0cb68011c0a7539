//! Rényi accounting: what a mechanism costs at an order α, and the best order for a question.

pub mod conversion;
pub mod distributed;
pub mod fixed_size;
pub mod laplace;
pub mod orders;
mod poisson;
pub mod sampled_gaussian;
pub mod sampled_laplace;
pub mod skellam;

/// The bound between whole orders: α ↦ ln A(α) is convex and 0 at 1, so it stays below the line between its neighbours.
fn chord(alpha: f64, ln_moment: impl Fn(f64) -> f64) -> f64 {
    let (below, share) = (alpha.floor(), alpha.fract());
    let low = if below <= 1.0 { 0.0 } else { ln_moment(below) };
    (1.0 - share) * low + share * ln_moment(below + 1.0)
}
