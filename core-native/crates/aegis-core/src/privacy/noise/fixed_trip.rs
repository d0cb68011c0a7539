//! A sampler whose time and memory accesses do not depend on what it draws.

use num_bigint::BigUint;

use super::drbg::Drbg;
use super::shape::{Gaussian, Shape};
use super::{LEAST_SCALE, within};
use crate::error::Result;

/// The table is read whole for every draw: it has 13.5σ entries.
const GREATEST_SIGMA: f64 = 256.0;

/// The discrete Gaussian by inversion: the drawn magnitude is the number of thresholds that 128 random bits reach, and **every threshold
/// is compared with for every draw**; the sign comes from one more word.
///
/// The thresholds are the true cumulative probabilities rounded down to 128 bits, and end where what is left is below 2^-128. The result is
/// therefore within a statistical distance of entries · 2^-128 < 2^-115 of the exact distribution, a draw: add d · 2^-115 to δ for d entries.
pub struct FixedTripGaussian {
    thresholds: Vec<u128>,
}

impl FixedTripGaussian {
    /// For σ from 2^-10 to 256.
    pub fn new(sigma: f64) -> Result<Self> {
        within("sigma", sigma, LEAST_SCALE, GREATEST_SIGMA)?;
        const BITS: u64 = 192;
        let shape = Gaussian::new(sigma);
        let entries = (13.5 * sigma).ceil() as i64 + 2;
        let both_signs = |value: i64| shape.bounds(value, BITS).0 << u32::from(value != 0);
        let cumulative: Vec<BigUint> = (0..=entries)
            .scan(BigUint::ZERO, |sum, value| {
                *sum += both_signs(value);
                Some(sum.clone())
            })
            .collect();
        let (whole, below) = cumulative.split_last().unwrap_or_else(|| unreachable!("there is an entry for 0"));
        let threshold = |sum: &BigUint| {
            let digits = ((sum << 128u32) / whole).iter_u64_digits().collect::<Vec<_>>();
            // Probability 1, which needs the 129th bit, is reached by no draw.
            if digits.len() > 2 {
                u128::MAX
            } else {
                digits.iter().rev().fold(0, |all, &digit| all << 64 | u128::from(digit))
            }
        };
        Ok(Self { thresholds: below.iter().map(threshold).collect() })
    }

    pub fn sample(&self, drbg: &mut Drbg) -> i64 {
        let uniform = u128::from(drbg.word()) << 64 | u128::from(drbg.word());
        let magnitude = self.thresholds.iter().fold(0i64, |reached, &threshold| {
            let (_, below) = uniform.overflowing_sub(threshold);
            reached + i64::from(!below)
        });
        let sign = -((drbg.word() & 1) as i64);
        (magnitude ^ sign) - sign
    }

    pub fn fill(&self, drbg: &mut Drbg, out: &mut [i64]) {
        for slot in out {
            *slot = self.sample(drbg);
        }
    }
}
