//! Privacy accounting. Events come as JSON: one vocabulary everywhere, and one parser that refuses what it does not know.

use aegis_core::privacy::accounting::{self, Effort, Epsilon, event, parse_events};
use pyo3::prelude::*;

use crate::bridge::detached;

/// ε, its lower bound, δ, the method, the Rényi order where the method has one.
type Cost = (f64, f64, f64, &'static str, Option<f64>);

fn cost(Epsilon { epsilon, lower, delta, method, order }: Epsilon) -> Cost {
    (epsilon, lower, delta, method.name(), order)
}

/// The smallest ε that all known methods can show for the events.
#[pyfunction]
pub fn privacy_epsilon(py: Python<'_>, events: &str, delta: f64) -> PyResult<Cost> {
    detached(py, || Ok(cost(accounting::epsilon_of(&parse_events(events)?, delta, Effort::default())?)))
}

/// The least noise multiplier of the rows that name none, and what is spent with it.
#[pyfunction]
pub fn privacy_sigma(py: Python<'_>, events: &str, epsilon: f64, delta: f64) -> PyResult<(f64, Cost)> {
    detached(py, || {
        let (events, chosen) = event::parse_events_to_calibrate(events)?;
        let found = accounting::sigma_for(&events, &chosen, epsilon, delta, Effort::default())?;
        Ok((found.noise_multiplier, cost(found.spent)))
    })
}

/// How often the events may happen, and what is spent then; nothing is spent where not even once.
#[pyfunction]
pub fn privacy_rounds(py: Python<'_>, events: &str, epsilon: f64, delta: f64) -> PyResult<(u64, Option<Cost>)> {
    detached(py, || {
        let found = accounting::rounds_for(&parse_events(events)?, epsilon, delta, Effort::default())?;
        Ok((found.rounds, found.spent.map(cost)))
    })
}
