//! What the tests of secure aggregation share: the known answers, and hexadecimal out of them.

use aws_lc_rs::signature::Ed25519KeyPair;
use serde_json::Value;

use super::keys::KeyPair;
use super::messages::{Advert, CertifiedAdvert, Terms};
use super::signing::SigningKey;
use crate::random;

/// `tests/vectors/secagg/NAME.json`, written by `make_vectors.py` there without any code of ours.
pub(crate) fn vectors(name: &str) -> Value {
    let path = format!("{}/../../../tests/vectors/secagg/{name}.json", env!("CARGO_MANIFEST_DIR"));
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
        let pair = Ed25519KeyPair::from_seed_unchecked(&random::<32>()).unwrap();
        let key = SigningKey::from_pkcs8(pair.to_pkcs8().unwrap().as_ref()).unwrap();
        let pem = public_pem(key.public());
        Self { key, pem }
    }
}

fn public_pem(raw: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = [&prefix[..], raw, &[0]].concat(); // 44 bytes and one that fills up: 15 groups
    let text: String = der
        .chunks(3)
        .flat_map(|group| {
            let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
            [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift & 63) as usize] as char)
        })
        .collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}=\n-----END PUBLIC KEY-----\n", &text[..59])
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
