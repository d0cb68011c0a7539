//! Arithmetic modulo a prime of 384 bits, for public numbers: running times depend on the values.

use std::marker::PhantomData;

pub type Limbs = [u64; 6];

/// A prime between 2^383 and 2^384, limbs from the least significant.
pub trait Prime: Copy {
    const LIMBS: Limbs;

    /// Adds the multiple of p that makes limb `at` zero, up to limb `at` + 5; returns what belongs to the limb above.
    #[inline(always)]
    fn shifted_out(limbs: &mut [u64; 12], at: usize) -> u64 {
        let multiple = limbs[at].wrapping_mul(negated_inverse(Self::LIMBS[0]));
        let mut carry = 0;
        for (limb, prime) in limbs[at..at + 6].iter_mut().zip(Self::LIMBS) {
            (*limb, carry) = multiply_add(multiple, prime, *limb, carry);
        }
        carry
    }
}

/// A residue in Montgomery form: `a · 2^384 mod p`, always below p. Montgomery, "Modular multiplication without trial
/// division", Math. Comp. 44 (1985); product, then reduction: "SOS" in Koç, Acar, Kaliski, IEEE Micro 16 (1996).
#[derive(Debug)]
pub struct Residue<P>(Limbs, PhantomData<P>);

impl<P> Clone for Residue<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Residue<P> {}

impl<P> PartialEq for Residue<P> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<P: Prime> Residue<P> {
    pub const ZERO: Self = Self::raw([0; 6]);
    pub const ONE: Self = Self::raw(power_of_two(384, &P::LIMBS));
    const SQUARE_OF_R: Self = Self::raw(power_of_two(768, &P::LIMBS));

    const fn raw(limbs: Limbs) -> Self {
        Self(limbs, PhantomData)
    }

    /// None if the number is not below p.
    pub fn new(number: Limbs) -> Option<Self> {
        below(&number, &P::LIMBS).then(|| Self::raw(number).times(&Self::SQUARE_OF_R))
    }

    /// The number it stands for.
    pub fn number(&self) -> Limbs {
        self.times(&Self::raw([1, 0, 0, 0, 0, 0])).0
    }

    pub fn is_zero(&self) -> bool {
        self.0 == [0; 6]
    }

    #[inline]
    pub fn times(&self, other: &Self) -> Self {
        let mut product = [0; 12];
        for (at, &factor) in other.0.iter().enumerate() {
            let mut carry = 0;
            for (own, limb) in self.0.iter().zip(&mut product[at..]) {
                (*limb, carry) = multiply_add(*own, factor, *limb, carry);
            }
            product[at + 6] = carry;
        }
        Self::reduce(product)
    }

    #[inline]
    pub fn squared(&self) -> Self {
        let number = &self.0;
        // every pair once, doubled, then the squares
        let mut product = [0; 12];
        for at in 0..5 {
            let mut carry = 0;
            for other in at + 1..6 {
                (product[at + other], carry) = multiply_add(number[at], number[other], product[at + other], carry);
            }
            product[at + 6] = carry;
        }
        let (mut shifted, mut carry) = (0, 0);
        for at in 0..6 {
            let (low, high) = (product[2 * at], product[2 * at + 1]);
            let square = u128::from(number[at]) * u128::from(number[at]);
            let wide = u128::from(low << 1 | shifted) + u128::from(square as u64) + carry;
            product[2 * at] = wide as u64;
            let wide = u128::from(high << 1 | low >> 63) + (square >> 64) + (wide >> 64);
            product[2 * at + 1] = wide as u64;
            (shifted, carry) = (high >> 63, wide >> 64);
        }
        Self::reduce(product)
    }

    #[inline(always)]
    fn reduce(mut product: [u64; 12]) -> Self {
        let mut overflow = 0;
        for at in 0..6 {
            let above = P::shifted_out(&mut product, at);
            let wide = u128::from(product[at + 6]) + u128::from(above) + overflow;
            product[at + 6] = wide as u64;
            overflow = wide >> 64;
        }
        let high = std::array::from_fn(|at| product[at + 6]);
        Self::raw(reduced(high, overflow != 0, &P::LIMBS))
    }

    #[inline]
    pub fn plus(&self, other: &Self) -> Self {
        let (sum, overflow) = add(&self.0, &other.0);
        Self::raw(reduced(sum, overflow, &P::LIMBS))
    }

    #[inline]
    pub fn minus(&self, other: &Self) -> Self {
        let (difference, borrowed) = subtract(&self.0, &other.0);
        Self::raw(if borrowed { add(&difference, &P::LIMBS).0 } else { difference })
    }

    #[inline]
    pub fn doubled(&self) -> Self {
        self.plus(self)
    }

    pub fn negated(&self) -> Self {
        Self::ZERO.minus(self)
    }

    /// By Fermat: the power p − 2, four bits at a time. Zero stays zero.
    pub fn inverted(&self) -> Self {
        let mut powers = [Self::ONE; 16];
        for at in 1..16 {
            powers[at] = powers[at - 1].times(self);
        }
        let exponent = subtract(&P::LIMBS, &[2, 0, 0, 0, 0, 0]).0;
        let mut result = Self::ONE;
        for digit in (0..96).rev() {
            for _ in 0..4 {
                result = result.squared();
            }
            result = result.times(&powers[(exponent[digit / 16] >> (4 * (digit % 16)) & 15) as usize]);
        }
        result
    }
}

pub fn below(number: &Limbs, limit: &Limbs) -> bool {
    subtract(number, limit).1
}

pub fn add(a: &Limbs, b: &Limbs) -> (Limbs, bool) {
    let (mut sum, mut carry) = ([0; 6], false);
    for at in 0..6 {
        let (partial, over) = a[at].overflowing_add(b[at]);
        let (limb, again) = partial.overflowing_add(u64::from(carry));
        (sum[at], carry) = (limb, over | again);
    }
    (sum, carry)
}

const fn subtract(a: &Limbs, b: &Limbs) -> (Limbs, bool) {
    let (mut difference, mut borrow) = ([0; 6], false);
    let mut at = 0;
    while at < 6 {
        let (partial, under) = a[at].overflowing_sub(b[at]);
        let (limb, again) = partial.overflowing_sub(borrow as u64);
        difference[at] = limb;
        borrow = under | again;
        at += 1;
    }
    (difference, borrow)
}

/// `number`, plus 2^384 if it overflowed, less p if that is not below p.
#[inline]
const fn reduced(number: Limbs, overflow: bool, prime: &Limbs) -> Limbs {
    let (less, borrowed) = subtract(&number, prime);
    if overflow || !borrowed { less } else { number }
}

/// a · b + c + d, low and high.
#[inline(always)]
fn multiply_add(a: u64, b: u64, c: u64, d: u64) -> (u64, u64) {
    let wide = u128::from(a) * u128::from(b) + u128::from(c) + u128::from(d);
    (wide as u64, (wide >> 64) as u64)
}

const fn power_of_two(exponent: usize, prime: &Limbs) -> Limbs {
    let mut power = [1, 0, 0, 0, 0, 0];
    let mut done = 0;
    while done < exponent {
        let mut shifted = [0; 6];
        let mut at = 0;
        while at < 6 {
            shifted[at] = power[at] << 1 | if at > 0 { power[at - 1] >> 63 } else { 0 };
            at += 1;
        }
        power = reduced(shifted, power[5] >> 63 == 1, prime);
        done += 1;
    }
    power
}

/// Newton: each step doubles the correct bits; an odd number is its own inverse modulo 8.
const fn negated_inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse.wrapping_neg()
}
