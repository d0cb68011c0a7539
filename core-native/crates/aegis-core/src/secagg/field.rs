//! Integers modulo the Mersenne prime 2^61 − 1, in time that does not depend on their values.

use std::ops::{Add, Mul, Sub};

use zeroize::Zeroize;

/// 2^61 − 1.
pub const PRIME: u64 = (1 << 61) - 1;

/// Always below [`PRIME`], so that equal elements have equal bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Element(u64);

impl Element {
    pub const ZERO: Self = Self(0);
    pub const ONE: Self = Self(1);

    /// `None` from [`PRIME`] up: an element has one encoding.
    pub fn new(value: u64) -> Option<Self> {
        (value < PRIME).then_some(Self(value))
    }

    pub fn value(self) -> u64 {
        self.0
    }

    /// `self · x + addend` for a polynomial's point: the step of Horner's rule.
    pub fn mul_add(self, x: Self, addend: Self) -> Self {
        let product = u128::from(self.0) * u128::from(x.0);
        // below 3 · 2^61, so one reduction leaves at most 2^61 + 1 and the second an element
        reduce(fold((product as u64 & PRIME) + (product >> 61) as u64 + addend.0))
    }

    /// The inverse by Fermat's theorem, a^(p−2); zero for zero.
    pub fn inverse(self) -> Self {
        // p − 2 = 2^61 − 3 is 59 ones, a zero and a one
        let ones = (1..59).fold(self, |power, _| power * power * self);
        let shifted = ones * ones;
        shifted * shifted * self
    }
}

impl Add for Element {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        reduce(self.0 + other.0)
    }
}

impl Sub for Element {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        reduce(self.0 + (PRIME - other.0))
    }
}

impl Mul for Element {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let product = u128::from(self.0) * u128::from(other.0);
        reduce((product as u64 & PRIME) + (product >> 61) as u64)
    }
}

impl Zeroize for Element {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// The same residue, for any u64, as at most 2^61 + 6.
const fn fold(value: u64) -> u64 {
    (value & PRIME) + (value >> 61)
}

/// The element of a value below 2 · [`PRIME`].
const fn reduce(value: u64) -> Element {
    let less = value.wrapping_sub(PRIME);
    // all ones where the subtraction went below zero; no branch on a value
    let below = (less >> 63).wrapping_neg();
    Element(less.wrapping_add(PRIME & below))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element() -> impl Strategy<Value = Element> {
        prop_oneof![Just(0), Just(1), Just(PRIME - 1), Just(PRIME - 2), 0..PRIME].prop_map(Element)
    }

    fn slow(value: u128) -> Element {
        Element((value % u128::from(PRIME)) as u64)
    }

    proptest! {
        #[test]
        fn agrees_with_arithmetic_in_wider_integers(a in element(), b in element(), c in element()) {
            let (wide_a, wide_b, wide_c) = (u128::from(a.0), u128::from(b.0), u128::from(c.0));
            prop_assert_eq!(a + b, slow(wide_a + wide_b));
            prop_assert_eq!(a - b, slow(wide_a + u128::from(PRIME) - wide_b));
            prop_assert_eq!(a * b, slow(wide_a * wide_b));
            prop_assert_eq!(a.mul_add(b, c), slow(wide_a * wide_b + wide_c));
        }

        #[test]
        fn an_inverse_inverts(a in element()) {
            let expected = if a == Element::ZERO { Element::ZERO } else { Element::ONE };
            prop_assert_eq!(a * a.inverse(), expected);
        }
    }

    #[test]
    fn only_canonical_values_are_elements() {
        assert_eq!(Element::new(PRIME - 1).map(Element::value), Some(PRIME - 1));
        for value in [PRIME, PRIME + 1, u64::MAX] {
            assert_eq!(Element::new(value), None);
        }
    }
}
