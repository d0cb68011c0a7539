//! Privacy accounting. Events come as JSON: one vocabulary everywhere (docs/privacy-events.md).

use aegis_core::privacy::accounting::{self, Effort, Epsilon, event, parse_events};

use crate::bridge::{CoreException, guarded};

#[derive(uniffi::Record)]
pub struct PrivacyCost {
    /// An upper bound.
    pub epsilon: f64,
    /// What it cannot be less than.
    pub lower: f64,
    pub delta: f64,
    pub method: String,
}

#[derive(uniffi::Record)]
pub struct NoiseFound {
    pub noise_multiplier: f64,
    pub spent: PrivacyCost,
}

#[derive(uniffi::Record)]
pub struct RoundsFound {
    pub rounds: u64,
    /// Absent where not even one fits.
    pub spent: Option<PrivacyCost>,
}

fn cost(Epsilon { epsilon, lower, delta, method, .. }: Epsilon) -> PrivacyCost {
    PrivacyCost { epsilon, lower, delta, method: method.name().to_string() }
}

/// The smallest ε that all known methods can show for the events.
#[uniffi::export]
pub fn privacy_epsilon(events: String, delta: f64) -> Result<PrivacyCost, CoreException> {
    guarded(|| Ok(cost(accounting::epsilon_of(&parse_events(&events)?, delta, Effort::default())?)))
}

/// The least noise multiplier of the rows that name none, and what is spent with it.
#[uniffi::export]
pub fn privacy_sigma(events: String, epsilon: f64, delta: f64) -> Result<NoiseFound, CoreException> {
    guarded(|| {
        let (events, chosen) = event::parse_events_to_calibrate(&events)?;
        let found = accounting::sigma_for(&events, &chosen, epsilon, delta, Effort::default())?;
        Ok(NoiseFound { noise_multiplier: found.noise_multiplier, spent: cost(found.spent) })
    })
}

/// How often the events may happen.
#[uniffi::export]
pub fn privacy_rounds(events: String, epsilon: f64, delta: f64) -> Result<RoundsFound, CoreException> {
    guarded(|| {
        let found = accounting::rounds_for(&parse_events(&events)?, epsilon, delta, Effort::default())?;
        Ok(RoundsFound { rounds: found.rounds, spent: found.spent.map(cost) })
    })
}
