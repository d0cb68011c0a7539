//! Events sorted into what the accounting computes with: one Gaussian for all that is exactly Gaussian, and a part per other mechanism.

use std::collections::HashMap;

use super::event::{Event, Mechanism, Sampling};
use super::rdp::distributed::Distributed;
use super::rdp::skellam::Skellam;
use super::rdp::{conversion, fixed_size, laplace, orders, sampled_gaussian, sampled_laplace};

/// One release of a mechanism, in units of the sensitivity under its relation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Component {
    /// Poisson-sampled, rate below 1.
    SampledGaussian {
        rate: f64,
        sigma: f64,
    },
    /// Sampled without replacement; σ over twice the clip.
    FixedSizeGaussian {
        rate: f64,
        sigma: f64,
    },
    /// Sampled at a rate below 1, if at all.
    Laplace {
        scale: f64,
        sampling: Sampling,
    },
    /// Sampled at a rate below 1, if at all.
    Skellam {
        noise: Skellam,
        sampling: Sampling,
    },
    /// ρ-zero-concentrated: R(α) ≤ ρα, and nothing more is known.
    Concentrated {
        rho: f64,
    },
    Distributed(Distributed),
}

impl Component {
    /// An upper bound of (α−1)·R(α).
    fn ln_moment(&self, alpha: f64) -> f64 {
        match self {
            Component::SampledGaussian { rate, sigma } => sampled_gaussian::ln_moment(*rate, *sigma, alpha),
            Component::FixedSizeGaussian { rate, sigma } => fixed_size::ln_moment(*rate, *sigma, alpha),
            Component::Laplace { scale, sampling } => match *sampling {
                Sampling::None => laplace::ln_moment(*scale, alpha),
                Sampling::Poisson { rate } => sampled_laplace::poisson_ln_moment(rate, *scale, alpha),
                Sampling::WithoutReplacement { rate } => sampled_laplace::fixed_size_ln_moment(rate, *scale, alpha),
            },
            Component::Skellam { noise, sampling } => match *sampling {
                Sampling::None => noise.ln_moment(alpha),
                Sampling::Poisson { rate } => noise.poisson_ln_moment(rate, alpha),
                Sampling::WithoutReplacement { rate } => noise.fixed_size_ln_moment(rate, alpha),
            },
            Component::Concentrated { rho } => (alpha - 1.0) * rho * alpha,
            Component::Distributed(distributed) => distributed.ln_moment(alpha),
        }
    }

    fn knows_whole_orders_only(&self) -> bool {
        matches!(self, Component::FixedSizeGaussian { .. } | Component::Skellam { .. })
    }
}

/// Once σ is this many grid steps, a discrete Gaussian is accounted as the continuous one it post-processes (docs/privacy.md, "Discrete noise").
const SMOOTH_GRID_SIGMA: f64 = 8.0;
/// The variance, in squared grid steps, that the rounding to the grid takes from that continuous one.
const ROUNDING_VARIANCE: f64 = 5.0;

/// μ² of one release if it is exactly Gaussian, else the component.
fn classify(event: &Event) -> (f64, Option<Component>) {
    let sigma = event.noise_multiplier / event.relation.sensitivity();
    let precision = 1.0 / (sigma * sigma);
    let sampling = event.sampling.amplifying();
    match &event.mechanism {
        Mechanism::Gaussian => gaussian(sigma, sampling),
        Mechanism::DiscreteGaussian { grid_sigma: Some(steps) }
            if *steps >= SMOOTH_GRID_SIGMA || event.sampling != Sampling::None =>
        {
            gaussian(sigma * (1.0 - ROUNDING_VARIANCE / (steps * steps)).sqrt(), sampling)
        }
        Mechanism::DiscreteGaussian { .. } => (0.0, Some(Component::Concentrated { rho: 0.5 * precision })),
        Mechanism::Laplace => (0.0, Some(Component::Laplace { scale: sigma, sampling })),
        Mechanism::Tree { steps, epochs } => {
            // a leaf lies under ⌈log2(n+1)⌉ nodes (Kairouz et al. 2103.00039); a unit is in `epochs` of the trees, once in each
            let deepest = steps.iter().map(|&steps| u64::BITS - steps.leading_zeros()).max().unwrap_or(0);
            (*epochs as f64 * f64::from(deepest) * precision, None)
        }
        Mechanism::Skellam { l1, l2 } => {
            let scale = event.relation.sensitivity();
            let (l1, l2) = (l1 * scale, l2 * scale);
            let noise = Skellam { variance: (sigma * l2).powi(2), l1, l2 };
            (0.0, Some(Component::Skellam { noise, sampling }))
        }
        Mechanism::DistributedDiscreteGaussian { parties, local_grid_sigma, dimension, l1 } => {
            let parties = *parties as f64;
            let distributed = Distributed {
                parties,
                local_sigma: *local_grid_sigma,
                dimension: *dimension as f64,
                l1: l1 * event.relation.sensitivity(),
                l2: parties.sqrt() * local_grid_sigma / sigma,
            };
            (0.0, Some(Component::Distributed(distributed)))
        }
    }
}

fn gaussian(sigma: f64, sampling: Sampling) -> (f64, Option<Component>) {
    match sampling {
        Sampling::None => (1.0 / (sigma * sigma), None),
        Sampling::Poisson { rate } => (0.0, Some(Component::SampledGaussian { rate, sigma })),
        Sampling::WithoutReplacement { rate } => (0.0, Some(Component::FixedSizeGaussian { rate, sigma })),
    }
}

#[derive(Clone, Debug)]
pub struct Part {
    pub component: Component,
    pub count: f64,
    /// ln-moments by rung of the ladder of orders.
    known: HashMap<i64, f64>,
}

/// A composition whose order does not matter, because sums do not depend on it beyond their rounding, which is given back.
#[derive(Clone, Debug, Default)]
pub struct Composition {
    pub gaussian_mu_squared: f64,
    pub parts: Vec<Part>,
    /// Where the last answer was found: the next one is usually beside it.
    last_rung: Option<i64>,
}

impl Composition {
    pub fn of(events: &[Event]) -> Self {
        let mut composition = Self::default();
        events.iter().for_each(|event| composition.add(event, event.count as f64));
        composition
    }

    pub fn add(&mut self, event: &Event, count: f64) {
        let (mu_squared, component) = classify(event);
        self.gaussian_mu_squared += mu_squared * count;
        let Some(component) = component else { return };
        match self.parts.iter_mut().find(|part| part.component == component) {
            Some(part) => part.count += count,
            None => self.parts.push(Part { component, count, known: HashMap::new() }),
        }
    }

    /// The same with every count multiplied.
    pub fn repeated(&self, times: f64) -> Self {
        let mut repeated = self.clone();
        repeated.gaussian_mu_squared *= times;
        repeated.parts.iter_mut().for_each(|part| part.count *= times);
        repeated
    }

    /// What the search of another composition like this one should start from.
    pub fn start_beside(&mut self, other: &Composition) {
        self.last_rung = other.last_rung;
    }

    fn rdp_at(&mut self, rung: i64) -> (f64, f64) {
        let alpha = orders::order(rung);
        let mut moment = 0.0;
        for part in &mut self.parts {
            let component = part.component;
            moment += part.count * *part.known.entry(rung).or_insert_with(|| component.ln_moment(alpha));
        }
        let rdp = 0.5 * alpha * self.gaussian_mu_squared + moment / (alpha - 1.0);
        (rdp * (1.0 + 1e-15 * (self.parts.len() + 2) as f64), alpha)
    }

    /// R(α) at any order: for the filter, and for the golden tables.
    pub fn rdp(&self, alpha: f64) -> f64 {
        let moment: f64 = self.parts.iter().map(|part| part.count * part.component.ln_moment(alpha)).sum();
        0.5 * alpha * self.gaussian_mu_squared + moment / (alpha - 1.0)
    }

    /// The best Rényi bound of ε and its order.
    pub fn rdp_epsilon(&mut self, delta: f64) -> (f64, f64) {
        self.best(|rdp, alpha| conversion::epsilon(rdp, alpha, delta))
    }

    /// The best Rényi bound of ln δ and its order.
    pub fn rdp_ln_delta(&mut self, epsilon: f64) -> (f64, f64) {
        let (ln_delta, order) = self.best(|rdp, alpha| conversion::ln_delta(rdp, alpha, epsilon));
        let (rdp, lowest) = self.rdp_at(0);
        let total_variation = conversion::ln_total_variation(rdp);
        if total_variation < ln_delta { (total_variation, lowest) } else { (ln_delta.min(0.0), order) }
    }

    fn best(&mut self, convert: impl Fn(f64, f64) -> f64) -> (f64, f64) {
        let start = self.last_rung.unwrap_or(orders::START);
        let (beside, mut value) = orders::lowest(start, |rung| {
            let (rdp, alpha) = self.rdp_at(rung);
            convert(rdp, alpha)
        });
        let mut rung = beside;
        if self.parts.iter().any(|part| part.component.knows_whole_orders_only()) {
            let whole = orders::lowest_whole(beside, |rung| {
                let (rdp, alpha) = self.rdp_at(rung);
                convert(rdp, alpha)
            });
            if whole.1 < value {
                (rung, value) = whole;
            }
        }
        self.last_rung = Some(beside);
        (value, orders::order(rung))
    }
}
