//! The inner loops of the fold, compiled for the processor's widest vectors.
//!
//! Additions are of integers and roundings of single values, so that the width cannot change a bit; a test holds the versions
//! against each other.

use super::digits::split;
use crate::vectors::widest;

widest!(
    /// Adds the digits of values · scale.
    add_f64, add_f64_body, (high: &mut [i64], low: &mut [i64], values: &[f64], scale: f64)
);
widest!(
    /// Adds the digits of values · weight · scale; the values are little-endian f32.
    add_f32, add_f32_body, (high: &mut [i64], low: &mut [i64], values: &[u8], weight: f64, scale: f64)
);
widest!(
    /// The greatest magnitude among finite values, 0 of none.
    largest_f64, largest_f64_body, (values: &[f64]) -> f64
);
widest!(
    /// The greatest magnitude among finite little-endian f32 values, 0 of none.
    largest_f32, largest_f32_body, (values: &[u8]) -> f32
);

#[inline(always)]
fn add_f64_body(high: &mut [i64], low: &mut [i64], values: &[f64], scale: f64) {
    for ((high, low), &value) in high.iter_mut().zip(low).zip(values) {
        let (first, second) = split(value * scale);
        *high += first;
        *low += second;
    }
}

#[inline(always)]
fn add_f32_body(high: &mut [i64], low: &mut [i64], values: &[u8], weight: f64, scale: f64) {
    let (values, _) = values.as_chunks::<4>();
    for ((high, low), &value) in high.iter_mut().zip(low).zip(values) {
        // Two products, not one with weight · scale: that one could round where the first has rounded already.
        let (first, second) = split(f64::from(f32::from_le_bytes(value)) * weight * scale);
        *high += first;
        *low += second;
    }
}

#[inline(always)]
fn largest_f64_body(values: &[f64]) -> f64 {
    // Magnitudes of finite values are in the order of their bits.
    let bits = values.iter().fold(0, |largest, value| value.abs().to_bits().max(largest));
    f64::from_bits(bits)
}

#[inline(always)]
fn largest_f32_body(values: &[u8]) -> f32 {
    let (values, _) = values.as_chunks::<4>();
    let bits = values.iter().fold(0, |largest, &value| (u32::from_le_bytes(value) & !(1 << 31)).max(largest));
    f32::from_bits(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_width_gives_the_same_bits(
            values in proptest::collection::vec(any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |v| v.is_finite()), 0..100),
            weight in 1u32..,
        ) {
            let weight = f64::from(weight);
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let products: Vec<f64> = values.iter().map(|&value| f64::from(value) * weight).collect();
            let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
            let scale = 0.5 / (f64::from(largest) * weight).max(1e-30);
            let scale = f64::from_bits(scale.to_bits() & (0x7ff << 52)); // a power of two
            let sums = |add: &dyn Fn(&mut [i64], &mut [i64])| {
                let (mut high, mut low) = (vec![7; values.len()], vec![-7; values.len()]);
                add(&mut high, &mut low);
                (high, low)
            };
            let plain = sums(&|high, low| add_f32_body(high, low, &bytes, weight, scale));
            prop_assert_eq!(&plain, &sums(&|high, low| add_f32(high, low, &bytes, weight, scale)));
            prop_assert_eq!(&plain, &sums(&|high, low| add_f64(high, low, &products, scale)));
            prop_assert_eq!(&plain, &sums(&|high, low| add_f64_body(high, low, &products, scale)));
            prop_assert_eq!(largest, largest_f32(&bytes));
            prop_assert_eq!(f64::from(largest), largest_f64(&values.iter().copied().map(f64::from).collect::<Vec<_>>()));
        }
    }
}
