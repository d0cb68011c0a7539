//! The roster as the secagg service holds it: who is whose neighbour, and whose signature counts.

use std::sync::Arc;

use aegis_core::hash;
use aegis_core::secagg::messages::{CertifiedAdvert, Confirmation, Terms, from_json, survivors_digest};
use aegis_core::secagg::refusal::Refusal;
use aegis_core::secagg::roster;
use napi_derive::napi;

use super::{node, nodes};
use crate::bridge::{on_loop, whole};

#[napi(js_name = "SecaggRoster")]
pub struct SecaggRoster(Arc<roster::Roster>);

#[napi]
impl SecaggRoster {
    /// Verifies every advert: some 50 µs each, on the event loop.
    #[napi(catch_unwind)]
    pub fn create(terms: String, adverts: String, now: f64) -> napi::Result<SecaggRoster> {
        on_loop(|| {
            let terms: Terms = from_json(&terms)?;
            let adverts: Vec<CertifiedAdvert> = from_json(&adverts)?;
            Ok(SecaggRoster(Arc::new(roster::Roster::new(&terms, adverts, whole("now", now)?)?)))
        })
    }

    #[napi(catch_unwind)]
    pub fn neighbours(&self, of: String) -> napi::Result<Vec<String>> {
        on_loop(|| {
            let of = node(&of)?;
            let at = self.0.position(of).ok_or_else(|| Refusal::UnknownNode.about(of))?;
            Ok(self.0.neighbours(at).into_iter().map(|at| self.0.node(at).to_string()).collect())
        })
    }

    #[napi(catch_unwind)]
    pub fn check_confirmation(&self, confirmation: String, survivors: Vec<String>, model: String) -> napi::Result<()> {
        on_loop(|| {
            let confirmation: Confirmation = from_json(&confirmation)?;
            let model = hash::parse_sha256_hex(&model)?;
            self.0.check_confirmation(&confirmation, &survivors_digest(&nodes(&survivors)?), &model)
        })
    }
}
