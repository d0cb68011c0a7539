//! Round 1: the roster comes; the node checks all of it and shares its two secrets among its neighbours and itself.
//!
//! The seed of the self mask hides the input if the server pretends that the node dropped out; the mask key takes the pairwise masks
//! away if it really did. No honest neighbour ever opens shares of both.

use std::fmt;

use super::Context;
use super::r0_advertise_keys::Advertised;
use crate::error::Result;
use crate::random;
use crate::secagg::keys::{KeyPair, derive};
use crate::secagg::keystream::Seed;
use crate::secagg::messages::{CertifiedAdvert, Digest, SealedShare, SealedShares};
use crate::secagg::refusal::Refusal;
use crate::secagg::roster::Roster;
use crate::secagg::sealing::{Envelope, SharePair};
use crate::secagg::shamir;

pub(super) struct Shared {
    pub channel: KeyPair,
    pub mask: KeyPair,
    /// Of the self mask.
    pub seed: Seed,
    /// This node's share of its own secrets: a survivor helps to open its own self mask.
    pub kept: SharePair,
    pub roster: Roster,
    pub request: Digest,
    pub answer: SealedShares,
}

impl Advertised {
    pub fn share_keys(
        self,
        context: &Context,
        adverts: Vec<CertifiedAdvert>,
        request: Digest,
        now: u64,
    ) -> Result<Shared> {
        let roster = Roster::new(&context.terms, adverts, now)?;
        let own = roster.position(context.node).filter(|&at| roster.adverts()[at].advert == self.advert);
        let own = own.ok_or(Refusal::KeySubstituted)?;
        context.floors.admit(&context.terms, &roster)?;

        let seed = Seed::new(random());
        let neighbours = roster.neighbours(own);
        let points: Vec<u32> = neighbours.iter().chain([&own]).map(|&at| roster.point(at)).collect();
        let mut seeds = shamir::split(&seed, roster.threshold(), &points)?;
        let mut keys = shamir::split(self.mask.secret(), roster.threshold(), &points)?;
        let kept = seeds.pop().zip(keys.pop()).map(|(seed, key)| SharePair { seed, key });
        let kept = kept.expect("a share for each point, this node's last");
        let mut shares = Vec::with_capacity(neighbours.len());
        for ((&at, seed), key) in neighbours.iter().zip(seeds).zip(keys) {
            let envelope = Envelope { transcript: roster.transcript(), from: context.node, to: roster.node(at) };
            let sealing_key = channel(&self.channel, &roster, at, &envelope)?;
            shares
                .push(SealedShare { peer: envelope.to, sealed: envelope.seal(&sealing_key, &SharePair { seed, key }) });
        }
        let answer = SealedShares { node: context.node, shares };
        Ok(Shared { channel: self.channel, mask: self.mask, seed, kept, roster, request, answer })
    }
}

/// The key of one direction between this node and another.
pub(super) fn channel(own: &KeyPair, roster: &Roster, peer: usize, envelope: &Envelope) -> Result<Seed> {
    let secret = own.agree(roster.channel_key(peer)).map_err(|error| error.with("node", roster.node(peer)))?;
    Ok(derive(envelope.transcript, &secret, &[b"share", &envelope.from.to_le_bytes(), &envelope.to.to_le_bytes()]))
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared(…)")
    }
}
