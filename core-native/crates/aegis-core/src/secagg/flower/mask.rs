//! Flower's mask stream: MT19937 (Matsumoto and Nishimura 1998) behind an exclusive-or of the seed's 32-bit words.

use crate::error::{Code, Error, Result};

const STATE: usize = 624;
const SHIFT: usize = 397;

/// Values in [0, mod_range − 2], one after the other over all arrays of a vector.
pub struct MaskStream {
    generator: MersenneTwister,
    /// Greatest value: numpy's limit is exclusive, and Flower gives it one too few.
    top: u64,
    /// All ones up to the top bit of `top`.
    bits: u64,
}

impl MaskStream {
    /// [`Code::Argument`] unless the seed is whole words and 2 ≤ `mod_range` ≤ 2^63.
    pub fn new(seed: &[u8], mod_range: u64) -> Result<Self> {
        let (words, rest) = seed.as_chunks::<4>();
        if !rest.is_empty() || !(2..=1 << 63).contains(&mod_range) {
            return Err(Error::new(Code::Argument, "a mask needs a seed of whole words and a modulus from 2 to 2^63")
                .with("seed bytes", seed.len())
                .with("mod_range", mod_range));
        }
        let folded = words.iter().fold(0, |folded, word| folded ^ u32::from_le_bytes(*word));
        let top = mod_range - 2;
        let bits = u64::MAX.checked_shr(top.leading_zeros()).unwrap_or(0);
        Ok(Self { generator: MersenneTwister::new(folded), top, bits })
    }

    /// Adds, or takes away, the next values; sums wrap, which their modulus of 2^k divides.
    pub fn apply(&mut self, sums: &mut [i64], add: bool) {
        for sum in sums {
            let value = self.next_value() as i64;
            *sum = if add { sum.wrapping_add(value) } else { sum.wrapping_sub(value) };
        }
    }

    pub fn next_value(&mut self) -> u64 {
        if self.top == 0 {
            return 0; // takes nothing from the generator
        }
        loop {
            let word = if self.top <= u64::from(u32::MAX) {
                u64::from(self.generator.next_u32())
            } else {
                u64::from(self.generator.next_u32()) << 32 | u64::from(self.generator.next_u32())
            };
            if word & self.bits <= self.top {
                return word & self.bits;
            }
        }
    }
}

struct MersenneTwister {
    state: [u32; STATE],
    next: usize,
}

impl MersenneTwister {
    fn new(seed: u32) -> Self {
        let mut state = [seed; STATE];
        for i in 1..STATE {
            let last = state[i - 1];
            state[i] = (last ^ last >> 30).wrapping_mul(1_812_433_253).wrapping_add(i as u32);
        }
        Self { state, next: STATE }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == STATE {
            self.twist();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= word << 7 & 0x9d2c_5680;
        word ^= word << 15 & 0xefc6_0000;
        word ^ word >> 18
    }

    fn twist(&mut self) {
        for i in 0..STATE {
            let joined = self.state[i] & 1 << 31 | self.state[(i + 1) % STATE] & ((1 << 31) - 1);
            let odd = (joined & 1).wrapping_neg() & 0x9908_b0df;
            self.state[i] = self.state[(i + SHIFT) % STATE] ^ joined >> 1 ^ odd;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{sha256, to_hex};
    use crate::secagg::testing::{flower_vectors, hex};

    #[test]
    fn streams_are_those_that_flower_makes() {
        for case in flower_vectors("prg")["cases"].as_array().unwrap() {
            let mod_range: u64 = case["mod_range"].as_str().unwrap().parse().unwrap();
            let mut stream = MaskStream::new(&hex(case["seed_hex"].as_str().unwrap()), mod_range).unwrap();
            let values: Vec<u64> = (0..case["count"].as_u64().unwrap()).map(|_| stream.next_value()).collect();
            let first = case["first"].as_array().unwrap().iter().map(|value| value.as_str().unwrap().parse().unwrap());
            assert!(values.iter().copied().zip(first).all(|(value, expected): (u64, u64)| value == expected));
            let digest = sha256(values.iter().map(|value| value.to_le_bytes()));
            assert_eq!(to_hex(&digest), case["sha256_i64le"].as_str().unwrap(), "{} {mod_range}", case["seed"]);
        }
    }

    #[test]
    fn what_is_added_can_be_taken_away() {
        let mut sums = [5, -7, i64::MAX, i64::MIN];
        let stream = || MaskStream::new(&[3; 44], 1 << 40).unwrap();
        stream().apply(&mut sums, true);
        assert_ne!(sums[0], 5);
        stream().apply(&mut sums, false);
        assert_eq!(sums, [5, -7, i64::MAX, i64::MIN]);
    }

    #[test]
    fn the_seed_has_32_bits_whatever_its_length() {
        // Two different 256-bit seeds with one fold give one mask: this is why the mode is called weak.
        let (one, other) = ([0; 32], std::array::from_fn::<u8, 32, _>(|i| u8::from(i == 0 || i == 4)));
        let values = |seed: &[u8]| {
            let mut stream = MaskStream::new(seed, 1 << 32).unwrap();
            [0; 8].map(|_| stream.next_value())
        };
        assert_eq!(values(&one), values(&other));
    }

    #[test]
    fn other_seeds_and_moduli_are_refused() {
        for (seed, mod_range) in [(31, 1 << 32), (32, 1), (32, 0), (32, u64::MAX)] {
            assert_eq!(MaskStream::new(&vec![0; seed], mod_range).err().unwrap().code, Code::Argument);
        }
    }
}
