//! Which masks lie on a node's input: one of its own, and one with each neighbour, which the neighbour's undoes.

use super::keys::{KeyPair, derive};
use super::keystream::Seed;
use super::messages::Digest;
use super::residues::Mask;
use super::roster::Roster;
use crate::error::Result;

/// The self mask of the node at `own`.
pub fn own(roster: &Roster, own: usize, seed: &Seed, model: &Digest) -> Mask {
    let key = derive(roster.transcript(), seed, &[b"self mask", model, &roster.node(own).to_le_bytes()]);
    Mask::new(&key, true)
}

/// The mask between two nodes, as the one at `own` adds it: the greater id adds what the smaller takes away.
pub fn pairwise(roster: &Roster, own: usize, peer: usize, key: &KeyPair, model: &Digest) -> Result<Mask> {
    let secret = key.agree(roster.mask_key(peer)).map_err(|error| error.with("node", roster.node(peer)))?;
    let (low, high) = (own.min(peer), own.max(peer)); // the roster is in the order of ids
    let (low, high) = (roster.node(low).to_le_bytes(), roster.node(high).to_le_bytes());
    let mask = derive(roster.transcript(), &secret, &[b"pair mask", model, &low, &high]);
    Ok(Mask::new(&mask, own > peer))
}
