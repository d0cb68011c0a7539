//! Bytes at rest: keys, and the streaming layout they seal with.
//!
//! The layout is that of Tink's AES-GCM-HKDF streaming (Google Tink, "AES-GCM-HKDF Streaming AEAD", wire format), with 1 MiB
//! ciphertext segments, 256-bit keys and HKDF-SHA-256:
//!
//! ```text
//! header  = length (1 byte, 40) ‖ salt (32) ‖ nonce prefix (7)
//! segment = AES-256-GCM(HKDF(data key, salt, info = context), nonce prefix ‖ number (u32 BE) ‖ last (0 or 1), plaintext)
//! ```
//!
//! Each segment with its 16-byte tag fills 1 MiB, the first together with the header; only the last one may be shorter.
//! The number in the nonce fixes the order, the last flag the end, the salt keeps segments of different objects apart and the
//! context binds an object to its purpose: reordering, truncation, extension, swapping and wrong context are all SEAL_BROKEN.

mod file;
mod key_file;
mod spare;
mod stream;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

pub use file::{open_file, seal_file, seal_new_file};
pub use key_file::KeyFile;
pub use stream::{Opener, ReadAt, Sealer};

use crate::random;

/// Ciphertext bytes of a full segment; the unit of random access.
pub const SEGMENT_BYTES: usize = 1 << 20;
const TAG_BYTES: usize = 16;
const SALT_BYTES: usize = 32;
const PREFIX_BYTES: usize = 7;
const HEADER_BYTES: usize = 1 + SALT_BYTES + PREFIX_BYTES;
/// Plaintext of the first segment, which shares its room with the header, and of every other full one.
const FIRST_PLAIN: u64 = (SEGMENT_BYTES - HEADER_BYTES - TAG_BYTES) as u64;
const REST_PLAIN: u64 = (SEGMENT_BYTES - TAG_BYTES) as u64;

/// A 256-bit key that seals objects. Clones share one allocation, wiped when the last of them goes.
#[derive(Clone)]
pub struct DataKey(Arc<Zeroizing<[u8; 32]>>);

impl DataKey {
    pub fn generate() -> Self {
        Self(Arc::new(Zeroizing::new(random())))
    }

    /// The key that a key service made and handed over.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Arc::new(Zeroizing::new(*bytes)))
    }

    fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}

/// Bytes that `plain` bytes take once sealed.
pub fn sealed_length(plain: u64) -> u64 {
    let more_segments = plain.saturating_sub(FIRST_PLAIN).div_ceil(REST_PLAIN);
    plain + HEADER_BYTES as u64 + TAG_BYTES as u64 * (1 + more_segments)
}

/// The inverse of [`sealed_length`]; `None` where no plaintext seals to that many bytes.
pub fn plain_length(sealed: u64) -> Option<u64> {
    let segments = sealed.div_ceil(SEGMENT_BYTES as u64).max(1);
    let plain = sealed.checked_sub(HEADER_BYTES as u64 + TAG_BYTES as u64 * segments)?;
    (sealed_length(plain) == sealed).then_some(plain)
}

/// The number of the segment holding a plaintext offset, and the offset inside it.
fn locate(offset: u64) -> (u64, usize) {
    match offset.checked_sub(FIRST_PLAIN) {
        None => (0, offset as usize),
        Some(beyond) => (1 + beyond / REST_PLAIN, (beyond % REST_PLAIN) as usize),
    }
}

/// What one object is sealed with: its derived key and nonce prefix.
struct ObjectKey {
    key: LessSafeKey,
    prefix: [u8; PREFIX_BYTES],
}

impl ObjectKey {
    fn derive(data_key: &DataKey, salt: &[u8; SALT_BYTES], prefix: [u8; PREFIX_BYTES], context: &[u8]) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
            .extract(data_key.bytes())
            .expand(&[context], hkdf::HKDF_SHA256)
            .and_then(|output| output.fill(&mut *bytes))
            .expect("32 bytes are within what HKDF-SHA-256 gives");
        Self { key: gcm(&bytes), prefix }
    }

    fn nonce(&self, number: u32, last: bool) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[..PREFIX_BYTES].copy_from_slice(&self.prefix);
        nonce[PREFIX_BYTES..PREFIX_BYTES + 4].copy_from_slice(&number.to_be_bytes());
        nonce[NONCE_LEN - 1] = u8::from(last);
        Nonce::assume_unique_for_key(nonce)
    }
}

fn gcm(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_data_key_never_shows_its_bytes() {
        assert_eq!(format!("{:?}", DataKey::from_bytes(&[65; 32])), "DataKey(…)");
    }

    #[test]
    fn lengths_at_the_segment_borders() {
        assert_eq!(sealed_length(0), 56);
        assert_eq!(sealed_length(FIRST_PLAIN), SEGMENT_BYTES as u64);
        assert_eq!(sealed_length(FIRST_PLAIN + 1), SEGMENT_BYTES as u64 + 17);
        assert_eq!(plain_length(SEGMENT_BYTES as u64 + 16), None, "a second segment without plaintext");
        assert_eq!(plain_length(55), None);
        assert_eq!(plain_length(0), None);
    }

    proptest! {
        #[test]
        fn plain_length_inverts_sealed_length(plain in 0u64..1 << 40) {
            prop_assert_eq!(plain_length(sealed_length(plain)), Some(plain));
        }

        #[test]
        fn arbitrary_lengths_never_panic(sealed in any::<u64>()) {
            let _ = plain_length(sealed);
        }
    }
}
