//! Sums of f64 values whose result does not depend on the order of the additions, to the bit.
//!
//! After reproducible summation (Demmel & Nguyen 2013, "Fast Reproducible Floating-Point Summation", ARITH 21), with the
//! error-free splitting done once per value into integers.
//!
//! **Digits.** Let u_j = 2^(44 j). A value v has the digits
//! `d_j(v) = rn(v / u_j) − 2^44 · rn(v / u_(j+1))`, where rn rounds to the nearest integer, ties to even. They depend on v alone,
//! not on what it is added to; |d_j| ≤ 2^43; and d_j(v) = rn(v / u_j) as soon as |v| < u_(j+1) / 2.
//!
//! **Level.** The level of v is the smallest j ≥ LOWEST with |v| < u_(j+1) / 2, judged by v's exponent. The level T of a block is the largest
//! level among the values added to any of its parameters. For every parameter two integers are kept:
//! high = Σ d_T(v) and low = Σ d_(T−1)(v).
//!
//! **Order independence.** Claim: after any sequence of additions T, high and low are these functions of the *multiset* of values.
//! A value of level ≤ T adds exactly d_T(v) and d_(T−1)(v). If a value of level T' > T arrives first, the old values v all have
//! |v| < u_(T+1) / 2, so d_j(v) = 0 for every j > T: with T' = T + 1 the new sums are high' = 0 and low' = Σ d_T(v) = high; with
//! T' > T + 1 both are 0. Integer addition commutes, a maximum does too, and so the claim holds by induction. ∎
//!
//! **Precision.** A value of level T splits without loss at u_(T−1): each addition is off by at most u_(T−1) / 2, which is at most 2^-44 of
//! the largest magnitude its block has seen. Rounding to nearest rather than towards zero keeps these errors unbiased, and
//! needs no comparison: adding 1.5 · 2^52 rounds and leaves the integer in the mantissa's bits. Products of f32 values and
//! integer weights below 2^29 are exact before they are split.
//!
//! **Capacity.** |d_j| ≤ 2^43, so 2^19 − 1 additions stay far inside an i64.

use super::kernels;
use crate::tensor::cast::BLOCK;

/// Bits of a digit.
const BITS: i32 = 44;
/// Levels outside ±23 are not needed: u_24 / 2 exceeds every f64, and 2^(44 · 23) is the largest scale that is still finite.
/// Below u_LOWEST−1 / 2 = 2^-1057 values count as zero.
const LOWEST: i8 = -23;
const HIGHEST: i8 = 23;
/// Adding 1.5 · 2^52 to |x| < 2^51 rounds x to an integer.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// Most additions a sum takes.
pub const CAPACITY: u64 = (1 << 19) - 1;

/// Sums for many parameters, in blocks of [`BLOCK`] that share a level. 16 bytes a parameter.
pub struct Sums {
    high: Vec<i64>,
    low: Vec<i64>,
    levels: Vec<i8>,
}

impl Sums {
    /// `None` if the memory cannot be had.
    pub fn new(parameters: usize) -> Option<Self> {
        // `vec![0; n]` gets untouched zero pages but aborts when there are none; so ask first.
        Vec::<u128>::new().try_reserve_exact(parameters).ok()?;
        let levels = vec![LOWEST; parameters.div_ceil(BLOCK)];
        Some(Self { high: zeros(parameters), low: zeros(parameters), levels })
    }

    /// Adds finite values to the parameters from `block * BLOCK` on.
    pub fn add_block(&mut self, block: usize, values: &[f64]) {
        let (high, low, scale) = self.at_level(block, values.len(), level_of(kernels::largest_f64(values)));
        kernels::add_f64(high, low, values, scale);
    }

    /// Adds `weight` times finite little-endian f32 values. Same result as [`Sums::add_block`] of the products, without
    /// a detour through memory.
    pub fn add_f32_block(&mut self, block: usize, values: &[u8], weight: f64) {
        // Rounding is monotone: the largest product is the product of the largest value.
        let largest = f64::from(kernels::largest_f32(values)) * weight;
        let (high, low, scale) = self.at_level(block, values.len() / 4, level_of(largest));
        kernels::add_f32(high, low, values, weight, scale);
    }

    /// Adds one finite value to one parameter. Same result as [`Sums::add_block`], slower.
    pub fn add_one(&mut self, parameter: usize, value: f64) {
        let block = parameter / BLOCK;
        self.raise(block, level_of(value.abs()));
        let (first, second) = split(value * power_of_two(-BITS * i32::from(self.levels[block])));
        self.high[parameter] += first;
        self.low[parameter] += second;
    }

    /// The sums from parameter `block * BLOCK` on, each divided by `divisor`.
    pub fn quotients(&self, block: usize, divisor: f64, out: &mut [f64]) {
        let start = block * BLOCK;
        let exponent = BITS * (i32::from(self.levels[block]) - 1);
        // In two factors, because one alone may lie outside of f64's normal range.
        let (first, second) = (power_of_two(exponent / 2), power_of_two(exponent - exponent / 2));
        for (offset, out) in out.iter_mut().enumerate() {
            // Divided before it is scaled: the sum may exceed f64's range where the mean does not.
            *out = nearest(self.high[start + offset], self.low[start + offset]) / divisor * first * second;
        }
    }

    /// Both sums of the block's first `length` parameters, ready for values up to `level`, and what to scale values by.
    fn at_level(&mut self, block: usize, length: usize, level: i8) -> (&mut [i64], &mut [i64], f64) {
        self.raise(block, level);
        let scale = power_of_two(-BITS * i32::from(self.levels[block]));
        let range = block * BLOCK..block * BLOCK + length;
        (&mut self.high[range.clone()], &mut self.low[range], scale)
    }

    fn raise(&mut self, block: usize, level: i8) {
        let rise = level - self.levels[block];
        if rise <= 0 {
            return;
        }
        let start = block * BLOCK;
        let end = self.high.len().min(start + BLOCK);
        let (high, low) = (&mut self.high[start..end], &mut self.low[start..end]);
        if rise == 1 {
            low.copy_from_slice(high);
        } else {
            low.fill(0);
        }
        high.fill(0);
        self.levels[block] = level;
    }
}

/// The f64 nearest to high · 2^44 + low.
#[inline(always)]
fn nearest(high: i64, low: i64) -> f64 {
    const DIGIT: f64 = (1u64 << BITS) as f64;
    const EXACT: u64 = 1 << 53;
    if high.unsigned_abs() <= EXACT && low.unsigned_abs() <= EXACT {
        // Both are exact in f64, so the one addition rounds the exact sum: what the long way does, without 128-bit arithmetic.
        return high as f64 * DIGIT + low as f64;
    }
    ((i128::from(high) << BITS) + i128::from(low)) as f64
}

/// Zeros that take no memory before they are touched, and then, where the system has them, huge pages: each update
/// touches all of the sums, so there are fewer page faults and address translations.
fn zeros(count: usize) -> Vec<i64> {
    const HUGE_PAGE: usize = 2 << 20;
    let mut zeros = vec![0; count];
    let start = zeros.as_mut_ptr().cast::<u8>();
    let skip = start.align_offset(HUGE_PAGE);
    let whole = (count * size_of::<i64>()).saturating_sub(skip) / HUGE_PAGE * HUGE_PAGE;
    #[cfg(target_os = "linux")]
    if whole > 0 {
        // SAFETY: the range lies inside the vector, and this advice changes no byte of it. Refused, nothing is lost.
        #[allow(unsafe_code)]
        let _ = unsafe { rustix::mm::madvise(start.add(skip).cast(), whole, rustix::mm::Advice::LinuxHugepage) };
    }
    zeros
}

/// The two leading digits of a value already scaled to its block's level.
#[inline(always)]
pub(super) fn split(scaled: f64) -> (i64, i64) {
    const DIGIT: f64 = (1u64 << BITS) as f64;
    let rounded = scaled + ROUNDER;
    let rest = scaled - (rounded - ROUNDER);
    let second = rest * DIGIT + ROUNDER;
    (integer_bits(rounded), integer_bits(second))
}

#[inline(always)]
fn integer_bits(rounded: f64) -> i64 {
    (rounded.to_bits() as i64).wrapping_sub(ROUNDER.to_bits() as i64)
}

fn level_of(magnitude: f64) -> i8 {
    let exponent = (magnitude.to_bits() >> 52) as i32 - 1023;
    let level = (exponent + 2 + BITS - 1).div_euclid(BITS) - 1;
    level.clamp(i32::from(LOWEST), i32::from(HIGHEST)) as i8
}

/// 2^exponent, for exponents of normal numbers.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state(values: impl IntoIterator<Item = Vec<f64>>, parameters: usize) -> Sums {
        let mut sums = Sums::new(parameters).unwrap();
        for row in values {
            for (block, values) in row.chunks(BLOCK).enumerate() {
                sums.add_block(block, values);
            }
        }
        sums
    }

    fn total(values: &[f64]) -> f64 {
        let mut sums = Sums::new(1).unwrap();
        values.iter().for_each(|&value| sums.add_one(0, value));
        let mut out = [0.0];
        sums.quotients(0, 1.0, &mut out);
        out[0]
    }

    /// Any finite f64: subnormals, zeros and both ends of the exponent range included.
    fn finite() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => -1e3f64..1e3,
            2 => any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite()),
            1 => Just(0.0),
            1 => Just(-0.0),
            1 => Just(f64::MAX),
            1 => Just(-f64::MAX),
            1 => Just(f64::MIN_POSITIVE),
            1 => Just(5e-324),
            // Ties and neighbours of level borders.
            2 => (-24i32..24, 0u64..3, any::<bool>()).prop_map(|(level, ulps, negative)| {
                let border = power_of_two((BITS * level - 1).clamp(-1022, 1023));
                let value = f64::from_bits(border.to_bits() + ulps - 1);
                if negative { -value } else { value }
            }),
        ]
    }

    #[test]
    fn sums_of_integers_are_exact() {
        assert_eq!(total(&[1.0, 2.0, 3.0]), 6.0);
        assert_eq!(total(&[9_007_199_254_740_991.0, 1.0, -9_007_199_254_740_991.0]), 1.0);
        assert_eq!(total(&[1e12, 0.5, -1e12]), 0.5);
        assert_eq!(total(&[0.1; 10]) / 10.0, 0.1);
    }

    #[test]
    fn the_largest_values_sum_within_their_mean() {
        let mut sums = Sums::new(1).unwrap();
        (0..1000).for_each(|_| sums.add_one(0, f64::MAX));
        let mut out = [0.0];
        sums.quotients(0, 1000.0, &mut out);
        assert_eq!(out[0], f64::MAX);
    }

    #[test]
    fn digits_fill_their_capacity_without_overflow() {
        let mut sums = Sums::new(1).unwrap();
        let worst = f64::from_bits(power_of_two(BITS - 1).to_bits() - 1);
        (0..CAPACITY).for_each(|_| sums.add_one(0, -worst));
        let mut out = [0.0];
        sums.quotients(0, CAPACITY as f64, &mut out);
        assert_eq!(out[0], -worst);
    }

    #[test]
    fn every_exponent_gets_a_level_it_fits() {
        for exponent in -1022..=1023 {
            for magnitude in [power_of_two(exponent), f64::from_bits(power_of_two(exponent + 1).to_bits() - 1)] {
                let level = i32::from(level_of(magnitude));
                let scaled = magnitude * power_of_two(-BITS * level);
                assert!(scaled.abs() <= power_of_two(BITS - 1), "2^{exponent} at level {level}");
                assert!(level == i32::from(LOWEST) || scaled >= 0.25, "2^{exponent} at level {level}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_bits(
            rows in proptest::collection::vec(proptest::collection::vec(finite(), 5), 1..12)
                .prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        ) {
            let (a, b) = (state(rows.0, 5), state(rows.1, 5));
            prop_assert_eq!(a.levels, b.levels);
            prop_assert_eq!(a.high, b.high);
            prop_assert_eq!(a.low, b.low);
        }

        #[test]
        fn one_at_a_time_equals_by_block(rows in proptest::collection::vec(proptest::collection::vec(finite(), 3), 1..8)) {
            let whole = state(rows.clone(), 3);
            let mut single = Sums::new(3).unwrap();
            for row in rows.iter().rev() {
                for (parameter, &value) in row.iter().enumerate().rev() {
                    single.add_one(parameter, value);
                }
            }
            prop_assert_eq!(whole.levels, single.levels);
            prop_assert_eq!(whole.high, single.high);
            prop_assert_eq!(whole.low, single.low);
        }

        #[test]
        fn f32_blocks_add_like_their_products(
            rows in proptest::collection::vec(
                (proptest::collection::vec(any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |v| v.is_finite()), 37), 1u64..1 << 53),
                1..6,
            ),
        ) {
            let (mut narrow, mut wide) = (Sums::new(37).unwrap(), Sums::new(37).unwrap());
            for (values, weight) in rows {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                let products: Vec<f64> = values.iter().map(|&value| f64::from(value) * weight as f64).collect();
                narrow.add_f32_block(0, &bytes, weight as f64);
                wide.add_block(0, &products);
            }
            prop_assert_eq!(narrow.levels, wide.levels);
            prop_assert_eq!(narrow.high, wide.high);
            prop_assert_eq!(narrow.low, wide.low);
        }

        #[test]
        fn the_short_way_to_the_nearest_f64_is_the_long_way(high: i64, low: i64, shift in 0u32..63) {
            let (high, low) = (high >> shift, low >> (shift / 2));
            let long = ((i128::from(high) << BITS) + i128::from(low)) as f64;
            prop_assert_eq!(nearest(high, low).to_bits(), long.to_bits());
        }

        #[test]
        fn errors_stay_within_the_stated_bound(values in proptest::collection::vec(-1e6f64..1e6, 1..200)) {
            let largest = kernels::largest_f64(&values);
            // Every value is a multiple of 2^-60 after this, so an i128 sums them without error.
            let exact: i128 = values.iter().map(|value| (value * 2f64.powi(60)) as i128).sum();
            let error = (total(&values) - exact as f64 * 2f64.powi(-60)).abs();
            prop_assert!(error <= largest * 2f64.powi(-44) * values.len() as f64 + largest * 1e-15);
        }
    }
}
