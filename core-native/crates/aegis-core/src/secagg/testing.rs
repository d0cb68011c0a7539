//! What the tests of secure aggregation share: the known answers, and hexadecimal out of them.

use serde_json::Value;

use super::client::{Client, Floors};
use super::keys::KeyPair;
use super::messages::{
    Advert, CertifiedAdvert, Confirmation, OpenedShares, RosterRequest, SealedShare, SealedShares, ShareDelivery,
    SurvivorList, Terms, UnmaskRequest,
};
use super::residues::Residues;
use super::roster::Roster;
use super::server::removal::Removal;
use super::signing::SigningKey;

/// `tests/vectors/secagg/NAME.json`, written by `make_vectors.py` there without any code of ours.
pub(crate) fn vectors(name: &str) -> Value {
    read(&format!("secagg/{name}"))
}

/// `tests/vectors/flower/NAME.json`: what flwr itself computes.
pub(crate) fn flower_vectors(name: &str) -> Value {
    read(&format!("flower/{name}"))
}

fn read(name: &str) -> Value {
    let path = format!("{}/../../../tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))).unwrap()
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

pub(crate) trait Vector {
    /// A field of hexadecimal digits, as exactly N bytes.
    fn bytes<const N: usize>(&self, name: &str) -> [u8; N];
}

impl Vector for Value {
    fn bytes<const N: usize>(&self, name: &str) -> [u8; N] {
        hex(self[name].as_str().unwrap_or_else(|| panic!("no {name}"))).try_into().unwrap()
    }
}

/// Terms of a complete graph for a cohort of this size, in which one node may drop out.
pub(crate) fn terms(cohort: usize) -> Terms {
    let (degree, threshold) = (cohort as u32 - 1, cohort as u32 / 2 + 1);
    Terms { run: 7, round: 3, plan: [9; 32], degree, threshold, min_survivors: 2, bits: 23, length: 20 }
}

/// A certified key, as its owner holds it and as a certificate shows it.
pub(crate) struct Identity {
    pub key: SigningKey,
    pub pem: String,
}

impl Identity {
    pub fn generate() -> Self {
        let key = SigningKey::generate();
        Self { pem: key.public_pem(), key }
    }
}

/// Signed adverts of nodes 10, 20, … with fresh keys.
pub(crate) fn cohort(terms: &Terms, count: usize) -> Vec<CertifiedAdvert> {
    let advert = |node: u64| {
        let identity = Identity::generate();
        let (channel_key, mask_key) = (*KeyPair::generate().public(), *KeyPair::generate().public());
        let mut advert = Advert { node, channel_key, mask_key, expires: 1000, signature: vec![] };
        advert.signature = identity.key.sign(&advert.signed(&terms.digest())).unwrap();
        CertifiedAdvert { advert, subject: format!("CN=node {node}"), signing_key: identity.pem }
    };
    (1..=count as u64).map(|i| advert(10 * i)).collect()
}

/// The moment of all tests, in seconds since 1970.
pub(crate) const NOW: u64 = 1000;

pub(crate) struct Party {
    pub client: Client,
    pub identity: Identity,
}

/// A cohort and an honest server, brought to any stage; the tests change single requests of it.
pub(crate) struct Play {
    pub terms: Terms,
    pub floors: Floors,
    pub model: [u8; 32],
    pub parties: Vec<Party>,
    pub adverts: Vec<CertifiedAdvert>,
    pub shares: Vec<SealedShares>,
    pub masked: Vec<Option<Residues>>,
    pub confirmations: Vec<Option<Confirmation>>,
    pub opened: Vec<Option<OpenedShares>>,
}

impl Play {
    pub fn with(terms: Terms, floors: Floors, count: usize) -> Self {
        let party = |node: u64| {
            let identity = Identity::generate();
            let client = Client::advertise(node, terms.clone(), floors, &identity.key, 2 * NOW).unwrap();
            Party { client, identity }
        };
        let parties: Vec<Party> = (1..=count as u64).map(|i| party(10 * i)).collect();
        let certified = |party: &Party| CertifiedAdvert {
            advert: party.client.advert().unwrap().clone(),
            subject: format!("CN=node {}", party.client.node()),
            signing_key: party.identity.pem.clone(),
        };
        Self {
            adverts: parties.iter().map(certified).collect(),
            masked: vec![None; count],
            confirmations: vec![None; count],
            opened: vec![None; count],
            shares: Vec::new(),
            model: [6; 32],
            terms,
            floors,
            parties,
        }
    }

    pub fn advertised_with(terms: Terms, count: usize) -> Self {
        Self::with(terms, Floors { cohort: 3, survivors: 2, colluders: 0.0 }, count)
    }

    pub fn advertised(count: usize) -> Self {
        Self::advertised_with(terms(count), count)
    }

    pub fn shared(count: usize) -> Self {
        let mut play = Self::advertised(count);
        play.share_all();
        play
    }

    pub fn masked(count: usize) -> Self {
        let mut play = Self::shared(count);
        play.mask_all(&[]);
        play
    }

    pub fn masked_with(terms: Terms, floors: Floors) -> Self {
        let mut play = Self::with(terms, floors, 5);
        play.share_all();
        play.mask_all(&[]);
        play
    }

    pub fn confirmed(count: usize) -> Self {
        Self::confirmed_without(count, &[])
    }

    pub fn confirmed_without(count: usize, gone: &[usize]) -> Self {
        let mut play = Self::shared(count);
        gone.iter().for_each(|&at| play.parties[at].client.abort());
        play.mask_all(&[]);
        play.confirm_all(&[]);
        play
    }

    pub fn unmasked(count: usize) -> Self {
        let mut play = Self::confirmed(count);
        play.unmask_all(&[]);
        play
    }

    pub fn share_all(&mut self) {
        let roster = self.roster();
        let answers = self.parties.iter_mut().map(|party| party.client.share_keys(roster.clone(), NOW).unwrap());
        self.shares = answers.collect();
    }

    /// A node whose shares came too late: nobody gets them.
    pub fn leave_out(&mut self, at: usize) {
        let node = self.parties[at].client.node();
        self.shares.retain(|answer| answer.node != node);
        self.parties[at].client.abort();
    }

    pub fn mask_all(&mut self, without: &[usize]) {
        for at in self.living(2, without) {
            let (delivery, vector) = (self.delivery(at), self.vector(at));
            self.masked[at] = Some(self.parties[at].client.mask_input(&delivery, vector, 1).unwrap());
        }
    }

    pub fn confirm_all(&mut self, without: &[usize]) {
        let list = self.survivor_list();
        for at in self.living(3, without) {
            let party = &mut self.parties[at];
            self.confirmations[at] = Some(party.client.confirm_survivors(&list, &party.identity.key).unwrap());
        }
    }

    pub fn unmask_all(&mut self, without: &[usize]) {
        let request = self.unmask_request();
        for at in self.living(4, without) {
            self.opened[at] = Some(self.parties[at].client.unmask(&request).unwrap());
        }
    }

    /// Whose next stage this is.
    fn living(&self, stage: u8, without: &[usize]) -> Vec<usize> {
        let ready = |at: &usize| self.parties[*at].client.stage() == Some(stage - 1);
        (0..self.parties.len()).filter(|at| !without.contains(at)).filter(ready).collect()
    }

    pub fn roster(&self) -> RosterRequest {
        RosterRequest { terms: self.terms.digest(), adverts: self.adverts.clone() }
    }

    pub fn delivery(&self, to: usize) -> ShareDelivery {
        let node = self.parties[to].client.node();
        let mine = |answer: &SealedShares| {
            let share = answer.shares.iter().find(|share| share.peer == node)?;
            Some(SealedShare { peer: answer.node, sealed: share.sealed.clone() })
        };
        let shares = self.shares.iter().filter_map(mine).collect();
        ShareDelivery { terms: self.terms.digest(), model: self.model, shares }
    }

    /// Everybody who has masked, or everybody while nobody has.
    pub fn survivors(&self) -> Vec<usize> {
        let all = self.masked.iter().all(Option::is_none);
        (0..self.parties.len()).filter(|&at| all || self.masked[at].is_some()).collect()
    }

    fn nodes(&self, positions: &[usize]) -> Vec<u64> {
        positions.iter().map(|&at| self.parties[at].client.node()).collect()
    }

    pub fn survivor_list(&self) -> SurvivorList {
        SurvivorList { terms: self.terms.digest(), survivors: self.nodes(&self.survivors()) }
    }

    pub fn dropped(&self) -> Vec<u64> {
        let survivors = self.nodes(&self.survivors());
        self.shares.iter().map(|answer| answer.node).filter(|node| !survivors.contains(node)).collect()
    }

    pub fn unmask_request(&self) -> UnmaskRequest {
        UnmaskRequest {
            terms: self.terms.digest(),
            survivors: self.survivor_list().survivors,
            dropped: self.dropped(),
            confirmations: self.confirmations.iter().flatten().cloned().collect(),
        }
    }

    pub fn transcript(&self) -> [u8; 32] {
        *Roster::known(&self.terms, self.adverts.clone()).unwrap().transcript()
    }

    /// Small values, different for each node and element.
    pub fn vector(&self, at: usize) -> Residues {
        let mut vector = Residues::new(self.terms.bits, self.terms.length as usize).unwrap();
        let values: Vec<i64> = (0..vector.len()).map(|element| (at * 31 + element * 7) as i64 % 100 - 50).collect();
        vector.put(0, &values);
        vector
    }

    pub fn removal(&self) -> Removal {
        let roster = Roster::new(&self.terms, self.adverts.clone(), NOW).unwrap();
        let survivors = self.survivor_list().survivors;
        let mut removal = Removal::new(roster, self.model, &survivors, &self.dropped()).unwrap();
        self.opened.iter().flatten().for_each(|opened| removal.take(opened).unwrap());
        removal
    }

    /// Plays what is left, then opens the sum and compares it with that of the survivors' inputs.
    pub fn finish(&mut self) {
        if self.shares.is_empty() {
            self.share_all();
        }
        self.mask_all(&[]);
        self.confirm_all(&[]);
        self.unmask_all(&[]);
        let mut sum = Residues::new(self.terms.bits, self.terms.length as usize).unwrap();
        self.masked.iter().flatten().for_each(|masked| sum.add_packed(0, &masked.pack()).unwrap());
        sum.subtract(&self.removal().total_mask(&self.terms, 2).unwrap()).unwrap();
        let mut expected = Residues::new(self.terms.bits, self.terms.length as usize).unwrap();
        self.survivors().iter().for_each(|&at| expected.add(&self.vector(at)).unwrap());
        assert_eq!(sum, expected);
    }
}
