//! The random bits that noise is made of.

use std::convert::Infallible;

use aws_lc_rs::cipher::{AES_256, EncryptionContext, StreamingEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use rand_core::{TryCryptoRng, TryRng};
use zeroize::{Zeroize, Zeroizing};

use crate::random;

/// Bytes made at once: with the sampler's table they stay in the first-level cache.
const BUFFER: usize = 8192;
/// The library wants room for one cipher block beyond what it writes.
const SLACK: usize = 16;
const KEY: usize = 32;
const IV: usize = 16;
/// Buffers between two changes of key: 1 MiB.
const REKEY: u32 = 128;

static ZEROS: [u8; BUFFER] = [0; BUFFER];

/// AES-256 in counter mode, keyed from the operating system, with fast key erasure: the stream itself brings the next key every mebibyte
/// and the old one is forgotten (Bernstein 2017, "Fast-key-erasure random-number generators"). Key and buffer are wiped when it goes.
///
/// Nobody outside can set its seed: noise that somebody can repeat protects nobody. The one noise that must come again, of
/// [`crate::privacy::tree`], has a secret of its own for that.
pub struct Drbg {
    cipher: StreamingEncryptingKey,
    buffer: Box<[u8; BUFFER + SLACK]>,
    /// Bytes of the buffer that were handed out.
    used: usize,
    buffers: u32,
}

impl Drbg {
    /// Keyed from the operating system's generator.
    pub fn new() -> Self {
        Self::keyed(&Zeroizing::new(random()))
    }

    /// The same bits every time, so that tests of goodness of fit cannot fail by chance.
    #[cfg(test)]
    pub(crate) fn repeatable(test: u8) -> Self {
        Self::keyed(&[test; KEY + IV])
    }

    /// The stream of this key and counter: the same every time. The caller keeps the seed secret.
    pub(in crate::privacy) fn keyed(seed: &[u8; KEY + IV]) -> Self {
        Self { cipher: cipher(seed), buffer: Box::new([0; BUFFER + SLACK]), used: BUFFER, buffers: 0 }
    }

    #[inline(always)]
    pub fn word(&mut self) -> u64 {
        if self.used == BUFFER {
            self.refill();
        }
        let mut word = [0; 8];
        word.copy_from_slice(&self.buffer[self.used..self.used + 8]);
        self.used += 8;
        u64::from_le_bytes(word)
    }

    #[cold]
    fn refill(&mut self) {
        if self.buffers == REKEY {
            self.stream();
            let mut seed = Zeroizing::new([0; KEY + IV]);
            seed.copy_from_slice(&self.buffer[..KEY + IV]);
            self.cipher = cipher(&seed);
            self.buffers = 0;
        }
        self.stream();
        self.buffers += 1;
        self.used = 0;
    }

    fn stream(&mut self) {
        // Fails only beyond 2^64 blocks, and a key lives for 2^16 of them.
        self.cipher.update(&ZEROS, &mut self.buffer[..]).expect("counter mode goes on");
    }
}

impl Default for Drbg {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Drbg {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

fn cipher(seed: &[u8; KEY + IV]) -> StreamingEncryptingKey {
    let (key, iv) = seed.split_at(KEY);
    let mut counter = [0; IV];
    counter.copy_from_slice(iv);
    let key = UnboundCipherKey::new(&AES_256, key).expect("the key has the length of its cipher");
    StreamingEncryptingKey::less_safe_ctr(key, EncryptionContext::Iv128(FixedLength::from(counter)))
        .expect("counter mode takes any counter of 16 bytes")
}

impl TryRng for Drbg {
    type Error = Infallible;

    #[inline(always)]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.word() as u32)
    }

    #[inline(always)]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.word())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for bytes in out.chunks_mut(8) {
            bytes.copy_from_slice(&self.word().to_le_bytes()[..bytes.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Drbg {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_generators_and_two_stretches_across_a_change_of_key_differ() {
        let (mut one, mut two) = (Drbg::new(), Drbg::new());
        let words = BUFFER / 8 * REKEY as usize;
        let mut seen = std::collections::HashSet::new();
        for _ in 0..2 * words + 10 {
            assert!(seen.insert(one.word()), "64 random bits came twice");
        }
        assert!((0..1000).all(|_| seen.insert(two.word())));
    }

    #[test]
    fn bits_are_balanced_across_a_change_of_key() {
        let mut drbg = Drbg::repeatable(1);
        let words = 3 * BUFFER / 8 * REKEY as usize;
        let ones: u64 = (0..words).map(|_| u64::from(drbg.word().count_ones())).sum();
        let bits = words as f64 * 64.0;
        assert!((ones as f64 - bits / 2.0).abs() < 5.0 * (bits / 4.0).sqrt());
    }
}
