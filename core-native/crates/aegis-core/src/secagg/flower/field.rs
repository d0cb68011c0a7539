//! GF(2^128) with x^128 + x^7 + x^2 + x + 1, in plain bit order: an element is 16 bytes, big-endian, without GHASH's reflection.

const REDUCTION: u128 = 0x87;

/// In time that does not depend on the values.
pub fn multiply(a: u128, b: u128) -> u128 {
    (0..128).rev().fold(0, |product: u128, bit| double(product) ^ (a & (b >> bit & 1).wrapping_neg()))
}

/// `a` times a public number, in time that depends on that one alone.
pub fn multiply_by_index(a: u128, index: u32) -> u128 {
    (0..u32::BITS - index.leading_zeros())
        .rev()
        .fold(0, |product, bit| double(product) ^ if index >> bit & 1 == 1 { a } else { 0 })
}

/// a^(2^128 − 2); zero for zero.
pub fn inverse(a: u128) -> u128 {
    // 127 ones and a zero
    let ones = (1..127).fold(a, |power, _| multiply(multiply(power, power), a));
    multiply(ones, ones)
}

fn double(a: u128) -> u128 {
    a << 1 ^ (REDUCTION & (a >> 127).wrapping_neg())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_field(a: u128, b: u128, c: u128, index: u32) {
            prop_assert_eq!(multiply(a, b), multiply(b, a));
            prop_assert_eq!(multiply(multiply(a, b), c), multiply(a, multiply(b, c)));
            prop_assert_eq!(multiply(a, b ^ c), multiply(a, b) ^ multiply(a, c));
            prop_assert_eq!(multiply(a, 1), a);
            prop_assert_eq!(multiply_by_index(a, index), multiply(a, u128::from(index)));
            prop_assert_eq!(multiply(a, inverse(a)), u128::from(a != 0));
        }
    }

    #[test]
    fn the_polynomial_is_the_right_one() {
        assert_eq!(multiply(1 << 127, 2), 0x87);
    }
}
