//! The aggregator's part: masked vectors are added modulo 2^b as they arrive, in the memory of one; at the end the total mask is taken
//! away and what comes out is checked before anybody uses it.

use crate::error::{Code, Error, Result};
use crate::secagg::messages::Terms;
use crate::secagg::quantise::{Grid, OpenedSum};
use crate::secagg::residues::Residues;
use crate::update::{PartRead, Parts};

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

    /// Adds a whole packed vector from where it rests, a piece at a time: no vector but the sum is ever in memory.
    ///
    /// [`Code::SecaggMalformed`], and nothing added, if it is not as long as the terms say. If its bytes become unreadable half-way the
    /// error is its own, and the sum refuses to open: the round folds anew from its log.
    pub fn add_part(&mut self, parts: &impl Parts, id: &str) -> Result<()> {
        let mut part = parts.part(id)?;
        self.sum.check_length(part.length())?;
        self.broken = true;
        let piece = self.sum.bits() as usize * GROUPS;
        let mut buffer = vec![0; piece];
        for (position, offset) in (0..part.length()).step_by(piece).enumerate() {
            let bytes = &mut buffer[..piece.min((part.length() - offset) as usize)];
            part.read_at(offset, bytes)?;
            self.sum.add_packed(position * GROUPS * 8, bytes)?;
        }
        self.broken = false;
        self.count += 1;
        Ok(())
    }

    /// Vectors added so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes the total mask away and checks what is left: sentinels, weight, range. Consumes the sum: it opens once.
    ///
    /// [`Code::SecaggSum`] if the sum is not that of `survivors` honest vectors; nothing of it must be used then.
    pub fn open(mut self, grid: &Grid, survivors: u64, noise: u64, total_mask: &Residues) -> Result<OpenedSum> {
        if self.broken {
            return Err(Error::new(Code::Io, "an earlier vector broke off half-way; fold anew from the log"));
        }
        if self.count != survivors {
            return Err(Error::new(Code::SecaggSum, "not the vectors of the survivors were added")
                .with("survivors", survivors)
                .with("added", self.count));
        }
        self.sum.subtract(total_mask)?;
        OpenedSum::check(grid, self.sum, survivors, noise)
    }
}

#[cfg(test)]
mod tests {
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
        let input = Contribution { tensors: &[&bytes], metrics: &[], weight: 1 };
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
        assert_eq!(sum.open(&grid(), 3, 0, &total).unwrap().weight(), 3);
        let code =
            |(sum, total): (MaskedSum, Residues), survivors| sum.open(&grid(), survivors, 0, &total).unwrap_err().code;
        assert_eq!(code(sum_of(&[1, 2]), 3), Code::SecaggSum);
        assert_eq!(code((sum_of(&[1, 2, 3]).0, sum_of(&[1, 2, 4]).1), 3), Code::SecaggSum, "a mask too many");
        assert_eq!(code((sum_of(&[1]).0, Residues::new(24, 20).unwrap()), 1), Code::Argument);
    }

    #[test]
    fn a_vector_from_a_log_adds_like_one_in_memory() {
        let spec = TensorSpec::new("w", DType::F32, vec![100_000]).unwrap();
        let grid = Grid::new(vec![spec], GridOptions::uniform(1.0, 16)).unwrap();
        let terms = Terms { length: grid.length() as u64, ..terms(2) };
        let update: Vec<u8> = (0..100_000u32).flat_map(|i| ((i % 100) as f32 / 100.0).to_le_bytes()).collect();
        let input = Contribution { tensors: &[&update], metrics: &[], weight: 1 };
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
        assert!(other.open(&grid, 1, 0, &nothing).is_ok(), "a refused part breaks nothing");
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
