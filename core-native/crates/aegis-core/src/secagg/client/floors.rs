//! What the data owner asks of a round, whatever the plan says.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::secagg::messages::Terms;
use crate::secagg::parameters::{Assumptions, LEAST_COHORT, LOG2_ACCEPTED, Parameters};
use crate::secagg::refusal::Refusal;
use crate::secagg::roster::Roster;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Floors {
    /// Fewest nodes that begin.
    pub cohort: u32,
    /// Fewest nodes whose sum may be opened.
    pub survivors: u32,
    /// Fraction of the cohort that the owner thinks may collude with the server.
    pub colluders: f64,
}

impl Floors {
    /// Signatures of which two different sets of survivors cannot both have enough: 2·quorum > cohort + colluders.
    pub(super) fn quorum(&self, cohort: usize) -> usize {
        let colluders = (cohort as f64 * self.colluders - 1e-9).ceil().max(0.0) as usize;
        (cohort + colluders) / 2 + 1
    }

    /// Refuses a cohort, a survivor floor or a threshold that protects less than the owner asks for.
    pub(super) fn admit(&self, terms: &Terms, roster: &Roster) -> Result<()> {
        let cohort = roster.len() as u32;
        if cohort < self.cohort.max(terms.min_survivors).max(LEAST_COHORT) || terms.threshold > roster.degree() + 1 {
            return Err(Error::from(Refusal::CohortBelowFloor).with("cohort", cohort).with("floor", self.cohort));
        }
        if terms.min_survivors < self.survivors.max(LEAST_COHORT) {
            return Err(Error::from(Refusal::SurvivorsBelowFloor)
                .with("survivors", terms.min_survivors)
                .with("floor", self.survivors));
        }
        // The server may drop whom it likes, down to the fewest survivors.
        let dropouts = f64::from(cohort - terms.min_survivors) / f64::from(cohort);
        let assumed = Assumptions { dropouts, colluders: self.colluders };
        let risk = Parameters::privacy_risk(cohort, assumed, roster.degree(), terms.threshold);
        match risk {
            Ok(risk) if risk <= LOG2_ACCEPTED => Ok(()),
            _ => Err(Error::from(Refusal::ThresholdBelowFloor)
                .with("threshold", terms.threshold)
                .with("degree", roster.degree())
                .with("log2-risk", risk.unwrap_or(0.0))),
        }
    }
}
