//! Round 3: the server says whose inputs are in the sum; the node signs that, and the model, for its neighbours to compare.

use std::fmt;

use super::Context;
use super::r2_masked_input::Masked;
use crate::error::{Error, Result};
use crate::secagg::messages::{Confirmation, Digest, survivors_digest};
use crate::secagg::refusal::Refusal;
use crate::secagg::roster::Roster;
use crate::secagg::sealing::SharePair;
use crate::secagg::signing::SigningKey;

pub(super) struct Confirmed {
    pub roster: Roster,
    pub received: Vec<(usize, SharePair)>,
    /// Ascending.
    pub survivors: Vec<u64>,
    pub request: Digest,
    pub answer: Confirmation,
}

impl Masked {
    pub fn confirm(
        self,
        context: &Context,
        survivors: &[u64],
        request: Digest,
        signer: &SigningKey,
    ) -> Result<Confirmed> {
        let positions = positions(&self.roster, survivors)?;
        let own = self.roster.position(context.node).filter(|own| positions.binary_search(own).is_ok());
        let own = own.ok_or(Refusal::NotAmongSurvivors)?;
        let floor = context.terms.min_survivors; // which is no lower than the owner's: r1 has seen to that
        if positions.len() < floor as usize {
            let error = Error::from(Refusal::SurvivorsBelowFloor);
            return Err(error.with("survivors", positions.len()).with("floor", floor));
        }
        // A neighbour whose shares never came has no mask with this node, and this node could not help to open its own.
        let stranger = positions.iter().find(|&&at| self.roster.are_neighbours(own, at) && !self.holds(at));
        if let Some(&stranger) = stranger {
            return Err(Refusal::ShareMissing.about(self.roster.node(stranger)));
        }
        let mut answer = Confirmation {
            node: context.node,
            survivors: survivors_digest(survivors),
            model: self.model,
            signature: Vec::new(),
        };
        answer.signature = signer.sign(&answer.signed(self.roster.transcript()))?;
        let survivors = positions.iter().map(|&at| self.roster.node(at)).collect();
        Ok(Confirmed { roster: self.roster, received: self.received, survivors, request, answer })
    }

    fn holds(&self, at: usize) -> bool {
        self.received.binary_search_by_key(&at, |(at, _)| *at).is_ok()
    }
}

/// Where nodes stand in the roster, ascending; refuses strangers and repetitions.
pub(super) fn positions(roster: &Roster, nodes: &[u64]) -> Result<Vec<usize>> {
    let at = |&node: &u64| roster.position(node).ok_or_else(|| Refusal::UnknownNode.about(node));
    let mut positions = nodes.iter().map(at).collect::<Result<Vec<_>>>()?;
    positions.sort_unstable();
    match positions.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Refusal::NodeTwice.about(roster.node(pair[0]))),
        None => Ok(positions),
    }
}

impl fmt::Debug for Confirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Confirmed(…)")
    }
}
