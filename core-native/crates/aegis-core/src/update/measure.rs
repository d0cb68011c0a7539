//! Finite values, their L2 norm and their greatest magnitude.

use super::UpdateFacts;
use crate::error::{Code, Error, Result};
use crate::vectors::widest;

/// Sums squares in eight lanes, which the compiler turns into vector instructions.
///
/// Squares of magnitudes beyond 2^500 are summed apart and scaled by 2^-1200, so that a finite update has a finite norm
/// unless the norm itself is out of range (Blue 1978, "A portable Fortran program to find the Euclidean norm of a vector").
#[derive(Default)]
pub struct Measure {
    squares: f64,
    large_squares: f64,
    largest: f64,
    elements: u64,
}

const LANES: usize = 8;
const LARGE: f64 = f64::from_bits((1023 + 500) << 52);
const LARGE_SCALE: f64 = f64::from_bits((1023 - 600) << 52);

impl Measure {
    pub fn add(&mut self, values: &[f64]) -> Result<()> {
        self.elements += values.len() as u64;
        let (squares, largest) = in_lanes(values);
        let sum: f64 = squares.iter().sum();
        let block_largest = largest.into_iter().fold(self.largest, f64::max);
        // NaN and infinity survive squaring and summing, so one test a block finds them.
        if !sum.is_finite() && values.iter().any(|value| !value.is_finite()) {
            return Err(Error::new(Code::ValueNotFinite, "the tensor holds NaN or infinity"));
        }
        if largest.into_iter().any(|value| value > LARGE) {
            self.large_squares += values.iter().map(|value| (value * LARGE_SCALE).powi(2)).sum::<f64>();
        } else {
            self.squares += sum;
        }
        self.largest = block_largest;
        Ok(())
    }

    pub fn facts(&self) -> UpdateFacts {
        let norm = if self.large_squares == 0.0 {
            self.squares.sqrt()
        } else {
            (self.large_squares + self.squares * LARGE_SCALE * LARGE_SCALE).sqrt() / LARGE_SCALE
        };
        UpdateFacts { norm, elements: self.elements, largest: self.largest }
    }
}

widest!(
    /// Sums of squares and greatest magnitudes, value by value into eight lanes: NaN shows in a sum, not in a magnitude.
    in_lanes, in_lanes_body, (values: &[f64]) -> ([f64; LANES], [f64; LANES])
);

#[inline(always)]
fn in_lanes_body(values: &[f64]) -> ([f64; LANES], [f64; LANES]) {
    let mut squares = [0.0; LANES];
    let mut largest = [0.0; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for lane in 0..LANES {
            let value = chunk[lane];
            squares[lane] += value * value;
            largest[lane] = if value.abs() > largest[lane] { value.abs() } else { largest[lane] };
        }
    }
    for (lane, &value) in rest.iter().enumerate() {
        squares[lane] += value * value;
        largest[lane] = if value.abs() > largest[lane] { value.abs() } else { largest[lane] };
    }
    (squares, largest)
}
