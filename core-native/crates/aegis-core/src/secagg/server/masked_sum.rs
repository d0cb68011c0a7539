//! The aggregator's part: masked vectors are added modulo 2^b as they arrive, in the memory of one; at the end the total mask is taken
//! away and what comes out is checked before anybody uses it.

use crate::error::{Code, Error, Result};
use crate::secagg::messages::Terms;
use crate::secagg::quantise::{Grid, OpenedSum};
use crate::secagg::residues::Residues;
use crate::update::{JoinedReader, PartRead, PartSlice, Parts};

/// Groups of eight elements read from a log at once: some 100 KiB.
const GROUPS: usize = 4096;

pub struct MaskedSum {
    sum: Residues,
    count: u64,
    /// A vector broke off half-way: what was added of it cannot be told apart any more.
    broken: bool,
}

impl MaskedSum {
    pub fn new(terms: &Terms) -> Result<Self> {
        let length =
            usize::try_from(terms.length).map_err(|_| Error::new(Code::TensorTooLarge, "the vector is too long"))?;
        Ok(Self { sum: Residues::new(terms.bits, length)?, count: 0, broken: false })
    }

    /// Adds one node's whole packed vector. [`Code::SecaggMalformed`], and nothing added, if it is not as long as the terms say.
    pub fn add(&mut self, packed: &[u8]) -> Result<()> {
        self.sum.check_packed(packed)?;
        self.sum.add_packed(0, packed)?;
        self.count += 1;
        Ok(())
    }

    /// Whether these slices, joined, can be a vector of these terms: every part there, the length right, nothing behind the last element.
    /// More nobody can see of it before it is open.
    pub fn check_slices(&self, parts: &impl Parts, slices: &[PartSlice]) -> Result<()> {
        self.sum.check_length(JoinedReader::new(parts, slices)?.left())?;
        let mut last = 0;
        for PartSlice { part, offset, length } in slices {
            let mut reader = parts.part(part)?;
            let end = offset.checked_add(*length).filter(|&end| end <= reader.length());
            let end = end.ok_or_else(|| {
                Error::new(Code::SliceOutOfRange, "the slice ends beyond its part")
                    .with("part", part)
                    .with("offset", *offset)
                    .with("length", *length)
                    .with("available", reader.length())
            })?;
            if *length > 0 {
                let mut byte = [0];
                reader.read_at(end - 1, &mut byte)?;
                [last] = byte;
            }
        }
        self.sum.check_end(last)
    }

    /// Adds a whole packed vector from where it rests, cut into slices anywhere, a piece at a time: no vector but the sum is ever in memory.
    ///
    /// What [`Self::check_slices`] refuses adds nothing. If bytes become unreadable half-way the error is its own, and the sum refuses to
    /// open: the round folds anew from its log.
    pub fn add_slices(&mut self, parts: &impl Parts, slices: &[PartSlice]) -> Result<()> {
        self.check_slices(parts, slices)?;
        let mut bytes = JoinedReader::new(parts, slices)?;
        self.broken = true;
        let piece = self.sum.bits() as usize * GROUPS;
        let mut buffer = vec![0; piece.min(bytes.left() as usize)];
        let mut first = 0;
        while bytes.left() > 0 {
            let piece = piece.min(bytes.left() as usize);
            bytes.read(&mut buffer[..piece])?;
            self.sum.add_packed(first, &buffer[..piece])?;
            first += GROUPS * 8;
        }
        self.broken = false;
        self.count += 1;
        Ok(())
    }

    /// The same of a vector that is one part.
    pub fn add_part(&mut self, parts: &impl Parts, id: &str) -> Result<()> {
        let length = parts.part(id)?.length();
        self.add_slices(parts, &[PartSlice { part: id.into(), offset: 0, length }])
    }

    /// Vectors added so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes the packed total mask away and checks what is left: sentinels, weight, range. Consumes the sum: it opens once.
    ///
    /// [`Code::SecaggSum`] if the sum is not that of `survivors` honest vectors; nothing of it must be used then.
    pub fn open(mut self, grid: &Grid, survivors: u64, noise: u64, total_mask: &[u8]) -> Result<OpenedSum> {
        if self.broken {
            return Err(Error::new(Code::Io, "an earlier vector broke off half-way; fold anew from the log"));
        }
        if self.count != survivors {
            return Err(Error::new(Code::SecaggSum, "not the vectors of the survivors were added")
                .with("survivors", survivors)
                .with("added", self.count));
        }
        self.sum.subtract_packed(total_mask)?;
        OpenedSum::check(grid, self.sum, survivors, noise)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::privacy::noise::Drbg;
    use crate::secagg::keystream::Seed;
    use crate::secagg::messages::Terms;
    use crate::secagg::quantise::{Contribution, GridOptions, Rounding};
    use crate::secagg::residues::Mask;
    use crate::secagg::testing::terms;
    use crate::tensor::{DType, TensorSpec};
    use crate::update::testing::MemoryParts;

    fn grid() -> Grid {
        let spec = TensorSpec::new("w", DType::F32, vec![15]).unwrap();
        Grid::new(vec![spec], GridOptions::uniform(1.0, 16)).unwrap()
    }

    fn masked(mask: u8) -> (Residues, Residues) {
        let bytes = [0; 60];
        let input = Contribution { tensors: &[&bytes], start: None, metrics: &[], weight: 1 };
        let mut vector = grid().quantise(23, &input, Rounding::Unbiased, &mut Drbg::new()).unwrap();
        let masks = [Mask::new(&Seed::new([mask; 32]), true)];
        vector.add_masks(&masks, 1);
        let mut total = Residues::new(23, 20).unwrap();
        total.add_masks(&masks, 1);
        (vector, total)
    }

    #[test]
    fn the_sum_opens_when_all_and_only_the_survivors_are_in_it() {
        let terms = Terms { length: 20, ..terms(3) };
        let sum_of = |masks: &[u8]| {
            let mut sum = MaskedSum::new(&terms).unwrap();
            let mut total = Residues::new(23, 20).unwrap();
            for &mask in masks {
                let (vector, own) = masked(mask);
                sum.add(&vector.pack()).unwrap();
                total.add(&own).unwrap();
            }
            assert_eq!(sum.count(), masks.len() as u64);
            (sum, total)
        };
        let (sum, total) = sum_of(&[1, 2, 3]);
        assert_eq!(sum.open(&grid(), 3, 0, &total.pack()).unwrap().weight(), 3);
        let code = |(sum, total): (MaskedSum, Residues), survivors| {
            sum.open(&grid(), survivors, 0, &total.pack()).unwrap_err().code
        };
        assert_eq!(code(sum_of(&[1, 2]), 3), Code::SecaggSum);
        assert_eq!(code((sum_of(&[1, 2, 3]).0, sum_of(&[1, 2, 4]).1), 3), Code::SecaggSum, "a mask too many");
        assert_eq!(code((sum_of(&[1]).0, Residues::new(24, 20).unwrap()), 1), Code::SecaggMalformed);
    }

    #[test]
    fn a_vector_from_a_log_adds_like_one_in_memory() {
        let spec = TensorSpec::new("w", DType::F32, vec![100_000]).unwrap();
        let grid = Grid::new(vec![spec], GridOptions::uniform(1.0, 16)).unwrap();
        let terms = Terms { length: grid.length() as u64, ..terms(2) };
        let update: Vec<u8> = (0..100_000u32).flat_map(|i| ((i % 100) as f32 / 100.0).to_le_bytes()).collect();
        let input = Contribution { tensors: &[&update], start: None, metrics: &[], weight: 1 };
        let packed = grid.quantise(23, &input, Rounding::Unbiased, &mut Drbg::new()).unwrap().pack();
        let mut parts = MemoryParts::default();
        parts.put("whole", packed.clone(), "w");
        parts.put("short", packed[1..].to_vec(), "w");
        let (mut one, mut other) = (MaskedSum::new(&terms).unwrap(), MaskedSum::new(&terms).unwrap());
        one.add(&packed).unwrap();
        other.add_part(&parts, "whole").unwrap();
        assert_eq!(one.sum, other.sum);
        assert_eq!(other.add_part(&parts, "short").unwrap_err().code, Code::SecaggMalformed);
        assert_eq!(other.add_part(&parts, "none").unwrap_err().code, Code::PartUnknown);
        assert_eq!(other.count(), 1);
        let nothing = Residues::new(23, grid.length()).unwrap();
        assert!(other.open(&grid, 1, 0, &nothing.pack()).is_ok(), "a refused part breaks nothing");
    }

    /// Zeros of 20 elements of 23 bits: 58 bytes, of which the last has four bits to spare.
    fn sliced(cuts: &[(&str, u64, u64)]) -> Vec<PartSlice> {
        cuts.iter().map(|&(part, offset, length)| PartSlice { part: part.into(), offset, length }).collect()
    }

    #[test]
    fn slices_that_are_no_vector_are_refused_and_add_nothing() {
        let terms = Terms { length: 20, ..terms(3) };
        let mut parts = MemoryParts::default();
        parts.put("a", vec![0; 58], "w");
        parts.put("dirty", vec![0x80; 58], "w");
        let mut sum = MaskedSum::new(&terms).unwrap();
        for (cuts, code) in [
            (&[("a", 0, 57)][..], Code::SecaggMalformed),
            (&[("a", 0, 58), ("a", 0, 1)], Code::SecaggMalformed),
            (&[("a", 1, 58)], Code::SliceOutOfRange),
            (&[("a", u64::MAX, 58)], Code::SliceOutOfRange),
            (&[("a", 0, 58), ("a", 0, u64::MAX)], Code::SliceOutOfRange),
            (&[("a", 0, 29), ("b", 0, 29)], Code::PartUnknown),
            (&[("a", 0, 57), ("dirty", 0, 1)], Code::SecaggMalformed),
            (&[("a", 0, 57), ("dirty", 0, 1), ("a", 5, 0)], Code::SecaggMalformed),
            (&[], Code::SecaggMalformed),
        ] {
            assert_eq!(sum.check_slices(&parts, &sliced(cuts)).unwrap_err().code, code, "{cuts:?}");
            assert_eq!(sum.add_slices(&parts, &sliced(cuts)).unwrap_err().code, code, "{cuts:?}");
        }
        sum.add_slices(&parts, &sliced(&[("a", 0, 30), ("dirty", 0, 0), ("a", 30, 28)])).unwrap();
        assert_eq!(sum.count(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// More than one buffer, so that cuts fall inside, between and across groups and pieces.
        #[test]
        fn a_vector_cut_anywhere_adds_like_a_whole_one(
            bits in 1u32..=62,
            length in 1usize..40_000,
            cuts in proptest::collection::vec(any::<u64>(), 0..6),
            step in 1i64..1_000_000,
        ) {
            let terms = Terms { bits, length: length as u64, ..terms(2) };
            let mut vector = Residues::new(bits, length).unwrap();
            let values: Vec<i64> = (0..length as i64).map(|i| i.wrapping_mul(step)).collect();
            vector.put(0, &values);
            let packed = vector.pack();
            let mut ends: Vec<usize> = cuts.iter().map(|cut| (cut % (packed.len() as u64 + 1)) as usize).collect();
            ends.push(packed.len());
            ends.sort_unstable();
            let (mut parts, mut slices, mut start) = (MemoryParts::default(), Vec::new(), 0);
            for (at, end) in ends.into_iter().enumerate() {
                // with something of no interest around it
                let part = [&[0xaa; 3], &packed[start..end], &[0xbb; 2]].concat();
                parts.put(&at.to_string(), part, "w");
                slices.push(PartSlice { part: at.to_string(), offset: 3, length: (end - start) as u64 });
                start = end;
            }
            let (mut whole, mut sliced) = (MaskedSum::new(&terms).unwrap(), MaskedSum::new(&terms).unwrap());
            for _ in 0..2 {
                whole.add(&packed).unwrap();
                sliced.add_slices(&parts, &slices).unwrap();
            }
            prop_assert_eq!(&whole.sum, &sliced.sum);
            prop_assert_eq!(sliced.count(), 2);
        }
    }

    #[test]
    fn a_vector_of_another_length_adds_nothing() {
        let mut sum = MaskedSum::new(&terms(3)).unwrap();
        let packed = masked(1).0.pack();
        for wrong in [&packed[1..], &[&packed[..], &[0]].concat(), &[]] {
            assert_eq!(sum.add(wrong).unwrap_err().code, Code::SecaggMalformed);
        }
        assert_eq!(sum.count(), 0);
        sum.add(&packed).unwrap();
    }
}
