//! b-bit values without gaps: a 23-bit sum costs 23 bits on the wire and in the log, not 32 or 64.

/// Bytes of `length` elements of `bits` bits.
pub const fn packed_length(length: usize, bits: u32) -> usize {
    (length * bits as usize).div_ceil(8)
}

/// An element of a vector, held in a machine word.
pub trait Word: Copy + Into<u64> {
    fn truncated(value: u64) -> Self;
    fn wrapping_plus(self, other: Self) -> Self;
    fn wrapping_minus(self, other: Self) -> Self;
}

impl Word for u32 {
    fn truncated(value: u64) -> Self {
        value as u32
    }
    fn wrapping_plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    fn wrapping_minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }
}

impl Word for u64 {
    fn truncated(value: u64) -> Self {
        value
    }
    fn wrapping_plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    fn wrapping_minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }
}

/// Appends the lower `bits` bits of each word, lowest first.
pub fn pack<W: Word>(words: &[W], bits: u32, out: &mut Vec<u8>) {
    let mask = u64::MAX >> (64 - bits);
    let (mut held, mut count) = (0u128, 0u32);
    for &word in words {
        held |= u128::from(word.into() & mask) << count;
        count += bits;
        if count >= 64 {
            out.extend_from_slice(&(held as u64).to_le_bytes());
            held >>= 64;
            count -= 64;
        }
    }
    out.extend_from_slice(&held.to_le_bytes()[..count.div_ceil(8) as usize]);
}

/// Adds packed elements to the front of `words`, as many as the bytes hold and there are words.
pub fn add_packed<W: Word>(words: &mut [W], bits: u32, packed: &[u8]) {
    each_packed(words, bits, packed, W::wrapping_plus);
}

/// Takes them away.
pub fn subtract_packed<W: Word>(words: &mut [W], bits: u32, packed: &[u8]) {
    each_packed(words, bits, packed, W::wrapping_minus);
}

#[inline(always)]
fn each_packed<W: Word>(words: &mut [W], bits: u32, packed: &[u8], step: impl Fn(W, W) -> W) {
    let mask = u64::MAX >> (64 - bits);
    let (mut held, mut count) = (0u128, 0u32);
    let (full, rest) = packed.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut input = full.iter().chain((!rest.is_empty()).then_some(&last));
    let available = packed.len() * 8 / bits as usize;
    for word in words.iter_mut().take(available) {
        if count < bits {
            // there are enough bytes for `available` elements, so the words end no earlier
            let next = input.next().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            held |= u128::from(next) << count;
            count += 64;
        }
        *word = step(*word, W::truncated(held as u64 & mask));
        held >>= bits;
        count -= bits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_bit_of_the_first_element_is_the_lowest_bit_of_the_first_byte() {
        let mut out = Vec::new();
        pack(&[0b101u32, 0b011, 0b110], 3, &mut out);
        assert_eq!(out, [0b1001_1101, 0b1]);
        let mut words = [1u32; 3];
        add_packed(&mut words, 3, &out);
        assert_eq!(words, [0b110, 0b100, 0b111]);
        subtract_packed(&mut words, 3, &out);
        assert_eq!(words, [1; 3]);
    }

    #[test]
    fn lengths() {
        assert_eq!([packed_length(8, 23), packed_length(1, 1), packed_length(0, 62)], [23, 1, 0]);
        let mut out = Vec::new();
        pack::<u64>(&[], 62, &mut out);
        assert!(out.is_empty());
    }
}
