//! AES-256 in counter mode as a stream of uniform bytes that can be read from any place (NIST SP 800-38A, section 6.5).
//!
//! The first counter block is zero; a seed is used for one stream only. Masks are read by position, so that a vector can be
//! expanded in parts and by several threads; a permutation that everybody must draw alike is drawn in order. What nobody may repeat
//! comes from [`crate::privacy::noise::Drbg`].

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use zeroize::{Zeroize, Zeroizing};

pub const SEED_BYTES: usize = 32;
/// A secret that becomes a stream; wiped when it goes.
pub type Seed = Zeroizing<[u8; SEED_BYTES]>;

const BLOCK_BYTES: usize = 16;

/// The key schedule of one stream, which aws-lc wipes when it goes.
pub struct Keystream(EncryptingKey);

impl Keystream {
    pub fn new(seed: &[u8; SEED_BYTES]) -> Self {
        let key = UnboundCipherKey::new(&AES_256, seed).expect("AES-256 takes 32 bytes");
        Self(EncryptingKey::ctr(key).expect("AES has a counter mode"))
    }

    /// The bytes of the stream from 16-byte block `first` on.
    pub fn read(&self, first: u64, out: &mut [u8]) {
        out.fill(0);
        let mut counter = [0; BLOCK_BYTES];
        counter[8..].copy_from_slice(&first.to_be_bytes());
        let context = EncryptionContext::Iv128(FixedLength::from(&counter));
        self.0.less_safe_encrypt(out, context).expect("counter mode takes any length");
    }
}

/// Numbers drawn from a stream, in order. What was drawn is wiped.
pub struct Draws {
    stream: Keystream,
    buffer: Box<[u8; Self::BUFFER]>,
    next_block: u64,
    used: usize,
}

impl Draws {
    const BUFFER: usize = 4096;

    pub fn new(seed: &[u8; SEED_BYTES]) -> Self {
        Self { stream: Keystream::new(seed), buffer: Box::new([0; Self::BUFFER]), next_block: 0, used: Self::BUFFER }
    }

    pub fn next_u64(&mut self) -> u64 {
        if self.used == Self::BUFFER {
            self.stream.read(self.next_block, &mut *self.buffer);
            self.next_block += (Self::BUFFER / BLOCK_BYTES) as u64;
            self.used = 0;
        }
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.buffer[self.used..self.used + 8]);
        self.used += 8;
        u64::from_le_bytes(bytes)
    }

    /// Uniform below `bound`, by rejection: no value is likelier than another.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is a number below the bound");
        let mask = u64::MAX >> (bound - 1).leading_zeros().min(63);
        loop {
            let value = self.next_u64() & mask;
            if value < bound {
                return value;
            }
        }
    }
}

impl Drop for Draws {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::to_hex;
    use crate::secagg::testing::vectors;

    #[test]
    fn the_stream_is_that_of_the_vectors() {
        for case in vectors("keystream")["cases"].as_array().unwrap() {
            let stream = Keystream::new(&case.bytes("seed"));
            let mut out = vec![0; case["length"].as_u64().unwrap() as usize];
            stream.read(case["first_block"].as_u64().unwrap(), &mut out);
            assert_eq!(to_hex(&out), case["stream"].as_str().unwrap());
        }
    }

    use crate::secagg::testing::Vector;

    #[test]
    fn a_part_of_the_stream_is_the_stream() {
        let stream = Keystream::new(&[7; 32]);
        let mut whole = [0; 1000];
        stream.read(0, &mut whole);
        for (first, length) in [(0, 16), (1, 16), (3, 100), (62, 8)] {
            let mut part = vec![1; length];
            stream.read(first, &mut part);
            assert_eq!(part, whole[first as usize * 16..][..length]);
        }
    }

    #[test]
    fn draws_are_the_words_of_the_stream_across_buffers() {
        let mut draws = Draws::new(&[9; 32]);
        let mut whole = vec![0; 3 * Draws::BUFFER];
        Keystream::new(&[9; 32]).read(0, &mut whole);
        for word in whole.chunks(8) {
            assert_eq!(draws.next_u64().to_le_bytes(), word);
        }
    }

    #[test]
    fn every_number_below_a_bound_is_equally_likely() {
        let mut draws = Draws::new(&[3; 32]);
        let mut seen = [0u32; 6];
        for _ in 0..60_000 {
            seen[draws.below(6) as usize] += 1;
        }
        // chi-square with 5 degrees of freedom exceeds 25.7 once in 10,000 seeds; this seed is fixed
        let statistic: f64 = seen.iter().map(|&count| (f64::from(count) - 1e4).powi(2) / 1e4).sum();
        assert!(statistic < 25.7, "{seen:?}");
        assert_eq!(draws.below(1), 0);
    }
}
