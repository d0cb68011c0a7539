//! Round 4: the node opens what it holds, once: of a survivor the share of its seed, of a dropped node the share of its key.
//!
//! It does so only after more than half of the roster and its assumed colluders have signed that they were shown the same survivors and
//! the same model. Two sets cannot both have that many signatures. Neighbours alone would do for no more than their own secrets: on a
//! sparse ring a server could tell another story further along, and open a sum of fewer nodes than anybody agreed to.

use std::collections::HashSet;
use std::fmt;

use super::Context;
use super::r3_confirm_survivors::{Confirmed, positions};
use crate::error::Result;
use crate::secagg::messages::{Confirmation, Digest, OpenedShare, OpenedShares, UnmaskRequest};
use crate::secagg::refusal::Refusal;
use crate::secagg::shamir::Share;

pub(super) struct Unmasked {
    pub request: Digest,
    pub answer: OpenedShares,
}

impl Confirmed {
    pub fn unmask(self, context: &Context, asked: &UnmaskRequest, request: Digest) -> Result<Unmasked> {
        let survivors = positions(&self.roster, &asked.survivors)?;
        let dropped = positions(&self.roster, &asked.dropped)?;
        if let Some(&both) = dropped.iter().find(|at| survivors.binary_search(at).is_ok()) {
            return Err(Refusal::InBothLists.about(self.roster.node(both)));
        }
        if !survivors.iter().map(|&at| self.roster.node(at)).eq(self.survivors.iter().copied()) {
            return Err(Refusal::SecondSurvivorSet.into());
        }
        // In a sparse graph others may hold shares of a dropped node; of a neighbour this node must.
        let own = self.roster.position(context.node).ok_or(Refusal::KeySubstituted)?;
        let held = |at: &usize| self.received.binary_search_by_key(at, |(at, _)| *at).is_ok();
        let stranger = dropped.iter().find(|at| self.roster.are_neighbours(own, **at) && !held(at));
        if let Some(&stranger) = stranger {
            return Err(Refusal::ShareMissing.about(self.roster.node(stranger)));
        }
        self.count_confirmations(context, own, &asked.confirmations)?;

        let mut answer = OpenedShares { node: context.node, seeds: Vec::new(), keys: Vec::new() };
        for (at, pair) in &self.received {
            let opened = |share: &Share| OpenedShare { of: self.roster.node(*at), share: share.to_bytes().to_vec() };
            if survivors.binary_search(at).is_ok() {
                answer.seeds.push(opened(&pair.seed));
            } else if dropped.binary_search(at).is_ok() {
                answer.keys.push(opened(&pair.key));
            }
        }
        Ok(Unmasked { request, answer })
    }

    /// A quorum of survivors, this node among them, must have signed this very set and model.
    fn count_confirmations(&self, context: &Context, own: usize, confirmations: &[Confirmation]) -> Result<()> {
        let mut seen = HashSet::new();
        let mut count = 1; // this node's own
        for confirmation in confirmations {
            let node = confirmation.node;
            let at = self.roster.position(node).ok_or_else(|| Refusal::UnknownNode.about(node))?;
            if !seen.insert(at) {
                return Err(Refusal::NodeTwice.about(node));
            }
            if at == own || self.survivors.binary_search(&node).is_err() {
                continue;
            }
            self.roster.check_confirmation(confirmation, &self.answer.survivors, &self.answer.model)?;
            count += 1;
        }
        if count < context.floors.quorum(self.roster.len()) { Err(Refusal::TooFewConfirmations.into()) } else { Ok(()) }
    }
}

impl fmt::Debug for Unmasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unmasked(…)")
    }
}
