//! Privacy accounting: what a list of events costs. One implementation for the services, Python, the command line and mobile.
//!
//! Read in this order: [`event`] (what is accounted, and what is refused), [`composition`] (events sorted by formula), [`rdp`],
//! [`gaussian`] and [`pld`] (the formulas), [`report`] (the answers), [`calibrate`] (the inverse questions), [`accountant`] (round after round).
//!
//! Every ε and δ is rounded up, and a NaN, an overflow or a negative divergence is a refusal, never a small number.

pub mod accountant;
pub mod calibrate;
mod composition;
pub mod event;
pub mod filter;
mod gaussian;
mod pld;
mod quadrature;
mod rdp;
mod report;
mod special;

pub use accountant::Accountant;
pub use calibrate::{Calibrated, Rounds};
pub use event::{Event, parse_events};
pub use report::{Delta, Epsilon, Method};

use composition::Composition;
use event::validate_all;

use crate::error::Result;

/// How much work an answer may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effort {
    /// Rényi and closed forms: well under a millisecond.
    Quick,
    /// The smallest bound of all methods.
    #[default]
    Tight,
}

impl Effort {
    pub const ALL: [Effort; 2] = [Effort::Quick, Effort::Tight];

    pub const fn name(self) -> &'static str {
        match self {
            Effort::Quick => "quick",
            Effort::Tight => "tight",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effort| effort.name() == name)
    }
}

/// ε of the events at δ: the smallest valid upper bound, rounded up.
pub fn epsilon_of(events: &[Event], delta: f64, effort: Effort) -> Result<Epsilon> {
    validate_all(events)?;
    measure(&mut Composition::of(events), delta, effort)
}

/// δ of the events at ε, rounded up.
pub fn delta_of(events: &[Event], epsilon: f64, effort: Effort) -> Result<Delta> {
    validate_all(events)?;
    match effort {
        Effort::Quick => report::quick_delta(&mut Composition::of(events), epsilon),
        Effort::Tight => report::tight_delta(&mut Composition::of(events), epsilon),
    }
}

/// The smallest noise multiplier for the `chosen` rows that keeps all events within (ε, δ).
pub fn sigma_for(events: &[Event], chosen: &[bool], epsilon: f64, delta: f64, effort: Effort) -> Result<Calibrated> {
    let search = |start, stride, precision, slope| calibrate::Search { start, stride, precision, slope };
    let target = (epsilon, delta);
    let found = calibrate::sigma_for(events, chosen, target, search(1.0, 2.0, 1e-8, None), report::quick_epsilon);
    if effort == Effort::Quick {
        return Ok(found?.calibrated);
    }
    // what the quick methods find is enough noise, and usually a tenth too much
    let start = found.map_or(1.0, |found| found.calibrated.noise_multiplier);
    // the search itself is content with a first look at the losses; what it finds is then measured as every answer is
    let rough = calibrate::sigma_for(events, chosen, target, search(start, 1.1, 2e-4, None), report::rough_epsilon);
    let (start, stride, slope) =
        rough.map_or((start, 1.1, None), |rough| (rough.calibrated.noise_multiplier, 1.0 + 5e-4, rough.slope));
    let tight = search(start, stride, 1e-6, slope);
    Ok(calibrate::sigma_for(events, chosen, target, tight, report::tight_epsilon)?.calibrated)
}

/// How often the list of events may be repeated within (ε, δ).
pub fn rounds_for(events: &[Event], epsilon: f64, delta: f64, effort: Effort) -> Result<Rounds> {
    let found = calibrate::rounds_for(events, (epsilon, delta), 1, report::quick_epsilon)?;
    match effort {
        Effort::Quick => Ok(found),
        Effort::Tight => calibrate::rounds_for(events, (epsilon, delta), found.rounds, report::tight_epsilon),
    }
}

fn measure(composition: &mut Composition, delta: f64, effort: Effort) -> Result<Epsilon> {
    match effort {
        Effort::Quick => report::quick_epsilon(composition, delta),
        Effort::Tight => report::tight_epsilon(composition, delta),
    }
}

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod sampled_tests;
