//! ECDSA with SHA-256 over P-256, P-384 or P-521, public keys as SubjectPublicKeyInfo in PEM (RFC 5480, RFC 7468).
//!
//! The digest is SHA-256 whatever the curve: that is what Flower's nodes sign with.

mod montgomery;
mod p384;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P521_SHA256_ASN1, EcdsaVerificationAlgorithm, ParsedPublicKey,
};

use crate::error::{Code, Error, Result};

/// Longest PEM looked at; a P-521 key takes 268 bytes.
const MAX_PEM: usize = 4096;
/// Bytes of an uncompressed point.
const P384_POINT: usize = 97;

/// DER has exactly one encoding of an uncompressed point on a named curve, so everything before the point is a constant:
/// SEQUENCE { SEQUENCE { ecPublicKey, curve }, BIT STRING (0 unused bits) … point }.
struct Curve {
    prefix: &'static [u8],
    point: usize,
    algorithm: &'static EcdsaVerificationAlgorithm,
}

pub(crate) const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

pub(crate) const P384_PREFIX: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22, 0x03, 0x62, 0x00,
];

static CURVES: [Curve; 3] = [
    Curve { prefix: &P256_PREFIX, point: 65, algorithm: &ECDSA_P256_SHA256_ASN1 },
    Curve { prefix: &P384_PREFIX, point: 97, algorithm: &ECDSA_P384_SHA256_ASN1 },
    Curve {
        prefix: &[
            0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
            0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00,
        ],
        point: 133,
        algorithm: &ECDSA_P521_SHA256_ASN1,
    },
];

/// A key that was parsed. From its second signature on a P-384 key is verified with tables of its own (p384.rs), which take
/// as long to make as one signature to verify without them.
pub struct PublicKey {
    parsed: ParsedPublicKey,
    /// Of a P-384 key: uncompressed.
    p384_point: Option<Box<[u8]>>,
    used: AtomicBool,
    table: OnceLock<p384::Table>,
}

impl PublicKey {
    /// [`Code::SignatureKey`] if the text is no PEM public key, the curve is another one, or the point is not on it.
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        let der = decode_pem(pem).ok_or_else(|| unusable("not a PEM public key"))?;
        let curve = CURVES
            .iter()
            .find(|curve| der.len() == curve.prefix.len() + curve.point && der.starts_with(curve.prefix))
            .ok_or_else(|| unusable("not an uncompressed P-256, P-384 or P-521 key"))?;
        let point = &der[curve.prefix.len()..];
        let parsed =
            ParsedPublicKey::new(curve.algorithm, point).map_err(|_| unusable("the point is not on its curve"))?;
        let p384_point = (point.len() == P384_POINT).then(|| point.into());
        Ok(Self { parsed, p384_point, used: AtomicBool::new(false), table: OnceLock::new() })
    }

    /// False for every signature that is not a valid DER signature of `message`.
    pub fn verify(&self, message: &[u8], signature_der: &[u8]) -> bool {
        match self.table() {
            Some(table) => table.verify(message, signature_der),
            None => self.parsed.verify_sig(message, signature_der).is_ok(),
        }
    }

    fn table(&self) -> Option<&p384::Table> {
        let point = self.p384_point.as_deref()?;
        if !self.used.swap(true, Ordering::Relaxed) {
            return None;
        }
        Some(self.table.get_or_init(|| p384::Table::of_key(point).expect("a point of the curve")))
    }
}

/// Parsed keys by their PEM, least recently used out first. One node signs thousands of calls with one key.
pub struct KeyCache {
    capacity: usize,
    recent: Mutex<Option<Recent>>,
}

#[derive(Default)]
struct Recent {
    keys: HashMap<Box<[u8]>, (u64, Arc<PublicKey>)>,
    /// Counts uses.
    now: u64,
}

impl KeyCache {
    pub const fn new(capacity: usize) -> Self {
        Self { capacity, recent: Mutex::new(None) }
    }

    pub fn verify(&self, public_key_pem: &[u8], message: &[u8], signature_der: &[u8]) -> Result<bool> {
        Ok(self.get(public_key_pem)?.verify(message, signature_der))
    }

    fn get(&self, pem: &[u8]) -> Result<Arc<PublicKey>> {
        if let Some(key) = self.with_recent(|recent| recent.hit(pem)) {
            return Ok(key);
        }
        let key = Arc::new(PublicKey::from_pem(pem)?); // parsed outside the lock; a race only parses twice
        self.with_recent(|recent| recent.keep(pem, &key, self.capacity));
        Ok(key)
    }

    fn with_recent<T>(&self, work: impl FnOnce(&mut Recent) -> T) -> T {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        work(recent.get_or_insert_default())
    }
}

impl Recent {
    fn hit(&mut self, pem: &[u8]) -> Option<Arc<PublicKey>> {
        self.now += 1;
        let (used, key) = self.keys.get_mut(pem)?;
        *used = self.now;
        Some(Arc::clone(key))
    }

    fn keep(&mut self, pem: &[u8], key: &Arc<PublicKey>, capacity: usize) {
        if self.keys.len() >= capacity {
            let oldest = self.keys.iter().min_by_key(|(_, (used, _))| *used).map(|(pem, _)| pem.clone());
            oldest.and_then(|pem| self.keys.remove(&pem));
        }
        self.keys.insert(pem.into(), (self.now, Arc::clone(key)));
    }
}

fn unusable(reason: &str) -> Error {
    Error::new(Code::SignatureKey, "the public key cannot be used").with("reason", reason)
}

pub(crate) fn decode_pem(pem: &[u8]) -> Option<Vec<u8>> {
    if pem.len() > MAX_PEM {
        return None;
    }
    let text = std::str::from_utf8(pem).ok()?.trim();
    let body = text.strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    decode_base64(body.bytes().filter(|byte| !byte.is_ascii_whitespace()))
}

/// A public key in PEM: lines of 64 characters, as every tool writes it.
pub(crate) fn encode_pem(der: &[u8]) -> String {
    let text = encode_base64(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for position in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * position) & 63) as usize] as char;
            text.push(if position <= group.len() { digit } else { '=' });
        }
    }
    text
}

/// Standard alphabet, padding required, unused bits zero.
pub(crate) fn decode_base64(text: impl Iterator<Item = u8>) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.collect();
    if text.is_empty() || !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take(2).take_while(|&&byte| byte == b'=').count();
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0u32);
    for &byte in &text[..text.len() - padding] {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vectors() -> serde_json::Value {
        serde_json::from_str(include_str!("../../../../../tests/vectors/node_auth.json")).unwrap()
    }

    fn hex(value: &serde_json::Value) -> Option<Vec<u8>> {
        let digits = value.as_str()?.strip_prefix("hex:")?;
        Some((0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect())
    }

    /// The vectors judge a whole authentication; these names are the cases in which the signature itself decides.
    const WRONG_SIGNATURE: [&str; 4] =
        ["bad_signature_bit", "bad_signed_other_time", "bad_signature_of_body", "bad_other_key"];

    #[test]
    fn verdicts_agree_with_the_recorded_reference() {
        let cache = KeyCache::new(2);
        let mut judged = 0;
        for case in vectors()["cases"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            let metadata = &case["grpc_metadata"];
            let (Some(key), Some(signature)) =
                (hex(&metadata["flwr-public-key-bin"]), hex(&metadata["flwr-signature-bin"]))
            else {
                continue;
            };
            let timestamp = metadata["flwr-timestamp"].as_str().unwrap();
            let verdict = cache.verify(&key, timestamp.as_bytes(), &signature);
            if name == "bad_not_a_key" {
                assert_eq!(verdict.unwrap_err().code, Code::SignatureKey, "{name}");
            } else {
                assert_eq!(verdict.unwrap(), !WRONG_SIGNATURE.contains(&name), "{name}");
            }
            judged += 1;
        }
        assert!(judged >= 14, "{judged}");
    }

    #[test]
    fn generated_keys_verify() {
        use aws_lc_rs::rand::SystemRandom;
        use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair};
        // No P-384 here: the library does not sign with it and SHA-256. The recorded vectors are P-384.
        let algorithms: [(&'static EcdsaSigningAlgorithm, &Curve); 2] = [
            (&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &CURVES[0]),
            (&signature::ECDSA_P521_SHA256_ASN1_SIGNING, &CURVES[2]),
        ];
        for (algorithm, curve) in algorithms {
            let pair = EcdsaKeyPair::generate(algorithm).unwrap();
            let signature = pair.sign(&SystemRandom::new(), b"message").unwrap();
            let pem = encode_pem(&[curve.prefix, pair.public_key().as_ref()].concat());
            let key = PublicKey::from_pem(pem.as_bytes()).unwrap();
            assert!(key.verify(b"message", signature.as_ref()));
            assert!(!key.verify(b"massage", signature.as_ref()));
            assert!(!key.verify(b"message", &signature.as_ref()[1..]));
            assert!(!key.verify(b"message", b""));
        }
    }

    #[test]
    fn a_point_beside_the_curve_is_an_unusable_key() {
        let der = [CURVES[0].prefix, &[4; 65]].concat();
        assert_eq!(PublicKey::from_pem(encode_pem(&der).as_bytes()).err().unwrap().code, Code::SignatureKey);
    }

    fn encode_pem(der: &[u8]) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut body = String::new();
        for chunk in der.chunks(3) {
            let mut word = [0; 4];
            word[1..=chunk.len()].copy_from_slice(chunk);
            let word = u32::from_be_bytes(word);
            for i in 0..4 {
                let digit = (word >> (18 - 6 * i)) & 63;
                body.push(if i <= chunk.len() { ALPHABET[digit as usize] as char } else { '=' });
            }
        }
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    proptest! {
        #[test]
        fn base64_decodes_what_was_encoded(der in proptest::collection::vec(any::<u8>(), 1..200)) {
            prop_assert_eq!(decode_pem(encode_pem(&der).as_bytes()), Some(der));
        }

        #[test]
        fn arbitrary_pem_never_panics(pem in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = PublicKey::from_pem(&pem);
        }
    }
}
