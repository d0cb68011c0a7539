//! Answers: ε of a composition, δ of it, with their bracket and the method that gave them.

use super::composition::{Component, Composition};
use super::special::ln_mixture;
use super::{gaussian, pld};
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
    /// The distribution of the privacy loss.
    Pld,
}

impl Method {
    pub const fn name(self) -> &'static str {
        match self {
            Method::AnalyticGaussian => "analytic-gaussian",
            Method::Rdp => "rdp",
            Method::Pure => "pure",
            Method::Pld => "pld",
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

/// The smallest valid upper bound of ε among all methods, with a lower bound where the loss distribution is known.
pub fn tight_epsilon(composition: &mut Composition, delta: f64) -> Result<Epsilon> {
    check_delta(delta)?;
    // where Rényi's bound is infinite, the distribution may still have one
    let quick = quick_epsilon(composition, delta);
    if composition.parts.is_empty() {
        return quick;
    }
    let Some(pld::Bracket { lower, upper }) = pld::epsilon(composition, delta) else { return quick };
    let (upper, lower) = (up(upper), lower * (2.0 - UP));
    match quick {
        Ok(quick) if quick.epsilon <= upper => Ok(Epsilon { lower: lower.min(quick.epsilon), ..quick }),
        _ => finite(Epsilon { epsilon: upper, lower: lower.min(upper), delta, method: Method::Pld, order: None }),
    }
}

/// The same to some 1e-4, for a search that ends with the tight one. It leaves out the direction in which a unit is added: no answer may rest on it.
pub fn rough_epsilon(composition: &mut Composition, delta: f64) -> Result<Epsilon> {
    let quick = quick_epsilon(composition, delta);
    if composition.parts.is_empty() {
        return quick;
    }
    let Some(upper) = pld::rough_epsilon(composition, delta) else { return quick };
    match quick {
        Ok(quick) if quick.epsilon <= upper => Ok(quick),
        _ => finite(Epsilon { epsilon: upper, lower: 0.0, delta, method: Method::Pld, order: None }),
    }
}

/// How far below the quick bound of ln δ the tight one is looked for, and in how many steps.
const TIGHTER: f64 = 16.0;
const HALVINGS: u32 = 12;

/// The smallest upper bound of δ among all methods: the inverse of the tight ε, to 0.4 %.
pub fn tight_delta(composition: &mut Composition, epsilon: f64) -> Result<Delta> {
    let quick = quick_delta(composition, epsilon)?;
    if composition.parts.is_empty() || quick.delta == 0.0 {
        return Ok(quick);
    }
    let (mut low, mut high) = ((quick.delta.ln() - TIGHTER).max(-690.0), quick.delta.min(0.5).ln());
    let mut best = quick;
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        match pld::epsilon(composition, middle.exp()) {
            None => break,
            Some(bracket) if up(bracket.upper) <= epsilon => {
                high = middle;
                best = Delta { delta: up(middle.exp()), epsilon, method: Method::Pld, order: None };
            }
            Some(_) => low = middle,
        }
    }
    Ok(best)
}

/// Σ count·ln(1 + q(e^{1/b} − 1)), if everything is Laplace: the largest losses, which samples of rate q of either kind have in common
/// (docs/privacy-events.md, "Samples").
fn pure_epsilon(composition: &Composition) -> Option<f64> {
    let of = |component: &Component, count: f64| match component {
        Component::Laplace { scale, sampling } => Some(count * ln_mixture(sampling.rate(), 1.0 / scale)),
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
