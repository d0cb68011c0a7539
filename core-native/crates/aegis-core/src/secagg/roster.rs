//! Everybody who takes part in a round, as all of them see it, and who is whose neighbour.
//!
//! The transcript hashes terms and public keys of everybody. All secrets of the round are derived over it: nodes that were shown
//! different rosters share none.

use std::collections::HashSet;

use super::keystream::Draws;
use super::messages::{CertifiedAdvert, Confirmation, Digest, Terms};
use super::refusal::Refusal;
use super::shamir::MAX_SHARES;
use super::signing::VerifyingKey;
use crate::error::Result;
use crate::hash::{Sha256, sha256};

#[derive(Clone, Debug)]
pub struct Roster {
    /// By node id.
    adverts: Vec<CertifiedAdvert>,
    keys: Vec<VerifyingKey>,
    transcript: Digest,
    /// Positions in the order of the ring, and where each stands there.
    ring: Vec<u32>,
    place: Vec<u32>,
    degree: u32,
    threshold: u32,
}

impl Roster {
    /// Refuses a node, a subject or a key that is there twice, an advert that is not signed by its certificate's key for these terms,
    /// and one that has expired at `now` (seconds since 1970).
    pub fn new(terms: &Terms, adverts: Vec<CertifiedAdvert>, now: u64) -> Result<Self> {
        let roster = Self::assemble(terms, adverts)?;
        let digest = terms.digest();
        for (CertifiedAdvert { advert, .. }, key) in roster.adverts.iter().zip(&roster.keys) {
            if !key.verify(&advert.signed(&digest), &advert.signature) {
                return Err(Refusal::AdvertUnsigned.about(advert.node));
            }
            if advert.expires <= now {
                return Err(Refusal::AdvertExpired.about(advert.node));
            }
        }
        Ok(roster)
    }

    /// A roster that was verified before, out of a sealed state.
    pub(super) fn known(terms: &Terms, adverts: Vec<CertifiedAdvert>) -> Option<Self> {
        Self::assemble(terms, adverts).ok()
    }

    fn assemble(terms: &Terms, mut adverts: Vec<CertifiedAdvert>) -> Result<Self> {
        adverts.sort_by_key(|entry| entry.advert.node);
        refuse_twins(&adverts)?;
        let key = |CertifiedAdvert { advert, signing_key, .. }: &CertifiedAdvert| {
            VerifyingKey::from_pem(signing_key).map_err(|_| Refusal::AdvertUnsigned.about(advert.node))
        };
        let keys = adverts.iter().map(key).collect::<Result<_>>()?;
        let transcript = transcript(&terms.digest(), &adverts);
        let (ring, place) = ring(&transcript, adverts.len());
        let degree = terms.degree.min((adverts.len() - 1) as u32);
        Ok(Self { adverts, keys, transcript, ring, place, degree, threshold: terms.threshold })
    }

    pub fn len(&self) -> usize {
        self.adverts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.adverts.is_empty()
    }

    pub fn transcript(&self) -> &Digest {
        &self.transcript
    }

    pub fn degree(&self) -> u32 {
        self.degree
    }

    pub fn threshold(&self) -> usize {
        self.threshold as usize
    }

    pub fn adverts(&self) -> &[CertifiedAdvert] {
        &self.adverts
    }

    pub fn position(&self, node: u64) -> Option<usize> {
        self.adverts.binary_search_by_key(&node, |entry| entry.advert.node).ok()
    }

    pub fn node(&self, position: usize) -> u64 {
        self.adverts[position].advert.node
    }

    /// Where a node's shares are taken: its place in the roster, from 1.
    pub fn point(&self, position: usize) -> u32 {
        position as u32 + 1
    }

    pub fn channel_key(&self, position: usize) -> &Digest {
        &self.adverts[position].advert.channel_key
    }

    pub fn mask_key(&self, position: usize) -> &Digest {
        &self.adverts[position].advert.mask_key
    }

    pub fn signing_key(&self, position: usize) -> &VerifyingKey {
        &self.keys[position]
    }

    /// Ascending.
    pub fn neighbours(&self, position: usize) -> Vec<usize> {
        (0..self.len()).filter(|&other| self.are_neighbours(position, other)).collect()
    }

    /// Everybody in a complete graph, else those within half the degree on either side of the ring.
    pub fn are_neighbours(&self, one: usize, other: usize) -> bool {
        if one == other {
            return false;
        }
        let count = self.len() as u32;
        let ahead = (self.place[one] + count - self.place[other]) % count;
        self.degree == count - 1 || ahead.min(count - ahead) <= self.degree / 2
    }

    /// Whether a node of this roster signed this set of survivors and this model.
    pub fn check_confirmation(&self, confirmation: &Confirmation, survivors: &Digest, model: &Digest) -> Result<()> {
        let node = confirmation.node;
        let at = self.position(node).ok_or_else(|| Refusal::UnknownNode.about(node))?;
        if !self.signing_key(at).verify(&confirmation.signed(&self.transcript), &confirmation.signature) {
            return Err(Refusal::ConfirmationUnsigned.about(node));
        }
        if confirmation.model != *model {
            return Err(Refusal::ModelDiffers.about(node));
        }
        if confirmation.survivors != *survivors { Err(Refusal::SurvivorsDiffer.about(node)) } else { Ok(()) }
    }

    /// Positions in the order of the ring.
    pub fn ring(&self) -> &[u32] {
        &self.ring
    }
}

fn refuse_twins(adverts: &[CertifiedAdvert]) -> Result<()> {
    if adverts.is_empty() || adverts.len() > MAX_SHARES {
        return Err(Refusal::CohortBelowFloor.into());
    }
    let (mut subjects, mut keys) = (HashSet::new(), HashSet::new());
    let mut last = None;
    for CertifiedAdvert { advert, subject, .. } in adverts {
        if last.replace(advert.node) == Some(advert.node) {
            return Err(Refusal::NodeTwice.about(advert.node));
        }
        if !subjects.insert(subject) {
            return Err(Refusal::SubjectTwice.about(advert.node));
        }
        if !keys.insert(advert.channel_key) || !keys.insert(advert.mask_key) {
            return Err(Refusal::KeyTwice.about(advert.node));
        }
    }
    Ok(())
}

fn transcript(terms: &Digest, adverts: &[CertifiedAdvert]) -> Digest {
    let mut hash = Sha256::default();
    hash.field(b"aegis secagg roster v1");
    hash.update(terms);
    for CertifiedAdvert { advert, .. } in adverts {
        hash.update(&advert.node.to_le_bytes());
        hash.update(&advert.channel_key);
        hash.update(&advert.mask_key);
    }
    hash.finish()
}

/// A permutation (Fisher and Yates) drawn from the transcript: the same for everybody, and nobody's choice once the adverts are in.
fn ring(transcript: &Digest, count: usize) -> (Vec<u32>, Vec<u32>) {
    let mut draws = Draws::new(&sha256([&b"aegis secagg ring v1"[..], transcript]));
    let mut ring: Vec<u32> = (0..count as u32).collect();
    (1..count).rev().for_each(|i| ring.swap(i, draws.below(i as u64 + 1) as usize));
    let mut place = vec![0; count];
    ring.iter().enumerate().for_each(|(at, &position)| place[position as usize] = at as u32);
    (ring, place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secagg::testing::{cohort, terms};

    fn refusal(terms: &Terms, adverts: Vec<CertifiedAdvert>, now: u64) -> Option<Refusal> {
        Refusal::of(&Roster::new(terms, adverts, now).expect_err("refused"))
    }

    #[test]
    fn neighbours_are_mutual_and_as_many_as_the_degree() {
        for (count, degree, expected) in [(5, 4, 4), (5, 100, 4), (12, 4, 4), (12, 10, 10), (2, 1, 1)] {
            let terms = Terms { degree, ..terms(count) };
            let roster = Roster::new(&terms, cohort(&terms, count), 0).unwrap();
            for one in 0..count {
                let neighbours = roster.neighbours(one);
                assert_eq!(neighbours.len(), expected, "{count} {degree}");
                assert!(neighbours.iter().all(|&other| other != one && roster.are_neighbours(other, one)));
            }
            let mut ring = roster.ring().to_vec();
            ring.sort_unstable();
            assert_eq!(ring, (0..count as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_order_of_delivery_does_not_matter_and_everything_else_does() {
        let terms = terms(6);
        let adverts = cohort(&terms, 6);
        let roster = Roster::new(&terms, adverts.clone(), 0).unwrap();
        let mut turned = adverts.clone();
        turned.reverse();
        assert_eq!(Roster::new(&terms, turned, 0).unwrap().transcript(), roster.transcript());
        assert_ne!(Roster::new(&terms, adverts[1..].to_vec(), 0).unwrap().transcript(), roster.transcript());
        assert_ne!(Roster::new(&terms, cohort(&terms, 6), 0).unwrap().transcript(), roster.transcript(), "fresh keys");
        for position in 0..6 {
            assert_eq!(roster.position(roster.node(position)), Some(position));
        }
        assert_eq!(roster.position(u64::MAX), None);
    }

    #[test]
    fn what_no_honest_server_shows_is_refused_by_name() {
        let terms = terms(4);
        let adverts = cohort(&terms, 4);
        let changed = |change: &dyn Fn(&mut Vec<CertifiedAdvert>)| {
            let mut adverts = adverts.clone();
            change(&mut adverts);
            adverts
        };
        let cases: [(Refusal, Vec<CertifiedAdvert>); 7] = [
            (Refusal::CohortBelowFloor, vec![]),
            (Refusal::NodeTwice, changed(&|adverts| adverts.push(adverts[0].clone()))),
            (Refusal::SubjectTwice, changed(&|adverts| adverts[1].subject = adverts[0].subject.clone())),
            (Refusal::KeyTwice, changed(&|adverts| adverts[1].advert.mask_key = adverts[0].advert.channel_key)),
            (Refusal::AdvertUnsigned, changed(&|adverts| adverts[1].advert.mask_key[0] ^= 1)),
            (Refusal::AdvertUnsigned, changed(&|adverts| adverts[1].advert.node += 1000)),
            (Refusal::AdvertUnsigned, changed(&|adverts| adverts[1].signing_key = adverts[0].signing_key.clone())),
        ];
        for (expected, adverts) in cases {
            assert_eq!(refusal(&terms, adverts, 0), Some(expected));
        }
        assert_eq!(refusal(&terms, adverts.clone(), u64::MAX), Some(Refusal::AdvertExpired));
        let other = Terms { round: terms.round + 1, ..terms };
        assert_eq!(refusal(&other, adverts, 0), Some(Refusal::AdvertUnsigned), "signed for another round");
    }
}
