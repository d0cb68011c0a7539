//! The inverse questions: how much noise for a budget, how many rounds.

use super::composition::Composition;
use super::event::{Event, LARGEST_COUNT, NOISE_MULTIPLIERS, validate_all};
use super::report::{Epsilon, check_delta, check_epsilon};
use crate::error::{Code, Error, Result};

/// How the noise multiplier is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Where to begin, and the factor of the first steps.
    pub start: f64,
    pub stride: f64,
    /// What the answer may be too large by, as a part of it.
    pub precision: f64,
    /// How fast ln ε falls with ln σ near the start, if an earlier search has found out; it is believed for the first step.
    pub slope: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibrated {
    pub noise_multiplier: f64,
    /// What the events cost with it: at most what was asked.
    pub spent: Epsilon,
}

/// Where a search ended, and how fast ln ε fell with ln σ there.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub calibrated: Calibrated,
    pub slope: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounds {
    pub rounds: u64,
    /// What they cost; none fits if `rounds` is 0, and then this is what nothing costs.
    pub spent: Option<Epsilon>,
}

/// The smallest noise multiplier for the chosen rows (others keep theirs) with ε(δ) ≤ `epsilon`, to the precision and never below.
pub fn sigma_for(
    events: &[Event],
    chosen: &[bool],
    (epsilon, delta): (f64, f64),
    search: Search,
    mut measure: impl FnMut(&mut Composition, f64) -> Result<Epsilon>,
) -> Result<Found> {
    check_target(epsilon, delta)?;
    if events.is_empty() || events.len() != chosen.len() || !chosen.contains(&true) {
        return Err(
            Error::new(Code::PrivacyParameter, "no event is left whose noise could be chosen").with("field", "events")
        );
    }
    let mut last: Option<Composition> = None;
    let mut at = |noise_multiplier: f64| -> Result<Epsilon> {
        let with = |(event, &chosen): (&Event, &bool)| match chosen {
            true => Event { noise_multiplier, ..event.clone() },
            false => event.clone(),
        };
        let events: Vec<Event> = events.iter().zip(chosen).map(with).collect();
        validate_all(&events)?;
        let mut composition = Composition::of(&events);
        if let Some(last) = &last {
            composition.start_beside(last);
        }
        let spent = measure(&mut composition, delta);
        last = Some(composition);
        spent
    };
    let (lowest, highest) = NOISE_MULTIPLIERS;
    let found = |noise_multiplier, spent, slope| Found { calibrated: Calibrated { noise_multiplier, spent }, slope };
    // The first to fall between here and the answer is by less than the precision: ε says so, at this slope.
    let enough = |spent: &Epsilon, slope: f64| {
        spent.epsilon <= epsilon && (epsilon / spent.epsilon).ln() <= 0.5 * search.precision * slope
    };
    let hair = 0.25 * search.precision;
    let mut start = search.start;
    let mut spent = at(start)?;
    if let Some(slope) = search.slope {
        if !enough(&spent, slope) {
            start = (start * ((spent.epsilon / epsilon).ln() / slope + hair).exp()).clamp(lowest, highest);
            spent = at(start)?;
        }
        if enough(&spent, slope) {
            return Ok(found(start, spent, search.slope));
        }
    }
    let mut stride = search.stride;
    // A bracket by growing steps, then secants on logarithms with the bisection's guarantee.
    let (mut low, mut high) = (start, start);
    let mut low_epsilon = spent.epsilon;
    if spent.epsilon > epsilon {
        while spent.epsilon > epsilon {
            (low, low_epsilon) = (high, spent.epsilon);
            high = (high * stride).min(highest);
            stride *= stride;
            spent = at(high)?;
            if high == highest && spent.epsilon > epsilon {
                return Err(Error::new(
                    Code::PrivacyUnreachable,
                    "no noise multiplier brings these events under the epsilon",
                )
                .with("epsilon", epsilon)
                .with("least", spent.epsilon));
            }
        }
    } else {
        let mut below = spent;
        while low_epsilon <= epsilon {
            (high, spent) = (low, below);
            if low == lowest {
                return Ok(found(low, spent, None));
            }
            low = (low / stride).max(lowest);
            stride *= stride;
            // an ε that cannot be shown at all is above every target
            low_epsilon = f64::INFINITY;
            if let Ok(here) = at(low) {
                (low_epsilon, below) = (here.epsilon, here);
            }
        }
    }
    // the two latest points: a line through them is better than one through the ends of the bracket
    let (mut earlier, mut latest) = ((low.ln(), low_epsilon), (high.ln(), spent.epsilon));
    let mut slope = None;
    let mut bisect = false;
    while high / low - 1.0 > search.precision {
        let (from, to) = (low.ln(), high.ln());
        let steep = |(x, y): (f64, f64), (u, v): (f64, f64)| (y / v).ln() / (u - x);
        let across = steep((from, low_epsilon), (to, spent.epsilon));
        if across.is_finite() && across > 0.0 {
            slope = Some(across);
            if enough(&spent, across) {
                break;
            }
        }
        let inside = |guess: &f64| guess.is_finite() && *guess > from && *guess < to;
        let secant = latest.0 + (latest.1 / epsilon).ln() / steep(earlier, latest) + hair;
        let chord = from + (low_epsilon / epsilon).ln() / across + hair;
        let guess = Some(secant).filter(inside).or(Some(chord).filter(inside)).filter(|_| !bisect);
        let noise_multiplier = guess.unwrap_or(0.5 * (from + to)).exp();
        if noise_multiplier <= low || noise_multiplier >= high {
            break;
        }
        let width = high / low - 1.0;
        let here = at(noise_multiplier)?;
        (earlier, latest) = (latest, (noise_multiplier.ln(), here.epsilon));
        if here.epsilon <= epsilon {
            (high, spent) = (noise_multiplier, here);
        } else {
            (low, low_epsilon) = (noise_multiplier, here.epsilon);
        }
        bisect = !bisect && (high / low - 1.0) > 0.25 * width && (epsilon / here.epsilon).ln().abs() > 0.1 * width;
    }
    Ok(found(high, spent, slope))
}

/// How often the whole list may be repeated with ε(δ) ≤ `epsilon`; about `guess` times.
pub fn rounds_for(
    events: &[Event],
    (epsilon, delta): (f64, f64),
    guess: u64,
    mut measure: impl FnMut(&mut Composition, f64) -> Result<Epsilon>,
) -> Result<Rounds> {
    check_target(epsilon, delta)?;
    if events.is_empty() {
        return Err(Error::new(Code::PrivacyParameter, "no events: a round of nothing can be repeated forever")
            .with("field", "events"));
    }
    validate_all(events)?;
    let mut one = Composition::of(events);
    let most = LARGEST_COUNT / events.iter().map(|event| event.count).max().unwrap_or(1);
    let mut at = |rounds: u64| -> Result<Option<Epsilon>> {
        let mut composition = one.repeated(rounds as f64);
        let spent = measure(&mut composition, delta);
        one.start_beside(&composition);
        match spent {
            Ok(spent) => Ok((spent.epsilon <= epsilon).then_some(spent)),
            Err(error) if error.code == Code::PrivacyUnbounded => Ok(None),
            Err(error) => Err(error),
        }
    };
    let (mut fits, mut spent) = (0, None);
    let mut over = guess.clamp(1, most);
    while over <= most {
        match at(over)? {
            None => break,
            Some(here) => (fits, spent) = (over, Some(here)),
        }
        if over == most {
            return Ok(Rounds { rounds: fits, spent });
        }
        over = over.saturating_mul(2).min(most);
    }
    while over - fits > 1 {
        let middle = fits + (over - fits) / 2;
        match at(middle)? {
            Some(here) => (fits, spent) = (middle, Some(here)),
            None => over = middle,
        }
    }
    Ok(Rounds { rounds: fits, spent })
}

fn check_target(epsilon: f64, delta: f64) -> Result<()> {
    check_delta(delta)?;
    check_epsilon(epsilon)?;
    if epsilon == 0.0 {
        return Err(
            Error::new(Code::PrivacyParameter, "epsilon must be above 0 to calibrate for").with("field", "epsilon")
        );
    }
    Ok(())
}
