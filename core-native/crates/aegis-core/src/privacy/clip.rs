//! An update as whole steps of a grid, whose length is proved to be within the bound that the noise is made for.
//!
//! **The bound.** An update x with ‖x‖₂ ≤ C becomes kᵢ = trunc(xᵢ / step); a longer one kᵢ = trunc(xᵢ · (1 − 2^-26) · (C / step) / n), n being the norm
//! as it was computed. Claim: ‖k‖₂ ≤ C / step, as real numbers. Truncation never lengthens. Where nothing is scaled, n ≤ C (1 − 2^-26); the division by
//! a power of two is exact or loses bits that are truncated. The computed norm of up to 2^33 elements is off by less than 2^-29 of itself — 8 lanes of
//! 128 additions a block, then 2^23 blocks, all terms positive — and the three roundings on the way to kᵢ by less than 2^-51:
//! both are inside the 2^-26. ∎ The sum of the squares of what is actually used is compared with the bound all the same, in whole numbers, by
//! everybody who adds noise to it ([`Bound::holds`]).
//!
//! **The rest.** Truncation is deterministic, so a sum that is formed again after a crash is the same to the bit. It moves every element towards zero
//! by less than one step, which is why steps are fine: nobody can see them under the noise.

use crate::error::{Code, Error, Result};
use crate::update::UpdateFacts;
use crate::vectors::widest;

/// Bounds outside are a mistake; inside no square of a relevant element leaves f64's range.
const LEAST_BOUND: f64 = 1.0 / (1u128 << 100) as f64;
const GREATEST_BOUND: f64 = (1u128 << 100) as f64;
/// Most steps of a bound: the squares of 2^33 elements are summed in a u128.
const MOST_STEPS: f64 = (1u64 << 46) as f64;
/// Larger than all rounding of norm and scale together.
const MARGIN: f64 = 1.0 / (1u64 << 26) as f64;
/// Elements beyond 2^500 are scaled in two factors, so that neither leaves f64's range.
const LARGE: f64 = f64::from_bits((1023 + 500) << 52);
const LARGE_SCALE: f64 = f64::from_bits((1023 - 512) << 52);

/// An L2 bound and the grid it is measured on.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    bound: f64,
    /// A power of two.
    step: f64,
}

/// How one update is put on the grid.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    first: f64,
    second: f64,
    /// Whether the update was longer than the bound.
    pub clipped: bool,
}

impl Bound {
    /// [`Code::Argument`] unless `bound` is from 2^-100 to 2^100 and at most 2^46 steps.
    pub fn new(bound: f64, step: f64) -> Result<Self> {
        if !(LEAST_BOUND..=GREATEST_BOUND).contains(&bound) {
            return Err(Error::new(Code::Argument, "a norm bound is from 2^-100 to 2^100").with("got", bound));
        }
        if bound / step > MOST_STEPS {
            return Err(Error::new(Code::Argument, "the noise is too fine for the norm bound")
                .with("bound", bound)
                .with("step", step));
        }
        Ok(Self { bound, step })
    }

    /// On the grid that divides the bound into 2^39 to 2^40 steps.
    pub fn fine(bound: f64) -> Result<Self> {
        Self::new(bound, power_of_two_below(bound) / (1u64 << 39) as f64)
    }

    pub fn step(self) -> f64 {
        self.step
    }

    /// The bound in steps, exactly.
    pub fn steps(self) -> f64 {
        self.bound / self.step
    }

    /// How to put an update, times `weight` ≤ 1, on the grid. Its facts are those of all its elements together.
    ///
    /// [`Code::ValueNotFinite`] if its norm is beyond f64: each element is finite, but not all of them together.
    pub fn scale(self, facts: &UpdateFacts, weight: f64) -> Result<Scale> {
        if !facts.norm.is_finite() {
            return Err(Error::new(Code::ValueNotFinite, "the norm of the update is beyond f64's range"));
        }
        let clipped = facts.norm > self.bound * (1.0 - MARGIN);
        if !clipped {
            return Ok(Scale { first: weight, second: 1.0 / self.step, clipped });
        }
        let first = if facts.norm > LARGE { LARGE_SCALE } else { 1.0 };
        let second = self.steps() * (1.0 - MARGIN) / (facts.norm * first) * weight;
        Ok(Scale { first, second, clipped })
    }

    /// Whether a vector with this sum of squares is within the bound; exact.
    pub fn holds(self, squares: u128) -> bool {
        // A bound of m · 2^-f steps, m and f whole: compare the squares times 2^2f with m². m has 53 bits at most.
        let steps = self.steps();
        let fraction_bits = (52 - exponent(steps)).clamp(0, 1100);
        if fraction_bits > 52 {
            return squares == 0; // less than one step
        }
        let whole = (steps * (1u64 << fraction_bits) as f64) as u128;
        squares.checked_mul(1u128 << (2 * fraction_bits)).is_some_and(|squares| squares <= whole * whole)
    }
}

impl Scale {
    /// Steps of every value, and the sum of their squares.
    pub fn to_steps(self, values: &[f64], out: &mut [i64]) -> u128 {
        to_steps(values, self.first, self.second, out)
    }
}

widest!(
    /// Steps of every value, and the sum of their squares.
    to_steps, to_steps_body, (values: &[f64], first: f64, second: f64, out: &mut [i64]) -> u128
);

#[inline(always)]
fn to_steps_body(values: &[f64], first: f64, second: f64, out: &mut [i64]) -> u128 {
    let mut squares = 0u128;
    for (out, &value) in out.iter_mut().zip(values) {
        let steps = (value * first * second) as i64; // truncates, and saturates where `holds` will say no
        *out = steps;
        squares = squares.saturating_add(u128::from(steps.unsigned_abs()) * u128::from(steps.unsigned_abs()));
    }
    squares
}

/// The greatest power of two up to a normal, positive value.
pub fn power_of_two_below(value: f64) -> f64 {
    f64::from_bits(value.to_bits() & !((1 << 52) - 1))
}

fn exponent(value: f64) -> i64 {
    (value.to_bits() >> 52) as i64 - 1023
}

/// What is said when the bound does not hold: never seen, and nothing leaves if it is.
pub fn broken_bound() -> Error {
    Error::new(Code::NormExceeded, "a clipped update is longer than its bound; this is a bug, and nothing was added")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::update::measured;

    /// Clips as everybody does, and returns the steps.
    fn clipped(values: &[f64], bound: Bound, weight: f64) -> Result<(Vec<i64>, u128, bool)> {
        let facts = measured(values)?;
        let scale = bound.scale(&facts, weight)?;
        let mut steps = vec![0; values.len()];
        let squares = scale.to_steps(values, &mut steps);
        let exact: u128 = steps.iter().map(|&step| u128::from(step.unsigned_abs()).pow(2)).sum();
        assert_eq!(squares, exact);
        Ok((steps, squares, scale.clipped))
    }

    fn assert_bounded(values: &[f64], bound: f64, step: f64, weight: f64) {
        let bound = Bound::new(bound, step).unwrap();
        match clipped(values, bound, weight) {
            Ok((_, squares, _)) => assert!(bound.holds(squares), "{} elements", values.len()),
            Err(error) => assert_eq!(error.code, Code::ValueNotFinite),
        }
    }

    fn any_magnitude() -> impl Strategy<Value = f64> {
        prop_oneof![
            (-1074i32..1024, 1.0f64..2.0, any::<bool>())
                .prop_map(|(exponent, mantissa, sign)| {
                    let halves = (exponent / 2, exponent - exponent / 2);
                    let value = mantissa * 2f64.powi(halves.0) * 2f64.powi(halves.1);
                    if sign { -value } else { value }
                })
                .prop_filter("finite", |value| value.is_finite()),
            -1.0f64..1.0,
            Just(0.0),
            Just(f64::MIN_POSITIVE / 8.0),
            Just(f64::MAX),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn the_norm_in_steps_never_exceeds_the_bound(
            values in proptest::collection::vec(any_magnitude(), 1..40),
            log_bound in -60.0f64..60.0,
            log_steps in -3i32..46,
            weight in prop_oneof![Just(1.0), 0.0f64..1.0],
        ) {
            let bound = log_bound.exp2();
            let step = power_of_two_below(bound) * 2f64.powi(-log_steps.min(45));
            assert_bounded(&values, bound, step, weight);
        }

        #[test]
        fn nor_right_at_the_bound(count in 1usize..60, log_bound in -20.0f64..20.0, ulps in -2_000i64..2_000, log_steps in 0i32..46) {
            let bound = log_bound.exp2();
            let value = bound / (count as f64).sqrt();
            let value = f64::from_bits((value.to_bits() as i64 + ulps) as u64);
            let step = power_of_two_below(bound) * 2f64.powi(-log_steps.min(45));
            assert_bounded(&vec![value; count], bound, step, 1.0);
        }
    }

    #[test]
    fn equal_values_of_every_dimension_stay_within_the_bound() {
        for exponent in 0..=17 {
            for more in [0, 1, 7] {
                let count = (1usize << exponent) + more;
                for value in [1e-310, 1e-160, 1e-9, 1e-3, 0.1, 1.0, 3.7e5, 1e150, 1e200, 1e300] {
                    for step in [1.0, 2f64.powi(-10), 2f64.powi(-39)] {
                        assert_bounded(&vec![value; count], 1.5, step, 1.0);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_within_the_bound_is_kept_to_the_step() {
        let bound = Bound::fine(1.0).unwrap();
        let (steps, _, clipped) = clipped(&[0.5, -0.25, 3e-13, 0.0], bound, 1.0).unwrap();
        assert_eq!((steps, clipped), (vec![1 << 38, -(1 << 37), 0, 0], false));
    }

    #[test]
    fn what_is_longer_points_the_same_way_and_is_as_long_as_the_bound() {
        let bound = Bound::fine(2.0).unwrap();
        for factor in [1.0, 1e-5, 1e200] {
            let values = [3e5 * factor, -4e5 * factor];
            let (steps, _, was_clipped) = clipped(&values, bound, 1.0).unwrap();
            let back: Vec<f64> = steps.iter().map(|&steps| steps as f64 * bound.step()).collect();
            assert!(was_clipped && (back[0] - 1.2).abs() < 1e-7 && (back[1] + 1.6).abs() < 1e-7, "{back:?}");
        }
    }

    #[test]
    fn the_comparison_is_exact_to_the_last_square() {
        let bound = Bound::new(5.0, 1.0).unwrap();
        assert!(bound.holds(25) && !bound.holds(26));
        let bound = Bound::new(2.5, 1.0).unwrap();
        assert!(bound.holds(6) && !bound.holds(7));
        let bound = Bound::new(0.75, 1.0).unwrap();
        assert!(bound.holds(0) && !bound.holds(1));
        let bound = Bound::fine(1.0 + f64::EPSILON).unwrap();
        let most = (1u128 << 78) + (1 << 27); // ((1 + 2^-52) · 2^39)² = 2^78 + 2^27 + 2^-26
        assert!(bound.holds(most) && !bound.holds(most + 1) && !bound.holds(u128::MAX));
    }

    #[test]
    fn a_norm_beyond_all_numbers_is_refused_and_bounds_have_limits() {
        let bound = Bound::fine(1.0).unwrap();
        assert_eq!(clipped(&[f64::MAX, f64::MAX], bound, 1.0).unwrap_err().code, Code::ValueNotFinite);
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-40, 1e40] {
            assert_eq!(Bound::fine(bad).unwrap_err().code, Code::Argument);
        }
        assert_eq!(Bound::new(1.0, 2f64.powi(-47)).unwrap_err().code, Code::Argument);
    }
}
