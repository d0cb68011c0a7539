//! What an update changed, and a change applied: exact for 64-bit integers as well, which f64 alone would round.

use super::DType;
use super::cast::{self, BLOCK};

/// `out` = `update` − `start`, element by element. Both are little-endian elements, exactly as many as `out` holds, at most [`BLOCK`].
pub fn subtract(dtype: DType, update: &[u8], start: &[u8], out: &mut [f64]) {
    macro_rules! each {
        ($type:ty) => {{
            assert!(update.len() == out.len() * 8 && start.len() == update.len());
            let pairs = update.as_chunks::<8>().0.iter().zip(start.as_chunks::<8>().0);
            for (value, (&after, &before)) in out.iter_mut().zip(pairs) {
                let change = i128::from(<$type>::from_le_bytes(after)) - i128::from(<$type>::from_le_bytes(before));
                *value = change as f64;
            }
        }};
    }
    match dtype {
        DType::I64 => each!(i64),
        DType::U64 => each!(u64),
        _ => {
            let mut before = [0.0; BLOCK];
            let before = &mut before[..out.len()];
            cast::decode(dtype, update, out);
            cast::decode(dtype, start, before);
            out.iter_mut().zip(before).for_each(|(value, before)| *value -= *before);
        }
    }
}

/// Appends `start` + `change` as little-endian elements, rounded as [`cast::encode`] does. A sum of floats beyond the type's range is its
/// greatest value. Changes `change`.
pub fn add(dtype: DType, start: &[u8], change: &mut [f64], out: &mut Vec<u8>) {
    macro_rules! each {
        ($type:ty) => {
            for (&before, &change) in start.as_chunks::<8>().0.iter().zip(&*change) {
                let after = nearest(i128::from(<$type>::from_le_bytes(before)), change);
                let after = after.clamp(i128::from(<$type>::MIN), i128::from(<$type>::MAX)) as $type;
                out.extend_from_slice(&after.to_le_bytes());
            }
        };
    }
    match dtype {
        DType::I64 => each!(i64),
        DType::U64 => each!(u64),
        _ => {
            let mut before = [0.0; BLOCK];
            let before = &mut before[..change.len()];
            cast::decode(dtype, start, before);
            change.iter_mut().zip(before).for_each(|(value, before)| *value += *before);
            if dtype.is_float() { cast::encode_finite(dtype, change, out) } else { cast::encode(dtype, change, out) }
        }
    }
}

/// The whole number next to `start` + `change`, half to even.
fn nearest(start: i128, change: f64) -> i128 {
    let down = change.floor();
    let (whole, rest) = (start + down as i128, change - down);
    whole + i128::from(rest > 0.5 || (rest == 0.5 && whole % 2 != 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(dtype: DType, values: &[f64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        cast::encode(dtype, values, &mut bytes);
        bytes
    }

    #[test]
    fn every_type_gives_back_what_was_taken_away() {
        for dtype in DType::ALL {
            let (start, update) = ([1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0]);
            let (start, update) = (encoded(dtype, &start), encoded(dtype, &update));
            let mut change = [0.0; 4];
            subtract(dtype, &update, &start, &mut change);
            assert_eq!(change, [-1.0, 1.0, 0.0, 0.0], "{dtype:?}");
            let mut after = Vec::new();
            add(dtype, &start, &mut change, &mut after);
            assert_eq!(after, update, "{dtype:?}");
        }
    }

    #[test]
    fn large_whole_numbers_lose_nothing() {
        let (before, after) = ((1u64 << 60) + 1, (1u64 << 60) + 4);
        let mut change = [0.0];
        subtract(DType::U64, &after.to_le_bytes(), &before.to_le_bytes(), &mut change);
        assert_eq!(change, [3.0]);
        subtract(DType::I64, &i64::MIN.to_le_bytes(), &i64::MAX.to_le_bytes(), &mut change);
        assert_eq!(change, [-(2f64.powi(64))]);
        let moved = |start: i64, by: f64| {
            let mut out = Vec::new();
            add(DType::I64, &start.to_le_bytes(), &mut [by], &mut out);
            i64::from_le_bytes(out.try_into().unwrap())
        };
        let large = (1i64 << 60) + 1;
        assert_eq!(
            [moved(large, 3.0), moved(large, 0.5), moved(large, -0.5), moved(large, 0.4)],
            [large + 3, large + 1, large - 1, large]
        );
        assert_eq!(
            [moved(i64::MAX, 5.0), moved(i64::MIN, -1e30), moved(2, 0.5), moved(3, 0.5)],
            [i64::MAX, i64::MIN, 2, 4]
        );
    }

    #[test]
    fn floats_stay_finite_and_bools_turn_at_one_half() {
        let mut out = Vec::new();
        add(DType::F16, &encoded(DType::F16, &[65504.0]), &mut [1000.0], &mut out);
        assert_eq!(out, encoded(DType::F16, &[65504.0]));
        let mut out = Vec::new();
        add(DType::Bool, &[1, 1, 0, 0], &mut [-0.5, -0.6, 0.5, 0.4], &mut out);
        assert_eq!(out, [1, 0, 1, 0]);
    }

    proptest! {
        #[test]
        fn small_whole_numbers_round_like_all_others(start in -1000i64..1000, change in -1000.0f64..1000.0) {
            let change = (change * 8.0).round() / 8.0;
            prop_assert_eq!(nearest(i128::from(start), change), (start as f64 + change).round_ties_even() as i128);
        }
    }
}
