//! Answers: ε of a composition, δ of it, with their bracket and the method that gave them.

use super::composition::{Component, Composition};
use super::gaussian;
use crate::error::{Code, Error, Result};

/// How the upper bound was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Exact for unsampled Gaussian noise.
    AnalyticGaussian,
    /// Rényi divergence at the best order.
    Rdp,
    /// The sum of pure ε, for Laplace noise.
    Pure,
}

impl Method {
    pub const fn name(self) -> &'static str {
        match self {
            Method::AnalyticGaussian => "analytic-gaussian",
            Method::Rdp => "rdp",
            Method::Pure => "pure",
        }
    }
}

/// `epsilon` is never below the true one, `lower` never above it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epsilon {
    pub epsilon: f64,
    pub lower: f64,
    pub delta: f64,
    pub method: Method,
    /// The Rényi order, where the method has one.
    pub order: Option<f64>,
}

/// `delta` is never below the true one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delta {
    pub delta: f64,
    pub epsilon: f64,
    pub method: Method,
    pub order: Option<f64>,
}

/// What the evaluation of the final formulas may have lost to rounding.
const UP: f64 = 1.0 + 1e-12;

fn up(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value * UP }
}

pub fn check_delta(delta: f64) -> Result<()> {
    if (1e-300..1.0).contains(&delta) {
        return Ok(());
    }
    Err(Error::new(Code::PrivacyParameter, "delta must be above 0 (at least 1e-300) and below 1")
        .with("field", "delta")
        .with("got", delta))
}

pub fn check_epsilon(epsilon: f64) -> Result<()> {
    if (0.0..=1e9).contains(&epsilon) {
        return Ok(());
    }
    Err(Error::new(Code::PrivacyParameter, "epsilon must be from 0 to 1e9")
        .with("field", "epsilon")
        .with("got", epsilon))
}

/// The smallest valid upper bound of ε among the quick methods: Rényi, analytic, pure.
pub fn quick_epsilon(composition: &mut Composition, delta: f64) -> Result<Epsilon> {
    check_delta(delta)?;
    let report = |epsilon, lower, method, order| Epsilon { epsilon, lower, delta, method, order };
    if composition.parts.is_empty() {
        let epsilon = gaussian::epsilon(composition.gaussian_mu_squared.sqrt(), delta);
        // exact to some 1e-13
        return finite(report(up(epsilon), epsilon * (1.0 - 1e-11), Method::AnalyticGaussian, None));
    }
    let (epsilon, order) = composition.rdp_epsilon(delta);
    let mut best = report(up(epsilon), 0.0, Method::Rdp, Some(order));
    if let Some(pure) = pure_epsilon(composition)
        && pure < best.epsilon
    {
        best = report(up(pure), 0.0, Method::Pure, None);
    }
    finite(best)
}

/// The smallest valid upper bound of δ among the quick methods.
pub fn quick_delta(composition: &mut Composition, epsilon: f64) -> Result<Delta> {
    check_epsilon(epsilon)?;
    let report = |delta: f64, method, order| Delta { delta: delta.min(1.0), epsilon, method, order };
    if composition.parts.is_empty() {
        let mu = composition.gaussian_mu_squared.sqrt();
        return Ok(report(up(gaussian::ln_delta(mu, epsilon).exp()), Method::AnalyticGaussian, None));
    }
    if pure_epsilon(composition).is_some_and(|pure| up(pure) <= epsilon) {
        return Ok(report(0.0, Method::Pure, None));
    }
    let (ln_delta, order) = composition.rdp_ln_delta(epsilon);
    Ok(report(up(ln_delta.exp()), Method::Rdp, Some(order)))
}

/// Σ count/b, if everything is Laplace.
fn pure_epsilon(composition: &Composition) -> Option<f64> {
    let of = |component: &Component, count: f64| match component {
        Component::Laplace { scale } => Some(count / scale),
        _ => None,
    };
    if composition.gaussian_mu_squared > 0.0 {
        return None;
    }
    composition.parts.iter().map(|part| of(&part.component, part.count)).sum()
}

fn finite(report: Epsilon) -> Result<Epsilon> {
    if report.epsilon.is_finite() && report.epsilon >= 0.0 {
        return Ok(report);
    }
    Err(Error::new(Code::PrivacyUnbounded, "no finite epsilon can be shown for these events")
        .with("delta", report.delta))
}
