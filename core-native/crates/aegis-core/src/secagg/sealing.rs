//! One node's shares for another, sealed so that only that one reads them: AES-256-GCM under the key the two agreed on.
//!
//! Layout: nonce (12 random bytes) ‖ ciphertext ‖ tag (16). The associated data binds transcript, sender and receiver, the key
//! does so a second time; a sealed share says nothing to anybody else, in no other round and in no other direction.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::keystream::Seed;
use super::refusal::Refusal;
use super::shamir::{SHARE_BYTES, Share};
use crate::error::Result;
use crate::random;

/// The two secrets of a node, as one other node holds them.
pub struct SharePair {
    /// Of the seed of the self mask.
    pub seed: Share,
    /// Of the key that pairwise masks come from.
    pub key: Share,
}

/// From whom to whom, in which round.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    pub transcript: &'a [u8; 32],
    pub from: u64,
    pub to: u64,
}

impl Envelope<'_> {
    pub fn seal(&self, key: &Seed, pair: &SharePair) -> Vec<u8> {
        self.seal_with(key, pair, random())
    }

    /// [`Self::seal`] with the nonce given, for known answers.
    pub(crate) fn seal_with(&self, key: &Seed, pair: &SharePair, nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        let mut body = Zeroizing::new([0; 2 * SHARE_BYTES]);
        body[..SHARE_BYTES].copy_from_slice(&*pair.seed.to_bytes());
        body[SHARE_BYTES..].copy_from_slice(&*pair.key.to_bytes());
        let tag = gcm(key)
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), self.aad(), &mut *body)
            .expect("80 bytes are within what AES-GCM seals");
        [&nonce[..], &*body, tag.as_ref()].concat()
    }

    /// [`Refusal::ShareBroken`] for everything that was not sealed by this sender for this receiver in this round.
    pub fn open(&self, key: &Seed, sealed: &[u8]) -> Result<SharePair> {
        let broken = || Refusal::ShareBroken;
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(broken)?;
        let mut body = Zeroizing::new(body.to_vec());
        let plain = gcm(key)
            .open_in_place(Nonce::assume_unique_for_key(*nonce), self.aad(), &mut body)
            .map_err(|_| broken())?;
        let (halves, rest) = plain.as_chunks::<SHARE_BYTES>();
        let [seed, key] = halves else { return Err(broken().into()) };
        let share = |bytes| Share::from_bytes(bytes).filter(|_| rest.is_empty()).ok_or_else(broken);
        Ok(SharePair { seed: share(seed)?, key: share(key)? })
    }

    fn aad(&self) -> Aad<[u8; 48]> {
        let mut aad = [0; 48];
        aad[..32].copy_from_slice(self.transcript);
        aad[32..40].copy_from_slice(&self.from.to_le_bytes());
        aad[40..].copy_from_slice(&self.to.to_le_bytes());
        Aad::from(aad)
    }
}

fn gcm(key: &Seed) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &**key).expect("AES-256 takes 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secagg::testing::{Vector, hex, vectors};

    fn pair() -> SharePair {
        let share = |byte| Share::from_bytes(&[byte; SHARE_BYTES]).unwrap();
        SharePair { seed: share(1), key: share(2) }
    }

    fn refusal(result: Result<SharePair>) -> Option<Refusal> {
        Refusal::of(&result.err().expect("refused"))
    }

    #[test]
    fn sealed_shares_are_those_of_the_vectors() {
        for case in vectors("sealing")["cases"].as_array().unwrap() {
            let transcript = case.bytes("transcript");
            let number = |name: &str| case[name].as_str().unwrap().parse().unwrap();
            let envelope = Envelope { transcript: &transcript, from: number("from"), to: number("to") };
            let key = Seed::new(case.bytes("key"));
            let share = |name: &str| Share::from_bytes(&case.bytes(name)).unwrap();
            let pair = SharePair { seed: share("seed_share"), key: share("key_share") };
            let sealed = hex(case["sealed"].as_str().unwrap());
            assert_eq!(envelope.seal_with(&key, &pair, case.bytes("nonce")), sealed);
            let opened = envelope.open(&key, &sealed).unwrap();
            assert_eq!(opened.seed.to_bytes(), pair.seed.to_bytes());
            assert_eq!(opened.key.to_bytes(), pair.key.to_bytes());
        }
    }

    #[test]
    fn nothing_opens_that_was_changed_or_meant_otherwise() {
        let (key, transcript) = (Seed::new([3; 32]), [4; 32]);
        let envelope = Envelope { transcript: &transcript, from: 1, to: 2 };
        let sealed = envelope.seal(&key, &pair());
        assert!(envelope.open(&key, &sealed).is_ok());
        assert_ne!(sealed, envelope.seal(&key, &pair()), "a nonce of its own each time");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(refusal(envelope.open(&key, &changed)), Some(Refusal::ShareBroken), "byte {at}");
        }
        for length in 0..sealed.len() {
            assert_eq!(refusal(envelope.open(&key, &sealed[..length])), Some(Refusal::ShareBroken));
        }
        let other_round = [5; 32];
        for other in [
            Envelope { from: 2, to: 1, ..envelope },
            Envelope { to: 3, ..envelope },
            Envelope { transcript: &other_round, ..envelope },
        ] {
            assert_eq!(refusal(other.open(&key, &sealed)), Some(Refusal::ShareBroken), "{other:?}");
        }
        assert_eq!(refusal(envelope.open(&Seed::new([4; 32]), &sealed)), Some(Refusal::ShareBroken));
    }
}
