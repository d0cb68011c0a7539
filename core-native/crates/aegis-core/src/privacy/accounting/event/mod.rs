//! What is accounted: events, not epsilons. One vocabulary for the command line, Python, gRPC and the ledger; append-only.
//!
//! An event that leaves a question open, or combines what does not fit together, is refused: a wrong assumption here under-reports ε.

mod json;
mod strict_json;

use std::fmt;

use crate::error::{Code, Error, Result};

pub use json::{parse_events, parse_events_to_calibrate, write_events};

/// More than a unit can meet in a lifetime of rounds; what is above it is a mistake in a file.
pub const LARGEST_COUNT: u64 = 1_000_000_000_000;
/// The range of noise multipliers that mean something; outside it the formulas' own rounding would.
pub const NOISE_MULTIPLIERS: (f64, f64) = (1e-3, 1e9);
pub const SMALLEST_RATE: f64 = 1e-12;

/// Which noise was added. Whatever else a formula needs stands beside the noise multiplier.
#[derive(Clone, Debug, PartialEq)]
pub enum Mechanism {
    /// Continuous Gaussian noise on the sum of clipped contributions.
    Gaussian,
    /// Exact discrete Gaussian noise on integers. `grid_sigma` is σ in grid steps, where known: it decides how near to the continuous one it is.
    DiscreteGaussian { grid_sigma: Option<f64> },
    /// The sum of discrete Gaussians of several parties (σ of each in grid steps, sensitivities of the rounded integers).
    DistributedDiscreteGaussian { parties: u64, local_grid_sigma: f64, dimension: u64, l1: f64 },
    /// Skellam noise on integers; sensitivities of the rounded integers.
    Skellam { l1: f64, l2: f64 },
    /// Laplace noise; the noise multiplier is its scale over the L1 bound of a unit.
    Laplace,
    /// Gaussian noise on the nodes of binary trees over the steps (DP-FTRL), `steps` leaves in each. A unit is at `epochs` leaves, **each in another
    /// tree**: twice in one would cost more than is counted, as both are in the same nodes.
    Tree { steps: Vec<u64>, epochs: u64 },
}

impl Mechanism {
    pub const fn name(&self) -> &'static str {
        match self {
            Mechanism::Gaussian => "gaussian",
            Mechanism::DiscreteGaussian { .. } => "discrete-gaussian",
            Mechanism::DistributedDiscreteGaussian { .. } => "distributed-discrete-gaussian",
            Mechanism::Skellam { .. } => "skellam",
            Mechanism::Laplace => "laplace",
            Mechanism::Tree { .. } => "tree",
        }
    }
}

/// How the units of a round were chosen. Amplification is claimed only for what is named here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// Everybody, or a choice an adversary may know.
    None,
    /// Each unit by itself with this probability, kept secret.
    Poisson { rate: f64 },
    /// A set of fixed size, uniformly, kept secret; the rate is its share of the population.
    WithoutReplacement { rate: f64 },
}

impl Sampling {
    pub const fn name(self) -> &'static str {
        match self {
            Sampling::None => "none",
            Sampling::Poisson { .. } => "poisson",
            Sampling::WithoutReplacement { .. } => "without-replacement",
        }
    }

    pub const fn rate(self) -> f64 {
        match self {
            Sampling::None => 1.0,
            Sampling::Poisson { rate } | Sampling::WithoutReplacement { rate } => rate,
        }
    }

    /// The same, where a sample of everybody is none.
    pub fn amplifying(self) -> Self {
        if self.rate() < 1.0 { self } else { Sampling::None }
    }
}

/// What two neighbouring data sets differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    AddOrRemoveOne,
    /// One unit's data replaced by any other: the sensitivity is twice the clip.
    ReplaceOne,
    /// One unit's contribution replaced by nothing, in its place.
    ZeroOut,
}

impl Relation {
    pub const fn name(self) -> &'static str {
        match self {
            Relation::AddOrRemoveOne => "add-or-remove-one",
            Relation::ReplaceOne => "replace-one",
            Relation::ZeroOut => "zero-out",
        }
    }

    /// L2 distance between neighbouring sums, in clips.
    pub const fn sensitivity(self) -> f64 {
        match self {
            Relation::ReplaceOne => 2.0,
            Relation::AddOrRemoveOne | Relation::ZeroOut => 1.0,
        }
    }
}

/// Whom the guarantee protects. It travels with every ε, because the number means nothing without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    Node,
    User,
    Example,
}

impl Unit {
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Node => "node",
            Unit::User => "user",
            Unit::Example => "example",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `count` releases of one kind. `noise_multiplier` is σ over the clip of one unit (Laplace: scale over its L1 bound); a relation that
/// doubles the sensitivity is accounted for here, never by the caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub mechanism: Mechanism,
    pub noise_multiplier: f64,
    pub sampling: Sampling,
    pub relation: Relation,
    pub count: u64,
    pub unit: Unit,
}

impl Event {
    /// Refuses what has no proven accounting. Every event that this module computes with has passed here.
    pub fn validate(&self) -> Result<()> {
        let (low, high) = NOISE_MULTIPLIERS;
        within("noise-multiplier", self.noise_multiplier, low, high)?;
        if self.count == 0 || self.count > LARGEST_COUNT {
            return Err(refused("count", format!("must be from 1 to {LARGEST_COUNT}"), self.count));
        }
        if self.sampling != Sampling::None {
            within("sampling.rate", self.sampling.rate(), SMALLEST_RATE, 1.0)?;
        }
        self.validate_parameters()?;
        self.validate_combination()
    }

    fn validate_parameters(&self) -> Result<()> {
        match &self.mechanism {
            Mechanism::Gaussian | Mechanism::Laplace | Mechanism::DiscreteGaussian { grid_sigma: None } => Ok(()),
            // below 4 steps nothing relates a sampled discrete Gaussian to the continuous one
            Mechanism::DiscreteGaussian { grid_sigma: Some(sigma) } => {
                within("grid-sigma", *sigma, if self.sampling == Sampling::None { 0.1 } else { 4.0 }, 1e18)
            }
            Mechanism::DistributedDiscreteGaussian { parties, local_grid_sigma, dimension, l1 } => {
                whole("parties", *parties, 1_000_000_000)?;
                // below half a step the sum of shares is not what theorem 1 takes it for, and the bound fails
                within("local-grid-sigma", *local_grid_sigma, 0.5, 1e18)?;
                whole("dimension", *dimension, 1 << 40)?;
                within("grid-l1", *l1, 0.0, 1e30)
            }
            Mechanism::Skellam { l1, l2 } => {
                within("grid-l2", *l2, 1e-9, 1e18)?;
                within("grid-l1", *l1, *l2, 1e30) // the L1 norm is never below the L2 norm
            }
            Mechanism::Tree { steps, epochs } => {
                whole("epochs", *epochs, 1_000_000)?;
                if steps.is_empty() || steps.len() > 10_000 {
                    return Err(refused("steps", "must name from 1 to 10,000 trees", steps.len()));
                }
                steps.iter().try_for_each(|&step| whole("steps", step, LARGEST_COUNT))
            }
        }
    }

    fn validate_combination(&self) -> Result<()> {
        let (relation, sampling) = (self.relation.name(), self.sampling.name());
        let unfit = |field, rule: &str, got: &str| Err(refused(field, rule, got));
        match (self.sampling, self.relation) {
            (Sampling::Poisson { .. }, Relation::ReplaceOne) => unfit(
                "relation",
                "Poisson sampling is accounted between data sets that differ by adding or removing a unit",
                relation,
            ),
            (Sampling::WithoutReplacement { .. }, Relation::AddOrRemoveOne | Relation::ZeroOut) => unfit(
                "relation",
                "a sample of fixed size is accounted between data sets of the same size: replace-one",
                relation,
            ),
            _ => Ok(()),
        }?;
        match (&self.mechanism, self.sampling, self.relation) {
            (Mechanism::Tree { .. }, _, Relation::AddOrRemoveOne) => {
                unfit("relation", "a tree has its leaves in a fixed order: zero-out or replace-one", relation)
            }
            (
                Mechanism::Gaussian
                | Mechanism::DiscreteGaussian { grid_sigma: Some(_) }
                | Mechanism::Laplace
                | Mechanism::Skellam { .. },
                _,
                _,
            )
            | (_, Sampling::None, _) => Ok(()),
            (Mechanism::DiscreteGaussian { grid_sigma: None }, _, _) => {
                unfit("grid-sigma", "is needed to account for sampling", "nothing")
            }
            _ => unfit("sampling", "no amplification is accounted for this mechanism: none", sampling),
        }
    }
}

/// Refuses lists that do not compose into one statement: ε is about one relation and one unit.
pub fn validate_all(events: &[Event]) -> Result<()> {
    for (row, event) in events.iter().enumerate() {
        let at = |error: Error| error.with("row", row);
        event.validate().map_err(at)?;
        let first = &events[0];
        if event.relation != first.relation {
            let rule = format!("one list has one relation, and row 0 says {}", first.relation.name());
            return Err(at(refused("relation", rule, event.relation.name())));
        }
        if event.unit != first.unit {
            return Err(at(refused(
                "unit",
                format!("one list has one unit, and row 0 says {}", first.unit),
                event.unit,
            )));
        }
    }
    Ok(())
}

/// A refusal of one field; the caller adds the row.
pub(super) fn refused(field: impl fmt::Display, rule: impl fmt::Display, got: impl fmt::Display) -> Error {
    Error::new(Code::PrivacyEvent, format!("{field}: {rule}")).with("field", &field).with("got", got)
}

fn within(field: &'static str, value: f64, low: f64, high: f64) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(refused(field, format!("must be a number from {low} to {high}"), value))
}

fn whole(field: &'static str, value: u64, high: u64) -> Result<()> {
    if (1..=high).contains(&value) {
        return Ok(());
    }
    Err(refused(field, format!("must be a whole number from 1 to {high}"), value))
}

#[cfg(test)]
mod tests;
