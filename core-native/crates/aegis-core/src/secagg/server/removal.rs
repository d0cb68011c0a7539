//! The secagg service's part: opened shares become secrets, secrets become masks, and all masks that did not cancel become one
//! vector, the total mask. One node's mask never leaves.
//!
//! For each node either the shares of its seed are taken (it survived) or those of its key (it dropped), never both: the sets are
//! disjoint by construction and a share of the other kind is refused.

use std::collections::BTreeMap;

use crate::error::{Code, Error, Result};
use crate::secagg::keys::KeyPair;
use crate::secagg::keystream::Seed;
use crate::secagg::masks;
use crate::secagg::messages::{Digest, OpenedShare, OpenedShares, Terms};
use crate::secagg::residues::{Mask, Residues};
use crate::secagg::roster::Roster;
use crate::secagg::shamir::{Combiner, SHARE_BYTES, Share};

pub struct Removal {
    roster: Roster,
    model: Digest,
    /// By position in the roster: what is to be opened, and the shares of it by the position of their holder.
    owners: BTreeMap<usize, Owner>,
    /// Who has answered.
    holders: Vec<bool>,
}

struct Owner {
    survived: bool,
    shares: BTreeMap<usize, Share>,
}

impl Removal {
    /// `survivors` delivered a masked vector; `dropped` shared their keys but did not.
    pub fn new(roster: Roster, model: Digest, survivors: &[u64], dropped: &[u64]) -> Result<Self> {
        let mut owners = BTreeMap::new();
        for (nodes, survived) in [(survivors, true), (dropped, false)] {
            for &node in nodes {
                let at = roster.position(node).ok_or_else(|| wrong("a node is not in the roster", node))?;
                if owners.insert(at, Owner { survived, shares: BTreeMap::new() }).is_some() {
                    return Err(wrong("a node is listed twice", node));
                }
            }
        }
        let holders = vec![false; roster.len()];
        Ok(Self { roster, model, owners, holders })
    }

    /// Takes one survivor's opened shares. What it sends must be shares it can hold, one for each node, of the right kind.
    /// [`Code::SecaggShares`], and nothing taken, if not: that node is then left out, the round goes on while enough others answer.
    pub fn take(&mut self, opened: &OpenedShares) -> Result<()> {
        let (holder, taken) = self.read(opened)?;
        self.holders[holder] = true;
        for (at, share) in taken {
            if let Some(owner) = self.owners.get_mut(&at) {
                owner.shares.insert(holder, share);
            }
        }
        Ok(())
    }

    /// What [`Self::take`] would say, and nothing taken.
    pub fn check(&self, opened: &OpenedShares) -> Result<()> {
        self.read(opened).map(drop)
    }

    /// The position of who answers, and its shares by the position of their owners.
    fn read(&self, opened: &OpenedShares) -> Result<(usize, BTreeMap<usize, Share>)> {
        let holder = self.roster.position(opened.node).filter(|at| self.owners.get(at).is_some_and(|own| own.survived));
        let holder = holder.ok_or_else(|| wrong("shares come from a survivor", opened.node))?;
        if self.holders[holder] {
            return Err(wrong("a node has answered already", opened.node));
        }
        let mut taken = BTreeMap::new();
        for (shares, survived) in [(&opened.seeds, true), (&opened.keys, false)] {
            for OpenedShare { of, share } in shares {
                let at = self.roster.position(*of).filter(|&at| {
                    (at == holder || self.roster.are_neighbours(at, holder))
                        && self.owners.get(&at).is_some_and(|own| own.survived == survived)
                });
                let at = at.ok_or_else(|| wrong("a share is of no node asked for, or of its other secret", *of))?;
                let share = <&[u8; SHARE_BYTES]>::try_from(&share[..]).ok().and_then(Share::from_bytes);
                let share = share.ok_or_else(|| wrong("a share is no share", *of))?;
                if taken.insert(at, share).is_some() {
                    return Err(wrong("a node's share is there twice", *of));
                }
            }
        }
        Ok((holder, taken))
    }

    /// Whether every secret has a threshold of shares.
    pub fn is_possible(&self) -> bool {
        self.owners.values().all(|owner| owner.shares.len() >= self.roster.threshold())
    }

    /// Everything the aggregator must take away from its sum, on as many threads as asked for. [`Code::SecaggShares`] if there are too
    /// few shares, or if they give no secret, or another key than the one advertised.
    pub fn total_mask(&self, terms: &Terms, threads: usize) -> Result<Residues> {
        let masks = self.masks()?;
        let mut total = Residues::new(terms.bits, terms.length as usize)?;
        total.add_masks(&masks, threads);
        Ok(total)
    }

    fn masks(&self) -> Result<Vec<Mask>> {
        let mut combiners = BTreeMap::new();
        let mut masks = Vec::new();
        for (&at, owner) in &self.owners {
            let secret =
                self.secret(owner, &mut combiners).map_err(|error| error.with("node", self.roster.node(at)))?;
            if owner.survived {
                masks.push(masks::own(&self.roster, at, &secret, &self.model));
                continue;
            }
            let key = KeyPair::from_secret(secret);
            if key.public() != self.roster.mask_key(at) {
                return Err(wrong("the shares give another key than the one advertised", self.roster.node(at)));
            }
            for peer in self.roster.neighbours(at) {
                if self.owners.get(&peer).is_some_and(|peer| peer.survived) {
                    // what the peer added is what the dropped node would have added, turned round
                    masks.push(masks::pairwise(&self.roster, at, peer, &key, &self.model)?.opposite());
                }
            }
        }
        Ok(masks)
    }

    /// From the first threshold of holders; in a complete graph these are the same for nearly all, and the weights are kept.
    fn secret(&self, owner: &Owner, combiners: &mut BTreeMap<Vec<u32>, Combiner>) -> Result<Seed> {
        let threshold = self.roster.threshold();
        if owner.shares.len() < threshold {
            return Err(Error::new(Code::SecaggShares, "too few shares")
                .with("needed", threshold)
                .with("got", owner.shares.len()));
        }
        let chosen: Vec<_> = owner.shares.iter().take(threshold).collect();
        let points: Vec<u32> = chosen.iter().map(|(at, _)| self.roster.point(**at)).collect();
        let combiner = match combiners.get(&points) {
            Some(known) => known,
            None => combiners.entry(points.clone()).or_insert(Combiner::new(&points)?),
        };
        combiner.combine(&chosen.into_iter().map(|(_, share)| share).collect::<Vec<_>>())
    }
}

fn wrong(what: &str, node: u64) -> Error {
    Error::new(Code::SecaggShares, what).with("node", node)
}

#[cfg(test)]
mod tests;
