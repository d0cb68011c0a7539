//! An accountant that is asked after every round: it keeps what it has computed, so that the next answer costs a few additions.

use super::composition::Composition;
use super::event::{Event, validate_all, write_events};
use super::report::{Epsilon, quick_epsilon};
use crate::error::Result;

/// Composes events one after the other and answers with the Rényi bound (or the analytic one). Cheap to clone; its state is its events.
#[derive(Clone, Debug, Default)]
pub struct Accountant {
    events: Vec<Event>,
    composition: Composition,
}

impl Accountant {
    pub fn of(events: &[Event]) -> Result<Self> {
        let mut accountant = Self::default();
        events.iter().try_for_each(|event| accountant.compose(event))?;
        Ok(accountant)
    }

    /// Adds `event.count` releases. A refused event changes nothing.
    pub fn compose(&mut self, event: &Event) -> Result<()> {
        let same = |known: &Event| Event { count: event.count, ..known.clone() } == *event;
        match self.events.iter().position(same) {
            Some(index) => {
                let sum = Event { count: self.events[index].count.saturating_add(event.count), ..event.clone() };
                event.validate()?;
                sum.validate()?;
                self.events[index] = sum;
            }
            None => {
                self.events.push(event.clone());
                if let Err(error) = validate_all(&self.events) {
                    self.events.pop();
                    return Err(error);
                }
            }
        }
        self.composition.add(event, event.count as f64);
        Ok(())
    }

    /// ε so far. What was computed for earlier answers is used again.
    pub fn epsilon(&mut self, delta: f64) -> Result<Epsilon> {
        quick_epsilon(&mut self.composition, delta)
    }

    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The events as JSON, equal ones summed up: [`super::event::parse_events`] and [`Accountant::of`] bring it back.
    pub fn to_json(&self) -> String {
        write_events(&self.events)
    }
}
