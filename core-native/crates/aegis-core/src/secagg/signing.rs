//! The certified keys nodes sign adverts and confirmations with: Ed25519, or ECDSA P-256 with SHA-256.
//!
//! Certificates are the caller's business: it verifies the chain against the federation's root, and hands over the subject and
//! the public key that came out.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ParsedPublicKey,
};

use crate::error::{Code, Error, Result};
use crate::signature::{self, P256_PREFIX, decode_pem, encode_pem};

/// SubjectPublicKeyInfo of Ed25519 up to the 32 bytes of the key (RFC 8410, section 4).
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What a node signs with; stays in the core once it is there.
pub enum SigningKey {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl SigningKey {
    /// [`Code::SignatureKey`] unless the DER is PKCS#8 of an Ed25519 or P-256 key.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self::Ed25519(pair));
        }
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
            .map(Self::P256)
            .map_err(|_| Error::new(Code::SignatureKey, "the key is not PKCS#8 of Ed25519 or P-256"))
    }

    /// A fresh Ed25519 key.
    pub fn generate() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().expect("the operating system provides randomness"))
    }

    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::P256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| Error::new(Code::SignatureKey, "the key does not sign")),
        }
    }
}

impl SigningKey {
    /// The public key as certificates and rosters show it: SubjectPublicKeyInfo in PEM.
    pub fn public_pem(&self) -> String {
        let der = match self {
            Self::Ed25519(pair) => [&ED25519_PREFIX[..], pair.public_key().as_ref()].concat(),
            Self::P256(pair) => [&P256_PREFIX[..], pair.public_key().as_ref()].concat(),
        };
        encode_pem(&der)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// A peer's public key, out of a certificate that the caller has verified.
#[derive(Clone)]
pub struct VerifyingKey {
    pem: Arc<str>,
    key: Arc<Parsed>,
}

enum Parsed {
    Ed25519(ParsedPublicKey),
    Ecdsa(signature::PublicKey),
}

impl VerifyingKey {
    /// SubjectPublicKeyInfo in PEM. [`Code::SignatureKey`] unless it is Ed25519, P-256, P-384 or P-521.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let raw = decode_pem(pem.as_bytes()).and_then(|der| der.strip_prefix(&ED25519_PREFIX).map(<[u8]>::to_vec));
        let key = match raw {
            Some(raw) => ParsedPublicKey::new(&ED25519, raw)
                .map(Parsed::Ed25519)
                .map_err(|_| Error::new(Code::SignatureKey, "the public key cannot be used"))?,
            None => Parsed::Ecdsa(signature::PublicKey::from_pem(pem.as_bytes())?),
        };
        Ok(Self { pem: pem.into(), key: Arc::new(key) })
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &*self.key {
            Parsed::Ed25519(key) => key.verify_sig(message, signature).is_ok(),
            Parsed::Ecdsa(key) => key.verify(message, signature),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.pem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secagg::testing::{hex, vectors};

    #[test]
    fn signatures_of_the_vectors_verify_and_changed_ones_do_not() {
        for case in vectors("signatures")["cases"].as_array().unwrap() {
            let text = |name: &str| case[name].as_str().unwrap();
            let key = VerifyingKey::from_pem(text("public_pem")).unwrap();
            let (message, mut signature) = (hex(text("message")), hex(text("signature")));
            assert!(key.verify(&message, &signature));
            assert!(!key.verify(&message[1..], &signature));
            let own = SigningKey::from_pkcs8(&hex(text("private_pkcs8"))).unwrap();
            assert!(key.verify(&message, &own.sign(&message).unwrap()));
            assert_eq!(own.public_pem(), text("public_pem"));
            let last = signature.len() - 1;
            signature[last] ^= 1;
            assert!(!key.verify(&message, &signature));
            assert_eq!(key.pem(), text("public_pem"));
        }
    }

    #[test]
    fn a_fresh_key_signs_for_its_public_key_and_no_other() {
        let (one, other) = (SigningKey::generate(), SigningKey::generate());
        let signature = one.sign(b"message").unwrap();
        assert!(VerifyingKey::from_pem(&one.public_pem()).unwrap().verify(b"message", &signature));
        assert!(!VerifyingKey::from_pem(&other.public_pem()).unwrap().verify(b"message", &signature));
    }

    #[test]
    fn other_keys_are_refused_and_secrets_not_shown() {
        for der in [&[][..], &[0x30, 0x03, 1, 2, 3]] {
            assert_eq!(SigningKey::from_pkcs8(der).unwrap_err().code, Code::SignatureKey);
        }
        for pem in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"] {
            assert_eq!(VerifyingKey::from_pem(pem).unwrap_err().code, Code::SignatureKey);
        }
        let case = &vectors("signatures")["cases"][0];
        let key = SigningKey::from_pkcs8(&hex(case["private_pkcs8"].as_str().unwrap())).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey(…)");
    }
}
