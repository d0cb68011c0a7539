//! What two nodes agree on: X25519 (RFC 7748) and HKDF-SHA256 (RFC 5869) over the round's transcript.

use std::fmt;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use super::keystream::{SEED_BYTES, Seed};
use super::refusal::Refusal;
use crate::error::Result;
use crate::random;

pub const PUBLIC_KEY_BYTES: usize = 32;
pub type PublicKey = [u8; PUBLIC_KEY_BYTES];

/// A key pair of one round. The secret is wiped when it goes, in our copy and in aws-lc's.
pub struct KeyPair {
    secret: Seed,
    private: PrivateKey,
    public: PublicKey,
}

impl KeyPair {
    pub fn generate() -> Self {
        Self::from_secret(Seed::new(random()))
    }

    /// The pair of a secret that was kept or put together from shares. Every 32 bytes are one (RFC 7748, section 5).
    pub fn from_secret(secret: Seed) -> Self {
        let private = PrivateKey::from_private_key(&X25519, &*secret).expect("X25519 takes any 32 bytes");
        let mut public = [0; PUBLIC_KEY_BYTES];
        public.copy_from_slice(private.compute_public_key().expect("a private key has a public one").as_ref());
        Self { secret, private, public }
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub fn secret(&self) -> &Seed {
        &self.secret
    }

    /// The shared secret. [`Refusal::KeyUnusable`] for the few keys with which everybody would share zero (RFC 7748, section 6.1).
    pub fn agree(&self, peer: &PublicKey) -> Result<Seed> {
        let peer = UnparsedPublicKey::new(&X25519, peer);
        agreement::agree(&self.private, peer, Refusal::KeyUnusable.into(), |shared| {
            let mut secret = Seed::default();
            secret.copy_from_slice(shared);
            Ok(secret)
        })
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(…)")
    }
}

/// A key for one purpose: HKDF-SHA256 with the transcript as salt; `info` is what distinguishes the purposes, fields joined
/// by their lengths (u32, little-endian).
pub fn derive(transcript: &[u8; 32], secret: &[u8; SEED_BYTES], info: &[&[u8]]) -> Seed {
    let mut joined = Vec::new();
    for field in info {
        joined.extend_from_slice(&(field.len() as u32).to_le_bytes());
        joined.extend_from_slice(field);
    }
    let mut key = Zeroizing::new([0; SEED_BYTES]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, transcript)
        .extract(secret)
        .expand(&[&joined], hkdf::HKDF_SHA256)
        .and_then(|output| output.fill(&mut *key))
        .expect("32 bytes are within what HKDF-SHA-256 gives");
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secagg::testing::{Vector, vectors};

    #[test]
    fn agreement_and_derivation_are_those_of_the_vectors() {
        for case in vectors("keys")["cases"].as_array().unwrap() {
            let own = KeyPair::from_secret(Seed::new(case.bytes("secret")));
            assert_eq!(*own.public(), case.bytes("public"));
            let shared = own.agree(&case.bytes("peer_public")).unwrap();
            assert_eq!(*shared, case.bytes("shared"));
            let info: Vec<Vec<u8>> =
                case["info"].as_array().unwrap().iter().map(|field| field.as_str().unwrap().into()).collect();
            let info: Vec<&[u8]> = info.iter().map(Vec::as_slice).collect();
            assert_eq!(*derive(&case.bytes("transcript"), &shared, &info), case.bytes("derived"));
        }
    }

    #[test]
    fn two_nodes_agree_and_a_key_of_low_order_is_refused() {
        let (one, other) = (KeyPair::generate(), KeyPair::generate());
        assert_eq!(one.agree(other.public()).unwrap(), other.agree(one.public()).unwrap());
        for low in [[0; 32], std::array::from_fn(|i| u8::from(i == 0))] {
            let error = one.agree(&low).unwrap_err();
            assert_eq!(Refusal::of(&error), Some(Refusal::KeyUnusable));
        }
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let derived = |info: &[&[u8]]| derive(&[1; 32], &[2; 32], info);
        assert_ne!(derived(&[b"ab", b"c"]), derived(&[b"a", b"bc"]));
        assert_ne!(derived(&[b"abc"]), derived(&[b"abc", b""]));
        assert_eq!(format!("{:?}", KeyPair::generate()), "KeyPair(…)");
    }
}
