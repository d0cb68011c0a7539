//! How many bits a masked sum needs so that it cannot wrap.

use serde::Serialize;

use crate::error::{Code, Error, Result};
use crate::secagg::residues::MAX_BITS;

/// The arithmetic, as the plan shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Modulus {
    pub cohort: u64,
    pub weight_max: u64,
    /// Greatest magnitude of one quantised value of weight 1: 2^(value-bits − 1) − 1.
    pub half_range: u64,
    /// What the noise of the whole cohort adds at most, but with probability 2^-40. A sum that wraps is wrong, and tells nothing more: what is
    /// done to it after the noise costs no privacy.
    pub noise: u64,
    /// cohort × weight-max × half-range + noise.
    pub bound: u64,
    /// The least b with 2^(b−1) > bound: sums keep their sign.
    pub bits: u32,
}

impl Modulus {
    /// [`Code::SecaggParameters`], with the arithmetic, if 62 bits do not hold the sum.
    pub fn choose(cohort: u64, weight_max: u64, half_range: u64, noise: u64) -> Result<Self> {
        let bound = cohort
            .checked_mul(weight_max)
            .and_then(|product| product.checked_mul(half_range))
            .and_then(|product| product.checked_add(noise));
        let bits = bound.map(|bound| u64::BITS - bound.leading_zeros() + 1).filter(|&bits| bits <= MAX_BITS);
        match (bound, bits) {
            (Some(bound), Some(bits)) if bound > 0 => Ok(Self { cohort, weight_max, half_range, noise, bound, bits }),
            _ => Err(Error::new(Code::SecaggParameters, "the masked sum does not fit into 62 bits, or has no range")
                .with(
                    "arithmetic",
                    format!("{cohort} nodes × weight {weight_max} × value {half_range} + noise {noise}"),
                )
                .with("limit", format!("2^{}", MAX_BITS - 1))),
        }
    }
}

/// What the noise of a whole cohort exceeds in none of `length` sums but with probability 2^`log2_probability`.
///
/// For sub-Gaussian noise of standard deviation `sigma`, discrete Gaussians among them (Canonne, Kamath and Steinke 2020, "The
/// Discrete Gaussian for Differential Privacy", corollary 17): P[|X| ≥ τ] ≤ 2·exp(−τ²/2σ²), and a union bound.
pub fn gaussian_tail(sigma: f64, length: u64, log2_probability: f64) -> Result<u64> {
    let tail = sigma * (2.0 * ((2.0 * length as f64).ln() - log2_probability * std::f64::consts::LN_2)).sqrt();
    if !(sigma >= 0.0 && log2_probability < 0.0 && tail < (1u64 << 62) as f64) {
        return Err(Error::new(Code::SecaggParameters, "the noise has no usable tail").with("sigma", sigma));
    }
    Ok(tail.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hundred_nodes_of_sixteen_bits_take_twenty_three() {
        let modulus = Modulus::choose(100, 1, (1 << 15) - 1, 0).unwrap();
        assert_eq!((modulus.bound, modulus.bits), (3_276_700, 23));
    }

    #[test]
    fn the_bits_are_enough_and_no_more() {
        for (bound, bits) in [(1, 2), (2, 3), (3, 3), (4, 4), ((1 << 61) - 1, 62)] {
            assert_eq!(Modulus::choose(1, 1, bound, 0).unwrap().bits, bits, "{bound}");
            assert_eq!(Modulus::choose(1, 1, bound - 1, 1).unwrap().bits, bits, "{bound}");
        }
    }

    #[test]
    fn what_would_wrap_is_refused_with_the_arithmetic() {
        for (cohort, weight, half, noise) in
            [(1, 1, 1 << 61, 0), (u64::MAX, 2, 1, 0), (0, 1, 1, 0), (1, 1, 0, 0), (1, 1, 1, u64::MAX)]
        {
            let error = Modulus::choose(cohort, weight, half, noise).unwrap_err();
            assert_eq!(error.code, Code::SecaggParameters);
            assert!(error.fact("arithmetic").unwrap().starts_with(&format!("{cohort} nodes")));
        }
    }

    proptest! {
        #[test]
        fn no_sum_of_the_cohort_reaches_the_border(cohort in 1u64..10_000, weight in 1u64..100_000, bits in 2u32..25) {
            let half = (1u64 << (bits - 1)) - 1;
            let modulus = Modulus::choose(cohort, weight, half, 17).unwrap();
            prop_assert!(cohort * weight * half + 17 < 1 << (modulus.bits - 1));
        }
    }

    #[test]
    fn the_tail_of_a_standard_normal() {
        // 2 exp(−τ²/2) = 2^-40 at τ = 7.5384…
        assert_eq!(gaussian_tail(1000.0, 1, -40.0).unwrap(), 7540);
        assert!(gaussian_tail(1000.0, 1_000_000, -40.0).unwrap() > 7540);
        for (sigma, log) in [(f64::NAN, -40.0), (-1.0, -40.0), (1e300, -40.0), (1.0, 0.0)] {
            assert_eq!(gaussian_tail(sigma, 1, log).unwrap_err().code, Code::SecaggParameters);
        }
    }
}
