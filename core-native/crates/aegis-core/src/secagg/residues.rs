//! Vectors of integers modulo 2^b: what nodes mask, what the aggregator folds, what the masks add up to.
//!
//! Up to 32 bits an element takes four bytes, up to 62 it takes eight. Lanes wrap at their own width, which 2^b divides, so
//! sums are reduced only when somebody looks at them.

use std::thread;

use super::keystream::{Keystream, Seed};
use super::packing::{self, packed_length};
use crate::error::{Code, Error, Result};
use crate::vectors::widest;

/// Widest modulus: sums of one more bit still have a sign in i64.
pub const MAX_BITS: u32 = 62;
/// Elements expanded at once: keystream and lanes stay in the first-level cache.
const CHUNK: usize = 2048;

/// A mask of one seed, to add or to take away.
pub struct Mask {
    stream: Keystream,
    add: bool,
}

impl Mask {
    pub fn new(seed: &Seed, add: bool) -> Self {
        Self { stream: Keystream::new(seed), add }
    }

    /// What undoes it.
    #[must_use]
    pub fn opposite(self) -> Self {
        Self { add: !self.add, ..self }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Lanes {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

#[derive(Clone, Debug)]
pub struct Residues {
    bits: u32,
    lanes: Lanes,
}

macro_rules! on_lanes {
    ($lanes:expr, $bound:ident => $body:expr) => {
        match $lanes {
            Lanes::Narrow($bound) => $body,
            Lanes::Wide($bound) => $body,
        }
    };
}

impl Residues {
    /// Zeros. [`Code::Argument`] unless 1 ≤ bits ≤ 62, [`Code::TensorTooLarge`] if memory does not hold them.
    pub fn new(bits: u32, length: usize) -> Result<Self> {
        if !(1..=MAX_BITS).contains(&bits) {
            return Err(Error::new(Code::Argument, "a modulus has 1 to 62 bits").with("bits", bits));
        }
        let too_large =
            |_| Error::new(Code::TensorTooLarge, "the vector does not fit into memory").with("length", length);
        let lanes = if bits <= 32 {
            Lanes::Narrow(zeros(length).map_err(too_large)?)
        } else {
            Lanes::Wide(zeros(length).map_err(too_large)?)
        };
        Ok(Self { bits, lanes })
    }

    pub fn bits(&self) -> u32 {
        self.bits
    }

    pub fn len(&self) -> usize {
        on_lanes!(&self.lanes, lanes => lanes.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts signed values from `first` on; each is taken modulo 2^b.
    pub fn put(&mut self, first: usize, values: &[i64]) {
        match &mut self.lanes {
            Lanes::Narrow(lanes) => {
                lanes[first..][..values.len()].iter_mut().zip(values).for_each(|(lane, &value)| *lane = value as u32);
            }
            Lanes::Wide(lanes) => {
                lanes[first..][..values.len()].iter_mut().zip(values).for_each(|(lane, &value)| *lane = value as u64);
            }
        }
    }

    /// Adds signed values to the elements from `first` on, modulo 2^b.
    pub fn add_signed(&mut self, first: usize, values: &[i64]) {
        match &mut self.lanes {
            Lanes::Narrow(lanes) => lanes[first..][..values.len()]
                .iter_mut()
                .zip(values)
                .for_each(|(lane, &value)| *lane = lane.wrapping_add(value as u32)),
            Lanes::Wide(lanes) => lanes[first..][..values.len()]
                .iter_mut()
                .zip(values)
                .for_each(|(lane, &value)| *lane = lane.wrapping_add(value as u64)),
        }
    }

    /// The element as the representative in [−2^(b−1), 2^(b−1)).
    pub fn signed(&self, position: usize) -> i64 {
        let wide = match &self.lanes {
            Lanes::Narrow(lanes) => u64::from(lanes[position]),
            Lanes::Wide(lanes) => lanes[position],
        };
        let unused = 64 - self.bits;
        ((wide << unused) as i64) >> unused
    }

    /// Expands the masks and adds them all, on as many threads as asked for.
    ///
    /// A chunk meets every mask before the next chunk begins: the vector is read from memory once, whatever their number.
    pub fn add_masks(&mut self, masks: &[Mask], threads: usize) {
        on_lanes!(&mut self.lanes, lanes => expand_on_threads(lanes, masks, threads));
    }

    /// [`Code::Argument`] if the other vector has another modulus or length.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        self.same_shape(other)?;
        match (&mut self.lanes, &other.lanes) {
            (Lanes::Narrow(lanes), Lanes::Narrow(others)) => add_narrow(lanes, others),
            (Lanes::Wide(lanes), Lanes::Wide(others)) => add_wide(lanes, others),
            _ => unreachable!("one modulus has one width"),
        }
        Ok(())
    }

    pub fn subtract(&mut self, other: &Self) -> Result<()> {
        self.same_shape(other)?;
        match (&mut self.lanes, &other.lanes) {
            (Lanes::Narrow(lanes), Lanes::Narrow(others)) => subtract_narrow(lanes, others),
            (Lanes::Wide(lanes), Lanes::Wide(others)) => subtract_wide(lanes, others),
            _ => unreachable!("one modulus has one width"),
        }
        Ok(())
    }

    /// b bits an element, lowest first, without gaps; the last byte is filled up with zeros.
    pub fn pack(&self) -> Vec<u8> {
        let mut packed = Vec::with_capacity(packed_length(self.len(), self.bits));
        on_lanes!(&self.lanes, lanes => packing::pack(lanes, self.bits, &mut packed));
        packed
    }

    /// [`Code::SecaggMalformed`] unless the bytes are exactly `length` elements and the bits that fill up are zero.
    pub fn unpack(bits: u32, length: usize, packed: &[u8]) -> Result<Self> {
        let mut residues = Self::new(bits, length)?;
        residues.check_packed(packed)?;
        residues.add_packed(0, packed)?;
        Ok(residues)
    }

    /// Adds a piece of a packed vector, whose first element is `first`. [`Code::SecaggMalformed`] if the piece does not begin
    /// and end between groups of eight elements, or reaches beyond the vector.
    pub fn add_packed(&mut self, first: usize, piece: &[u8]) -> Result<()> {
        let (bits, length) = (self.bits as usize, self.len());
        let last = first.checked_add(piece.len() * 8 / bits).is_some_and(|end| end >= length);
        let whole = if last {
            piece.len() == packed_length(length.saturating_sub(first), self.bits)
        } else {
            piece.len().is_multiple_of(bits)
        };
        if first > length || !first.is_multiple_of(8) || !whole {
            return Err(Error::new(
                Code::SecaggMalformed,
                "a piece of a masked vector is whole groups of eight elements",
            )
            .with("first", first)
            .with("bytes", piece.len()));
        }
        on_lanes!(&mut self.lanes, lanes => packing::add_packed(&mut lanes[first..], self.bits, piece));
        Ok(())
    }

    /// Takes away a whole packed vector, as it came. [`Code::SecaggMalformed`], and nothing taken, if it is none of this length.
    pub fn subtract_packed(&mut self, packed: &[u8]) -> Result<()> {
        self.check_packed(packed)?;
        let bits = self.bits;
        on_lanes!(&mut self.lanes, lanes => packing::subtract_packed(lanes, bits, packed));
        Ok(())
    }

    /// What a whole packed vector must look like, before any of it is added.
    pub fn check_packed(&self, packed: &[u8]) -> Result<()> {
        self.check_length(packed.len() as u64)?;
        packed.last().map_or(Ok(()), |&last| self.check_end(last))
    }

    /// Whether the last byte of a packed vector has nothing behind the last element.
    pub fn check_end(&self, last: u8) -> Result<()> {
        let used = (self.len() * self.bits as usize) % 8;
        if used != 0 && last >> used != 0 {
            return Err(Error::new(Code::SecaggMalformed, "bits are set behind the last element"));
        }
        Ok(())
    }

    pub fn check_length(&self, bytes: u64) -> Result<()> {
        let expected = packed_length(self.len(), self.bits) as u64;
        if bytes == expected {
            return Ok(());
        }
        Err(Error::new(Code::SecaggMalformed, "a masked vector has another length than the plan's")
            .with("expected", expected)
            .with("got", bytes))
    }

    fn same_shape(&self, other: &Self) -> Result<()> {
        if self.bits == other.bits && self.len() == other.len() {
            return Ok(());
        }
        Err(Error::new(Code::Argument, "the vectors have different moduli or lengths")
            .with("expected", format!("{} × {} bits", self.len(), self.bits))
            .with("got", format!("{} × {} bits", other.len(), other.bits)))
    }
}

impl PartialEq for Residues {
    /// Equal residues, whatever the lanes hold above their b bits.
    fn eq(&self, other: &Self) -> bool {
        self.same_shape(other).is_ok() && (0..self.len()).all(|at| self.signed(at) == other.signed(at))
    }
}

fn zeros<T: Clone + Default>(length: usize) -> std::result::Result<Vec<T>, std::collections::TryReserveError> {
    let mut lanes = Vec::new();
    lanes.try_reserve_exact(length)?;
    lanes.resize(length, T::default());
    Ok(lanes)
}

/// An element as wide as its keystream.
trait Lane: Send + Sized {
    fn mask(lanes: &mut [Self], stream: &[u8], add: bool);
}

impl Lane for u32 {
    fn mask(lanes: &mut [Self], stream: &[u8], add: bool) {
        if add { add_stream_narrow(lanes, stream) } else { subtract_stream_narrow(lanes, stream) }
    }
}

impl Lane for u64 {
    fn mask(lanes: &mut [Self], stream: &[u8], add: bool) {
        if add { add_stream_wide(lanes, stream) } else { subtract_stream_wide(lanes, stream) }
    }
}

fn expand_on_threads<L: Lane>(lanes: &mut [L], masks: &[Mask], threads: usize) {
    let share = lanes.len().div_ceil(threads.max(1)).next_multiple_of(CHUNK);
    thread::scope(|scope| {
        let mut parts = lanes.chunks_mut(share).enumerate();
        let own = parts.next();
        for (part, lanes) in parts {
            scope.spawn(move || expand(lanes, masks, part * share));
        }
        if let Some((_, lanes)) = own {
            expand(lanes, masks, 0);
        }
    });
}

fn expand<L: Lane>(lanes: &mut [L], masks: &[Mask], first: usize) {
    let mut buffer = zeroize::Zeroizing::new([0; CHUNK * 8]);
    for (chunk, lanes) in lanes.chunks_mut(CHUNK).enumerate() {
        let stream = &mut buffer[..size_of_val(lanes)];
        let block = (first + chunk * CHUNK) * size_of::<L>() / 16;
        for mask in masks {
            mask.stream.read(block as u64, stream);
            L::mask(lanes, stream, mask.add);
        }
    }
}

/// Lane by lane, with another vector's lanes.
macro_rules! with_lanes {
    ($name:ident, $body:ident, $lane:ty, $step:ident) => {
        widest!($name, $body, (lanes: &mut [$lane], others: &[$lane]));

        #[inline(always)]
        fn $body(lanes: &mut [$lane], others: &[$lane]) {
            lanes.iter_mut().zip(others).for_each(|(lane, &other)| *lane = lane.$step(other));
        }
    };
}

/// Lane by lane, with the little-endian words of a keystream.
macro_rules! with_stream {
    ($name:ident, $body:ident, $lane:ty, $step:ident) => {
        widest!($name, $body, (lanes: &mut [$lane], stream: &[u8]));

        #[inline(always)]
        fn $body(lanes: &mut [$lane], stream: &[u8]) {
            let words = stream.as_chunks::<{ size_of::<$lane>() }>().0;
            lanes.iter_mut().zip(words).for_each(|(lane, word)| *lane = lane.$step(<$lane>::from_le_bytes(*word)));
        }
    };
}

with_lanes!(add_narrow, add_narrow_body, u32, wrapping_add);
with_lanes!(add_wide, add_wide_body, u64, wrapping_add);
with_lanes!(subtract_narrow, subtract_narrow_body, u32, wrapping_sub);
with_lanes!(subtract_wide, subtract_wide_body, u64, wrapping_sub);
with_stream!(add_stream_narrow, add_stream_narrow_body, u32, wrapping_add);
with_stream!(add_stream_wide, add_stream_wide_body, u64, wrapping_add);
with_stream!(subtract_stream_narrow, subtract_stream_narrow_body, u32, wrapping_sub);
with_stream!(subtract_stream_wide, subtract_stream_wide_body, u64, wrapping_sub);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secagg::testing::{Vector, vectors};

    fn mask(byte: u8, add: bool) -> Mask {
        Mask::new(&Seed::new([byte; 32]), add)
    }

    fn values(residues: &Residues) -> Vec<i64> {
        (0..residues.len()).map(|at| residues.signed(at)).collect()
    }

    #[test]
    fn masks_and_packing_are_those_of_the_vectors() {
        for case in vectors("mask")["cases"].as_array().unwrap() {
            let (bits, length) = (case["bits"].as_u64().unwrap() as u32, case["length"].as_u64().unwrap() as usize);
            let mut residues = Residues::new(bits, length).unwrap();
            let input: Vec<i64> = case["values"].as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect();
            residues.put(0, &input);
            let mask = |name: &str, add| Mask::new(&Seed::new(case.bytes(name)), add);
            residues.add_masks(&[mask("add_seed", true), mask("subtract_seed", false)], 1);
            assert_eq!(crate::hash::to_hex(&residues.pack()), case["packed"].as_str().unwrap(), "{bits} × {length}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn masks_cancel_on_any_number_of_threads(bits in 1u32..=62, length in 0usize..10_000, threads in 0usize..5) {
            let start: Vec<i64> = (0..length as i64).map(|i| (i * 7919) % (1i64 << (bits - 1)).max(1)).collect();
            let mut residues = Residues::new(bits, length).unwrap();
            residues.put(0, &start);
            residues.add_masks(&[mask(1, true), mask(2, false)], threads);
            prop_assert!(length < 50 || values(&residues) != start, "it was masked");
            let mut undo = Residues::new(bits, length).unwrap();
            undo.add_masks(&[mask(2, false), mask(1, true)], 1);
            residues.subtract(&undo).unwrap();
            prop_assert_eq!(values(&residues), start.clone());
            residues.add(&undo).unwrap();
            residues.subtract_packed(&undo.pack()).unwrap();
            prop_assert_eq!(values(&residues), start);
        }

        #[test]
        fn packing_is_exact_and_adds_in_pieces(
            bits in 1u32..=62,
            words in proptest::collection::vec(any::<i64>(), 0..200),
            cut in 0usize..25,
        ) {
            let mut residues = Residues::new(bits, words.len()).unwrap();
            residues.put(0, &words);
            let packed = residues.pack();
            prop_assert_eq!(packed.len(), packed_length(words.len(), bits));
            prop_assert_eq!(&Residues::unpack(bits, words.len(), &packed).unwrap(), &residues);

            let border = (cut * 8).min(words.len() / 8 * 8);
            let mut pieces = Residues::new(bits, words.len()).unwrap();
            let (front, back) = packed.split_at(border * bits as usize / 8);
            pieces.add_packed(border, back).unwrap();
            pieces.add_packed(0, front).unwrap();
            prop_assert_eq!(&pieces, &residues);
        }

        #[test]
        fn arbitrary_pieces_never_panic(
            bits in 1u32..=62, length in 0usize..100, first in 0usize..120,
            piece in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut residues = Residues::new(bits, length).unwrap();
            let _ = residues.add_packed(first, &piece);
            let _ = Residues::unpack(bits, length, &piece);
        }
    }

    #[test]
    fn vectors_of_other_shapes_and_dirty_ends_are_refused() {
        let code = |result: Result<()>| result.unwrap_err().code;
        let mut residues = Residues::new(23, 10).unwrap();
        assert_eq!(code(residues.add(&Residues::new(23, 11).unwrap())), Code::Argument);
        assert_eq!(code(residues.subtract(&Residues::new(24, 10).unwrap())), Code::Argument);
        for bits in [0, 63, 64] {
            assert_eq!(Residues::new(bits, 1).unwrap_err().code, Code::Argument);
        }
        let mut packed = residues.pack();
        packed[28] = 0x80; // 230 bits are used of 232
        assert_eq!(residues.check_packed(&packed).unwrap_err().code, Code::SecaggMalformed);
        assert_eq!(residues.check_packed(&packed[1..]).unwrap_err().code, Code::SecaggMalformed);
        assert_eq!(code(residues.add_packed(4, &[0; 23])), Code::SecaggMalformed);
        assert_eq!(code(residues.add_packed(0, &[0; 24])), Code::SecaggMalformed);
        assert_eq!(code(residues.add_packed(16, &[0; 23])), Code::SecaggMalformed);
        assert_eq!(Residues::new(62, usize::MAX / 8).unwrap_err().code, Code::TensorTooLarge);
    }

    #[test]
    fn masked_values_are_uniform() {
        let mut residues = Residues::new(23, 64_000).unwrap();
        residues.put(0, &vec![-5; 64_000]);
        residues.add_masks(&[mask(11, true), mask(12, false)], 2);
        for shift in [0, 8, 17] {
            let mut seen = [0u32; 64];
            (0..residues.len()).for_each(|at| seen[(residues.signed(at) >> shift & 63) as usize] += 1);
            let statistic: f64 = seen.iter().map(|&count| (f64::from(count) - 1e3).powi(2) / 1e3).sum();
            assert!(statistic < 113.0, "chi-square with 63 degrees of freedom: {statistic}");
        }
    }
}
