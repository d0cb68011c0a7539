//! What a cohort needs so that masking hides and unmasking works: who masks with whom, how many shares open a secret, and what is
//! left to chance.
//!
//! Small cohorts use the complete graph of Bonawitz et al. (CCS 2017), where nothing is left to chance. Larger ones use the random
//! k-regular graph of Bell et al. (CCS 2020, section 3): nodes stand on a ring in an order nobody chose, each masks and shares with the k/2
//! on either side. What can go wrong is then a matter of how colluders C and dropouts D (of n nodes) happen to stand:
//!
//! - **both secrets**: a node whose k neighbours include so many colluders that two stories reach the threshold: X ≥ 2t − (k + 1), the
//!   node being the k + first to hold a share. Bell et al. ask for X < t; the stronger condition is the malicious server's (Bonawitz et al., section 6.2: 2t > n + colluders).
//! - **too few shares**: a node of whose neighbours fewer than t remain. The round ends without a result.
//! - **cut by chance**: k/2 places in a row all colluding or dropped; one such row is the least a cut needs.
//! - **cut on purpose**: a server that chooses whom it declares dropped cuts the ring with two rows of k/2 places, if colluders stand on all
//!   but D of them. Not in the papers: their dropouts do not know the graph.
//!
//! X and the remaining neighbours are hypergeometric; every event gets a union bound over the nodes it can happen to.

pub mod modulus;
mod tails;

use serde::Serialize;

use crate::error::{Code, Error, Result};
use tails::{LogFactorials, Urn, sum_of};

/// Largest cohort with a complete graph where the choice is ours.
pub const COMPLETE_UP_TO: u32 = 256;
/// Least cohort: the sum of one is that one.
pub const LEAST_COHORT: u32 = 2;
pub const LARGEST_COHORT: u32 = 1 << 16;
/// Accepted probability, over all events, of a failure in one round: 2^-40.
pub const LOG2_ACCEPTED: f64 = -40.0;

/// What the parameters must withstand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Assumptions {
    /// Fraction of the cohort that may drop out during the round.
    pub dropouts: f64,
    /// Fraction that may collude with the server.
    pub colluders: f64,
}

/// Log2 of the probability of each event; minus infinity, shown as null, where nothing is left to chance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Risks {
    pub both_secrets: f64,
    pub too_few_shares: f64,
    pub cut_by_chance: f64,
    pub cut_on_purpose: f64,
    pub total: f64,
}

/// The choice and its arithmetic, as the plan shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameters {
    pub cohort: u32,
    pub assumed: Assumptions,
    /// Nodes assumed to drop out and to collude, rounded up.
    pub dropouts: u32,
    pub colluders: u32,
    /// Neighbours of each node; cohort − 1 is the complete graph.
    pub degree: u32,
    /// Shares that open a secret.
    pub threshold: u32,
    /// Fewest nodes whose sum may be opened.
    pub min_survivors: u32,
    pub risks: Risks,
}

impl Parameters {
    /// The fewest neighbours with which the total risk is at most 2^-40. [`Code::SecaggParameters`], with the arithmetic, if no
    /// number of neighbours reaches that.
    pub fn choose(cohort: u32, assumed: Assumptions) -> Result<Self> {
        let urns = Urns::new(cohort, assumed)?;
        let complete = urns.complete();
        if cohort <= COMPLETE_UP_TO {
            return complete;
        }
        // A larger degree is not always safer by one step (thresholds are whole numbers), so every even degree is tried in turn.
        let sparse = (2..=(cohort - 2) / 2 * 2).step_by(2).find_map(|degree| urns.sparse(degree));
        sparse.map_or(complete, Ok)
    }

    /// The complete graph, whatever the size.
    pub fn complete(cohort: u32, assumed: Assumptions) -> Result<Self> {
        Urns::new(cohort, assumed)?.complete()
    }

    /// What parameters that somebody else chose would risk, as far as privacy goes: a node asks this about the terms it is given.
    pub fn privacy_risk(cohort: u32, assumed: Assumptions, degree: u32, threshold: u32) -> Result<f64> {
        let urns = Urns::new(cohort, assumed)?;
        if degree == 0 || degree >= cohort || threshold > degree + 1 {
            return Err(Error::new(Code::SecaggParameters, "no such graph").with("degree", degree));
        }
        if degree == cohort - 1 {
            let held = 2 * threshold > cohort + urns.colluders;
            return Ok(if held { f64::NEG_INFINITY } else { 0.0 });
        }
        if !degree.is_multiple_of(2) {
            return Err(Error::new(Code::SecaggParameters, "a sparse graph has an even degree").with("degree", degree));
        }
        let risks = urns.risks(degree, threshold);
        Ok(sum_of(&[risks.both_secrets, risks.cut_by_chance, risks.cut_on_purpose]))
    }
}

/// A cohort with the tables to ask about it.
struct Urns {
    cohort: u32,
    assumed: Assumptions,
    dropouts: u32,
    colluders: u32,
    table: LogFactorials,
}

impl Urns {
    fn new(cohort: u32, assumed: Assumptions) -> Result<Self> {
        if !(LEAST_COHORT..=LARGEST_COHORT).contains(&cohort) {
            return Err(Error::new(Code::SecaggParameters, "a cohort has 2 to 65536 nodes").with("cohort", cohort));
        }
        for (name, fraction) in [("dropouts", assumed.dropouts), ("colluders", assumed.colluders)] {
            if !(0.0..1.0).contains(&fraction) {
                return Err(
                    Error::new(Code::SecaggParameters, "a fraction is at least 0 and below 1").with(name, fraction)
                );
            }
        }
        // a hair below, so that a third of three is one and not two
        let count = |fraction: f64| (f64::from(cohort) * fraction - 1e-9).ceil() as u32;
        let (dropouts, colluders) = (count(assumed.dropouts), count(assumed.colluders));
        Ok(Self { cohort, assumed, dropouts, colluders, table: LogFactorials::up_to(u64::from(cohort)) })
    }

    fn parameters(&self, degree: u32, threshold: u32, risks: Risks) -> Parameters {
        Parameters {
            cohort: self.cohort,
            assumed: self.assumed,
            dropouts: self.dropouts,
            colluders: self.colluders,
            degree,
            threshold,
            min_survivors: (self.cohort - self.dropouts.min(self.cohort)).max(LEAST_COHORT),
            risks,
        }
    }

    /// 2t > n + colluders, and t shareholders left when the assumed dropouts are gone.
    fn complete(&self) -> Result<Parameters> {
        let threshold = (self.cohort + self.colluders) / 2 + 1;
        let remaining = self.cohort.saturating_sub(self.dropouts);
        if threshold > remaining {
            return Err(Error::new(Code::SecaggParameters, "no threshold keeps the secrets and survives the dropouts")
                .with(
                    "arithmetic",
                    format!(
                        "2·{threshold} > {} + {} but only {remaining} shareholders remain",
                        self.cohort, self.colluders
                    ),
                )
                .with("cohort", self.cohort)
                .with("dropouts", self.dropouts)
                .with("colluders", self.colluders));
        }
        let none = f64::NEG_INFINITY;
        let risks =
            Risks { both_secrets: none, too_few_shares: none, cut_by_chance: none, cut_on_purpose: none, total: none };
        Ok(self.parameters(self.cohort - 1, threshold, risks))
    }

    /// The threshold at which a degree risks least, if that is little enough.
    fn sparse(&self, degree: u32) -> Option<Parameters> {
        let cuts = self.risks(degree, degree);
        if sum_of(&[cuts.cut_by_chance, cuts.cut_on_purpose]) > LOG2_ACCEPTED {
            return None;
        }
        // More shares to open a secret: harder for colluders, easier to be short of. The first threshold that the colluders fail at
        // with room to spare leaves the most to the dropouts.
        let (mut low, mut high) = (degree / 2 + 1, degree);
        while low < high {
            let middle = low.midpoint(high);
            if self.both_secrets(degree, middle) <= LOG2_ACCEPTED - 1.0 { high = middle } else { low = middle + 1 }
        }
        let risks = self.risks(degree, high);
        (risks.total <= LOG2_ACCEPTED).then(|| self.parameters(degree, high, risks))
    }

    fn risks(&self, degree: u32, threshold: u32) -> Risks {
        let both_secrets = self.both_secrets(degree, threshold);
        let too_few_shares = self.too_few_shares(degree, threshold);
        let (cut_by_chance, cut_on_purpose) = (self.cut_by_chance(degree), self.cut_on_purpose(degree));
        let total = sum_of(&[both_secrets, too_few_shares, cut_by_chance, cut_on_purpose]);
        Risks { both_secrets, too_few_shares, cut_by_chance, cut_on_purpose, total }
    }

    /// The colluders, or those who stay, among the neighbours of one node.
    fn neighbours(&self, marked: u32, degree: u32) -> Urn {
        let things = u64::from(self.cohort) - 1;
        Urn { things, marked: u64::from(marked).min(things), drawn: u64::from(degree) }
    }

    fn both_secrets(&self, degree: u32, threshold: u32) -> f64 {
        let needed = (2 * u64::from(threshold)).saturating_sub(u64::from(degree) + 1);
        self.any_node(self.table.at_least(self.neighbours(self.colluders, degree), needed))
    }

    fn too_few_shares(&self, degree: u32, threshold: u32) -> f64 {
        let staying = (self.cohort - 1).saturating_sub(self.dropouts);
        self.any_node(self.table.below(self.neighbours(staying, degree), u64::from(threshold)))
    }

    /// P[the h = k/2 places after a given one are all gone] = Π (m − i)/(n − i), with m gone of n.
    fn cut_by_chance(&self, degree: u32) -> f64 {
        let (gone, cohort) = (self.dropouts + self.colluders, self.cohort);
        if gone < degree / 2 {
            return f64::NEG_INFINITY;
        }
        let row: f64 = (0..degree / 2).map(|i| (f64::from(gone - i) / f64::from(cohort - i)).min(1.0).log2()).sum();
        self.any_node(row)
    }

    /// Two rows of k/2 places, any two of n, of which colluders hold at least k − D.
    fn cut_on_purpose(&self, degree: u32) -> f64 {
        let urn = Urn { things: u64::from(self.cohort), marked: u64::from(self.colluders), drawn: u64::from(degree) };
        let needed = u64::from(degree.saturating_sub(self.dropouts));
        self.any_node(self.any_node(self.table.at_least(urn, needed)))
    }

    /// The union bound.
    fn any_node(&self, log2: f64) -> f64 {
        (log2 + f64::from(self.cohort).log2()).min(0.0)
    }
}

#[cfg(test)]
mod tests;
