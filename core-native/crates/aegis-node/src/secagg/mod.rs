//! Secure aggregation: messages cross as their JSON, big vectors as buffers.

mod client;
mod flower;
mod roster;
mod server;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aegis_core::hash::to_hex;
use aegis_core::secagg::messages::{Terms, from_json, to_json};
use aegis_core::secagg::parameters::{Assumptions, Parameters};
use aegis_core::secagg::plan::Plan;
use aegis_core::secagg::quantise;
use aegis_core::{Code, Error, Result};
use napi_derive::napi;

use crate::bridge::{Promised, off_loop, on_loop, whole};
use crate::fold::{RawSpec, to_spec};

/// What a cohort needs, as JSON; the complete graph whatever the size if asked for.
#[napi(catch_unwind)]
pub fn secagg_parameters(cohort: f64, dropouts: f64, colluders: f64, complete: bool) -> Promised<String> {
    off_loop(
        move || {
            let cohort = small("cohort", cohort)?;
            let assumed = Assumptions { dropouts, colluders };
            let chosen =
                if complete { Parameters::complete(cohort, assumed) } else { Parameters::choose(cohort, assumed) };
            Ok(to_json(&chosen?))
        },
        |json| json,
    )
}

/// What every request of a round names.
#[napi(catch_unwind)]
pub fn secagg_terms_digest(terms: String) -> napi::Result<String> {
    on_loop(|| Ok(to_hex(&from_json::<Terms>(&terms)?.digest())))
}

/// What the terms name a plan by.
#[napi(catch_unwind)]
pub fn secagg_plan_digest(plan: String) -> napi::Result<String> {
    on_loop(|| Ok(to_hex(&from_json::<Plan>(&plan)?.digest())))
}

/// Tensors and metrics of a plan, with their ranges.
#[napi(js_name = "SecaggGrid")]
pub struct SecaggGrid(pub(crate) Arc<quantise::Grid>);

#[napi]
impl SecaggGrid {
    #[napi(catch_unwind)]
    pub fn create(specs: Vec<RawSpec>, options: String) -> napi::Result<SecaggGrid> {
        on_loop(|| {
            let specs = specs.into_iter().map(to_spec).collect::<Result<_>>()?;
            let grid = quantise::Grid::new(specs, from_json(&options)?)?;
            Ok(SecaggGrid(Arc::new(grid)))
        })
    }

    #[napi(catch_unwind)]
    pub fn length(&self) -> f64 {
        self.0.length() as f64
    }

    /// The modulus of a cohort and its arithmetic, as JSON.
    #[napi(catch_unwind)]
    pub fn modulus(&self, cohort: f64, noise: f64) -> napi::Result<String> {
        on_loop(|| Ok(to_json(&self.0.modulus(whole("cohort", cohort)?, whole("noise", noise)?)?)))
    }

    /// σ of one node's share, in steps.
    #[napi(catch_unwind)]
    pub fn noise_share(&self, multiplier: f64, honest: f64) -> napi::Result<f64> {
        on_loop(|| self.0.noise_share(multiplier, whole("honest", honest)?))
    }

    /// What the shares of so many honest nodes amount to, as JSON.
    #[napi(catch_unwind)]
    pub fn noise(&self, honest: f64) -> napi::Result<String> {
        on_loop(|| Ok(to_json(&self.0.noise(whole("honest", honest)?)?)))
    }

    #[napi(catch_unwind)]
    pub fn weight_of(&self, examples: f64, max_examples: f64) -> napi::Result<f64> {
        on_loop(|| Ok(self.0.weight_of(whole("examples", examples)?, whole("maxExamples", max_examples)?)? as f64))
    }
}

fn small(name: &'static str, number: f64) -> Result<u32> {
    u32::try_from(whole(name, number)?)
        .map_err(|_| Error::new(Code::Argument, "a smaller number is needed").with("argument", name))
}

/// A node id: decimal, as in the messages.
fn node(text: &str) -> Result<u64> {
    text.parse().map_err(|_| Error::new(Code::Argument, "a node id is a decimal u64").with("argument", "node"))
}

fn nodes(texts: &[String]) -> Result<Vec<u64>> {
    texts.iter().map(|text| node(text)).collect()
}

/// A poisoned machine is still in a state it chose: every transition replaces the stage whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
