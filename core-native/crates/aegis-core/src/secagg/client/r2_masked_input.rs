//! Round 2: the neighbours' shares come and are opened; the input leaves masked.
//!
//! Masks are derived over the transcript and the model: nodes that were shown different models have masks that do not cancel.
//! What gave the masks is forgotten here. What others need to be unmasked is all the node still holds.

use std::collections::HashSet;
use std::fmt;

use super::Context;
use super::r1_share_keys::{Shared, channel};
use crate::error::Result;
use crate::secagg::masks;
use crate::secagg::messages::{Digest, ShareDelivery};
use crate::secagg::refusal::Refusal;
use crate::secagg::residues::Residues;
use crate::secagg::roster::Roster;
use crate::secagg::sealing::{Envelope, SharePair};

pub(super) struct Masked {
    pub roster: Roster,
    pub model: Digest,
    /// By position in the roster, ascending: those whose input carries a mask with this node's, and this node itself.
    pub received: Vec<(usize, SharePair)>,
    pub request: Digest,
}

impl Shared {
    pub fn mask_input(
        self,
        context: &Context,
        delivery: &ShareDelivery,
        request: Digest,
        mut vector: Residues,
        threads: usize,
    ) -> Result<(Masked, Residues)> {
        let Self { roster, channel, .. } = &self;
        let own = roster.position(context.node).ok_or(Refusal::KeySubstituted)?;
        let mut senders = HashSet::new();
        let mut received = Vec::with_capacity(delivery.shares.len() + 1);
        for share in &delivery.shares {
            let at = roster.position(share.peer).filter(|&at| roster.are_neighbours(own, at));
            let at = at.ok_or_else(|| Refusal::UnknownNode.about(share.peer))?;
            if !senders.insert(at) {
                return Err(Refusal::ShareTwice.about(share.peer));
            }
            let envelope = Envelope { transcript: roster.transcript(), from: share.peer, to: context.node };
            let key = self::channel(channel, roster, at, &envelope)?;
            let pair = envelope.open(&key, &share.sealed).map_err(|error| error.with("node", share.peer))?;
            received.push((at, pair));
        }
        if received.len() + 1 < roster.threshold() {
            return Err(Refusal::TooFewShares.into());
        }

        let mut masks = vec![masks::own(roster, own, &self.seed, &delivery.model)];
        for (peer, _) in &received {
            masks.push(masks::pairwise(roster, own, *peer, &self.mask, &delivery.model)?);
        }
        vector.add_masks(&masks, threads);
        received.push((own, self.kept));
        received.sort_by_key(|(at, _)| *at);
        Ok((Masked { roster: self.roster, model: delivery.model, received, request }, vector))
    }
}

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masked(…)")
    }
}
