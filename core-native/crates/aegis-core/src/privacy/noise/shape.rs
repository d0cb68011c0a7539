//! What a distribution on the integers looks like, up to a factor: quickly in f64, and as exactly as anybody asks.

use num_bigint::BigUint;

/// Probabilities relative to the most likely integer's, whose own is 1. They fall on both sides of it, ever faster (log-concave).
pub trait Shape {
    /// The most likely integer.
    fn mode(&self) -> i64;

    /// Standard deviations in a way: all that is further than [`Shape::REACH`] spreads from the mode is less than 2^-31 of the whole.
    fn spread(&self) -> f64;
    const REACH: f64;
    /// Blocks of equal probability are 1/GRAIN to 2/GRAIN spreads wide.
    const GRAIN: f64;

    /// The relative probability, off by at most [`Shape::SLACK`] of itself; where it is below 2^-500, anything below that.
    fn relative(&self, value: i64) -> f64;
    const SLACK: f64;

    /// Whole numbers lower ≤ 2^bits · (relative probability) ≤ upper, a few apart.
    fn bounds(&self, value: i64, bits: u64) -> (BigUint, BigUint);
}

/// A positive f64 as mantissa · 2^exponent, exactly.
pub fn dyadic(value: f64) -> (u64, i64) {
    let bits = value.to_bits();
    let (exponent, fraction) = ((bits >> 52) as i64, bits & ((1 << 52) - 1));
    let (mantissa, exponent) = if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
    let zeros = i64::from(mantissa.trailing_zeros() % 64);
    (mantissa >> zeros, exponent + zeros)
}

/// numerator · 2^shift / denominator.
struct Ratio {
    numerator: BigUint,
    denominator: BigUint,
}

impl Ratio {
    fn new(numerator: BigUint, denominator: BigUint, shift: i64) -> Self {
        let by = shift.unsigned_abs();
        if shift >= 0 {
            Self { numerator: numerator << by, denominator }
        } else {
            Self { numerator, denominator: denominator << by }
        }
    }
}

/// P(k) ∝ exp(−k² / 2σ²).
pub struct Gaussian {
    sigma: f64,
}

impl Gaussian {
    pub fn new(sigma: f64) -> Self {
        Self { sigma }
    }
}

impl Shape for Gaussian {
    fn mode(&self) -> i64 {
        0
    }

    fn spread(&self) -> f64 {
        self.sigma
    }

    const REACH: f64 = 6.4;
    const GRAIN: f64 = 32.0;

    fn relative(&self, value: i64) -> f64 {
        let units = value as f64 / self.sigma;
        exp_of_minus(0.5 * units * units)
    }

    // Five roundings on the way to an exponent below 350: 350 · 5 · 2^-53, and the exponential's own 2^-49.
    const SLACK: f64 = 1.0 / (1u64 << 42) as f64;

    fn bounds(&self, value: i64, bits: u64) -> (BigUint, BigUint) {
        let (mantissa, exponent) = dyadic(self.sigma);
        let square = BigUint::from(value.unsigned_abs()).pow(2);
        let exponent = Ratio::new(square, BigUint::from(mantissa).pow(2), -1 - 2 * exponent);
        exp_bounds(&exponent, bits)
    }
}

/// P(k) ∝ exp(−|k| / s).
pub struct Laplace {
    scale: f64,
}

impl Laplace {
    pub fn new(scale: f64) -> Self {
        Self { scale }
    }
}

impl Shape for Laplace {
    fn mode(&self) -> i64 {
        0
    }

    fn spread(&self) -> f64 {
        self.scale
    }

    const REACH: f64 = 22.0;
    const GRAIN: f64 = 11.0;

    fn relative(&self, value: i64) -> f64 {
        exp_of_minus(value.unsigned_abs() as f64 / self.scale)
    }

    const SLACK: f64 = 1.0 / (1u64 << 42) as f64;

    fn bounds(&self, value: i64, bits: u64) -> (BigUint, BigUint) {
        let (mantissa, exponent) = dyadic(self.scale);
        let ratio = Ratio::new(value.unsigned_abs().into(), mantissa.into(), -exponent);
        exp_bounds(&ratio, bits)
    }
}

/// P(k) ∝ λ^k / k!, from 0 up.
pub struct Poisson {
    mean: f64,
    mode: i64,
    /// Relative probabilities of every [`STRIDE`]th integer from `first` on.
    marks: Vec<f64>,
    first: i64,
}

const STRIDE: i64 = 64;

impl Poisson {
    pub fn new(mean: f64) -> Self {
        let mode = mean as i64;
        let reach = (8.0 * mean.sqrt() + 40.0) as i64;
        let first = (mode - reach).max(0) / STRIDE * STRIDE;
        let count = (mode + reach - first) / STRIDE + 1;
        let mut marks = vec![0.0; count as usize];
        // Outwards from the mode, so that no error is carried from a tail into the middle.
        let mut mark = |value: i64, relative: f64| {
            if (value - first) % STRIDE == 0 {
                marks[((value - first) / STRIDE) as usize] = relative;
            }
        };
        let mut relative = 1.0;
        for value in mode..first + count * STRIDE {
            mark(value, relative);
            relative *= mean / (value + 1) as f64;
        }
        relative = 1.0;
        for value in (first..mode).rev() {
            relative *= (value + 1) as f64 / mean;
            mark(value, relative);
        }
        Self { mean, mode, marks, first }
    }
}

impl Shape for Poisson {
    fn mode(&self) -> i64 {
        self.mode
    }

    fn spread(&self) -> f64 {
        // A small mean has a heavier right tail than its deviation says.
        (self.mean.sqrt() + 1.0).max(2.0)
    }

    const REACH: f64 = 6.8;
    const GRAIN: f64 = 32.0;

    fn relative(&self, value: i64) -> f64 {
        if value < self.first {
            return if value < 0 { 0.0 } else { walk(value, self.first, self.mean) * self.marks[0] };
        }
        let mark = ((value - self.first) / STRIDE).min(self.marks.len() as i64 - 1);
        let from = self.first + mark * STRIDE;
        // The product over the steps between is what the mark is multiplied by.
        (from + 1..=value).fold(self.marks[mark as usize], |relative, step| relative * self.mean / step as f64)
    }

    // Two roundings a step, and never more than 2^17 steps from the mode within what f64 can say.
    const SLACK: f64 = 1.0 / (1u64 << 34) as f64;

    fn bounds(&self, value: i64, bits: u64) -> (BigUint, BigUint) {
        if value < 0 {
            return (BigUint::ZERO, BigUint::ZERO);
        }
        let (mantissa, exponent) = dyadic(self.mean);
        let (near, far) = (self.mode.min(value), self.mode.max(value));
        let steps = (near + 1..=far).fold(BigUint::from(1u8), |product, step| product * step as u64);
        let distance = far - near;
        let powers = BigUint::from(mantissa).pow(distance as u32);
        let ratio = if value >= self.mode {
            Ratio::new(powers, steps, exponent * distance)
        } else {
            Ratio::new(steps, powers, -exponent * distance)
        };
        let lower = (ratio.numerator << bits) / ratio.denominator;
        (lower.clone(), lower + 1u8)
    }
}

/// Relative probability of `value` against that of `from` above it.
fn walk(value: i64, from: i64, mean: f64) -> f64 {
    (value + 1..=from).fold(1.0, |relative, step| relative * step as f64 / mean)
}

const LN_2: f64 = std::f64::consts::LN_2;
/// The first 33 bits of ln 2, whose products with small integers are exact, and the rest.
const LN_2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN_2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

/// exp(−x) for x ≥ 0, off by less than 2^-49 of itself; the same bits on every machine, which a C library's is not. 0 beyond x = 700.
fn exp_of_minus(x: f64) -> f64 {
    if x > 700.0 {
        return 0.0;
    }
    let halvings = (x / LN_2).round_ties_even();
    let rest = -((x - halvings * LN_2_HIGH) - halvings * LN_2_LOW); // |rest| ≤ ln 2 / 2
    // Taylor's series to the 13th power: what is left out is below 2^-57.
    const INVERSE_FACTORIALS: [f64; 14] = inverse_factorials();
    let power = INVERSE_FACTORIALS.iter().rev().fold(0.0, |sum, &coefficient| sum * rest + coefficient);
    power * f64::from_bits((1023 - halvings as u64) << 52)
}

const fn inverse_factorials() -> [f64; 14] {
    let mut inverse = [1.0; 14];
    let (mut n, mut factorial) = (1, 1.0);
    while n < 14 {
        factorial *= n as f64;
        inverse[n] = 1.0 / factorial;
        n += 1;
    }
    inverse
}

/// Whole numbers around 2^bits · exp(−ratio).
///
/// Fixed point: the exponent is halved s times until it is below 1/2, Taylor's series is summed and the result squared s times.
/// With g bits each term is off by at most 2 units in the last place, so the sum by 2g; each squaring at most doubles the error
/// and adds one unit: at the end it is below 2^s (2g + 1) ≤ 2^(s + 64) units, and g holds s + 64 bits more than are asked for.
fn exp_bounds(ratio: &Ratio, bits: u64) -> (BigUint, BigUint) {
    let whole = &ratio.numerator / &ratio.denominator;
    if whole >= BigUint::from(bits) {
        return (BigUint::ZERO, BigUint::from(1u8)); // e^-bits < 2^-bits
    }
    let halvings = whole.bits() + 1;
    let guard = halvings + 64;
    let fine = bits + guard;
    let one = BigUint::from(1u8) << fine;
    let exponent = ((&ratio.numerator << fine) / &ratio.denominator) >> halvings;
    let (mut plus, mut minus) = (one.clone(), BigUint::ZERO);
    let mut term = one;
    for n in 1u64.. {
        term = ((term * &exponent) >> fine) / n;
        if term == BigUint::ZERO {
            break;
        }
        *(if n % 2 == 0 { &mut plus } else { &mut minus }) += &term;
    }
    let mut power = plus - minus;
    for _ in 0..halvings {
        power = (&power * &power) >> fine;
    }
    let middle = power >> guard;
    let lower = if middle == BigUint::ZERO { BigUint::ZERO } else { &middle - 1u8 };
    (lower, middle + 2u8)
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;
    use proptest::prelude::*;

    use super::*;

    fn to_f64(value: &BigUint, bits: u64) -> f64 {
        let drop = value.bits().saturating_sub(60);
        let digits = (value >> drop).iter_u64_digits().next().unwrap_or(0);
        digits as f64 * 2f64.powi(drop as i32 - bits as i32)
    }

    /// The quick value lies where the exact bounds say, give or take its own slack.
    fn agrees(shape: &impl Shape, slack: f64, value: i64) {
        let quick = shape.relative(value);
        for bits in [64, 200, 1100] {
            let (lower, upper) = shape.bounds(value, bits);
            assert!(lower <= upper && &upper - &lower <= BigUint::from(3u8));
            let allowed = quick * slack + 3.0 * 2f64.powi(-(bits as i32).min(1000)) + 2f64.powi(-500);
            assert!((to_f64(&lower, bits) - quick).abs() <= allowed, "{value} at {bits} bits");
        }
        let (coarse, fine) = (shape.bounds(value, 90), shape.bounds(value, 400));
        assert!((&fine.1 >> 310u32) >= coarse.0 && (&fine.0 >> 310u32) <= coarse.1, "more bits narrow the interval");
    }

    #[test]
    fn the_exponential_is_right_to_its_last_bits() {
        for step in 0..60_000 {
            let x = f64::from(step) * 0.01 + 1e-7;
            let (mantissa, exponent) = dyadic(x);
            let (lower, _) = exp_bounds(&Ratio::new(mantissa.into(), 1u8.into(), exponent), 1200);
            let exact = to_f64(&lower, 1200);
            assert!((exp_of_minus(x) / exact - 1.0).abs() < 2f64.powi(-49), "exp(-{x})");
        }
        assert_eq!((exp_of_minus(0.0), exp_of_minus(701.0)), (1.0, 0.0));
    }

    #[test]
    fn every_f64_is_its_mantissa_times_a_power_of_two() {
        for value in [1.0, 3.0, 0.1, 1e300, f64::MIN_POSITIVE, 5e-324, 2f64.powi(60), std::f64::consts::PI] {
            let (mantissa, exponent) = dyadic(value);
            assert_eq!(mantissa % 2, 1);
            assert_eq!(
                mantissa as f64 * 2f64.powi(exponent as i32 / 2) * 2f64.powi(exponent as i32 - exponent as i32 / 2),
                value
            );
        }
    }

    proptest! {
        #[test]
        fn quick_and_exact_agree(log in -9.0f64..51.0, units in -9.0f64..9.0) {
            let sigma = log.exp2();
            agrees(&Gaussian::new(sigma), Gaussian::SLACK, (units * sigma) as i64);
            agrees(&Laplace::new(sigma), Laplace::SLACK, (units * 4.0 * sigma) as i64);
        }

        #[test]
        fn quick_and_exact_agree_for_poisson(log in -6.0f64..14.0, units in -8.0f64..10.0) {
            let mean = log.exp2();
            let shape = Poisson::new(mean);
            agrees(&shape, Poisson::SLACK, (mean + units * (mean.sqrt() + 1.0)) as i64);
        }
    }
}
