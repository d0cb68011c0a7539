//! Privacy accounting. Events cross as JSON: one vocabulary everywhere, and one parser that refuses what it does not know.

use std::sync::{Mutex, PoisonError};

use aegis_core::privacy::accounting::{self, Delta, Effort, Epsilon, event, parse_events};
use aegis_core::{Code, Error, Result};
use napi_derive::napi;

use crate::bridge::{Promised, off_loop, on_loop, whole};

#[napi(object)]
pub struct PrivacyEpsilon {
    pub epsilon: f64,
    pub lower: f64,
    pub delta: f64,
    pub method: String,
    pub order: Option<f64>,
}

#[napi(object)]
pub struct PrivacyDelta {
    pub delta: f64,
    pub epsilon: f64,
    pub method: String,
    pub order: Option<f64>,
}

#[napi(object)]
pub struct PrivacySigma {
    pub noise_multiplier: f64,
    pub spent: PrivacyEpsilon,
}

#[napi(object)]
pub struct PrivacyRounds {
    pub rounds: f64,
    pub spent: Option<PrivacyEpsilon>,
}

fn epsilon(from: Epsilon) -> PrivacyEpsilon {
    let Epsilon { epsilon, lower, delta, method, order } = from;
    PrivacyEpsilon { epsilon, lower, delta, method: method.name().into(), order }
}

fn effort(name: Option<String>) -> Result<Effort> {
    let name = name.as_deref().unwrap_or(Effort::default().name());
    Effort::parse(name).ok_or_else(|| {
        Error::new(Code::Argument, "there is no such effort").with("argument", "effort").with("got", name)
    })
}

#[napi(catch_unwind)]
pub fn privacy_check_events(events: String) -> napi::Result<String> {
    on_loop(|| Ok(event::write_events(&parse_events(&events)?)))
}

#[napi(catch_unwind)]
pub fn privacy_epsilon(events: String, delta: f64, wanted: Option<String>) -> Promised<Epsilon, PrivacyEpsilon> {
    off_loop(move || accounting::epsilon_of(&parse_events(&events)?, delta, effort(wanted)?), epsilon)
}

#[napi(catch_unwind)]
pub fn privacy_delta(events: String, epsilon: f64, wanted: Option<String>) -> Promised<Delta, PrivacyDelta> {
    off_loop(
        move || accounting::delta_of(&parse_events(&events)?, epsilon, effort(wanted)?),
        |Delta { delta, epsilon, method, order }| PrivacyDelta { delta, epsilon, method: method.name().into(), order },
    )
}

#[napi(catch_unwind)]
pub fn privacy_sigma(
    events: String,
    epsilon_wanted: f64,
    delta: f64,
    wanted: Option<String>,
) -> Promised<accounting::Calibrated, PrivacySigma> {
    off_loop(
        move || {
            let (events, chosen) = event::parse_events_to_calibrate(&events)?;
            accounting::sigma_for(&events, &chosen, epsilon_wanted, delta, effort(wanted)?)
        },
        |found| PrivacySigma { noise_multiplier: found.noise_multiplier, spent: epsilon(found.spent) },
    )
}

#[napi(catch_unwind)]
pub fn privacy_rounds(
    events: String,
    epsilon_wanted: f64,
    delta: f64,
    wanted: Option<String>,
) -> Promised<accounting::Rounds, PrivacyRounds> {
    off_loop(
        move || accounting::rounds_for(&parse_events(&events)?, epsilon_wanted, delta, effort(wanted)?),
        |found| PrivacyRounds { rounds: found.rounds as f64, spent: found.spent.map(epsilon) },
    )
}

/// Answers on the event loop: microseconds after the first question about a mechanism.
#[napi(js_name = "PrivacyAccountant")]
pub struct PrivacyAccountant(Mutex<accounting::Accountant>);

#[napi]
impl PrivacyAccountant {
    #[napi(catch_unwind)]
    pub fn create(events: String) -> napi::Result<PrivacyAccountant> {
        on_loop(|| Ok(PrivacyAccountant(Mutex::new(accounting::Accountant::of(&parse_events(&events)?)?))))
    }

    /// Adds a list of events, `times` over. All of it or nothing.
    #[napi(catch_unwind)]
    pub fn compose(&self, events: String, times: f64) -> napi::Result<()> {
        on_loop(|| {
            let times = whole("times", times)?;
            let mut events = parse_events(&events)?;
            events.iter_mut().for_each(|event| event.count = event.count.saturating_mul(times));
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut next = held.clone();
            events.iter().try_for_each(|event| next.compose(event))?;
            *held = next;
            Ok(())
        })
    }

    #[napi(catch_unwind)]
    pub fn epsilon(&self, delta: f64) -> napi::Result<PrivacyEpsilon> {
        on_loop(|| Ok(epsilon(self.0.lock().unwrap_or_else(PoisonError::into_inner).epsilon(delta)?)))
    }

    #[napi(catch_unwind)]
    pub fn fork(&self) -> PrivacyAccountant {
        PrivacyAccountant(Mutex::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    #[napi(catch_unwind)]
    pub fn events(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).to_json()
    }
}
