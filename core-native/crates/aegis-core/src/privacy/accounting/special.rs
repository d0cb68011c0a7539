//! The special functions the accounting stands on, each accurate to a few units in the last place over its whole range.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

pub const LN_SQRT_2PI: f64 = 0.918_938_533_204_672_7;

/// exp(x²)·erfc(x).
///
/// erfc from libm (below one ulp) times exp(x²) with the rounding of x² carried along; from 12 on its asymptotic series.
pub fn erfcx(x: f64) -> f64 {
    if x < 12.0 {
        let square = x * x;
        let lost = x.mul_add(x, -square);
        return square.exp() * (1.0 + lost) * libm::erfc(x);
    }
    // 1/(x√π)·Σ (−1)^n (2n−1)!!/(2x²)^n; at x = 12 the tenth term is below 1e-16.
    let inverse = 0.5 / (x * x);
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..12 {
        term *= -f64::from(2 * n - 1) * inverse;
        sum += term;
        if term.abs() < 1e-17 {
            break;
        }
    }
    0.5 * FRAC_2_SQRT_PI / x * sum
}

/// Φ(x).
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

/// (1 − Φ(x))/φ(x), Mills' ratio.
pub fn mills(x: f64) -> f64 {
    (0.5 * PI).sqrt() * erfcx(x * FRAC_1_SQRT_2)
}

/// ln(e^x − 1) for x > 0.
pub fn ln_expm1(x: f64) -> f64 {
    if x < 40.0 { x.exp_m1().ln() } else { x }
}

/// ln(1 + e^x).
pub fn ln_1p_exp(x: f64) -> f64 {
    if x > 40.0 { x } else { x.exp().ln_1p() }
}

/// ln(1 − q + q·e^x) for 0 < q ≤ 1.
pub fn ln_mixture(rate: f64, x: f64) -> f64 {
    if rate == 1.0 {
        x
    } else if x > 300.0 {
        x + rate.ln() + ((1.0 - rate) / rate * (-x).exp()).ln_1p()
    } else {
        (rate * x.exp_m1()).ln_1p()
    }
}

/// A sum of numbers given by their logarithms; the largest is the scale, so nothing overflows.
#[derive(Clone, Copy)]
pub struct LogSum {
    max: f64,
    sum: f64,
}

impl LogSum {
    pub const EMPTY: LogSum = LogSum { max: f64::NEG_INFINITY, sum: 0.0 };

    pub fn add(&mut self, ln: f64) {
        if ln <= self.max {
            self.sum += (ln - self.max).exp();
        } else if ln > f64::NEG_INFINITY {
            self.sum = self.sum * (self.max - ln).exp() + 1.0;
            self.max = ln;
        } else if ln.is_nan() {
            (self.max, self.sum) = (f64::NAN, f64::NAN);
        }
    }

    pub fn ln(self) -> f64 {
        self.max + self.sum.ln()
    }
}

/// ln of the binomial probability C(n,k) q^k (1−q)^(n−k), by saddle point (Loader 2000), which keeps its relative accuracy where
/// differences of lgamma lose it.
pub fn ln_binomial_pmf(k: f64, n: f64, q: f64) -> f64 {
    if k == 0.0 {
        return n * (-q).ln_1p();
    }
    if k == n {
        return n * q.ln();
    }
    stirling_error(n) - stirling_error(k) - stirling_error(n - k) - deviance(k, n * q) - deviance(n - k, n * (1.0 - q))
        + 0.5 * (n / (k * (n - k))).ln()
        - LN_SQRT_2PI
}

/// ln n! − ln(√(2πn) (n/e)^n).
fn stirling_error(n: f64) -> f64 {
    if n < 16.0 {
        return libm::lgamma(n + 1.0) - ((n + 0.5) * n.ln() - n + LN_SQRT_2PI);
    }
    let square = n * n;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
        / n
}

/// x·ln(x/m) + m − x.
fn deviance(x: f64, m: f64) -> f64 {
    let difference = x - m;
    if difference.abs() >= 0.1 * (x + m) {
        return x * (x / m).ln() - difference;
    }
    let v = difference / (x + m);
    let (mut sum, mut power) = (difference * v, 2.0 * x * v);
    let square = v * v;
    for j in 1..60 {
        power *= square;
        let next = sum + power / f64::from(2 * j + 1);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, wanted: f64, relative: f64) {
        assert!((got / wanted - 1.0).abs() < relative, "{got} is not {wanted}");
    }

    // computed with mpmath at 40 digits
    #[test]
    fn erfcx_is_accurate_on_both_sides_of_its_seams() {
        for (x, wanted) in [
            (-3.0, 16_205.988_853_999_587),
            (0.5, 0.615_690_344_192_925_9),
            (5.0, 0.110_704_637_733_068_63),
            (11.9, 0.047_245_232_484_087_67),
            (12.1, 0.046_469_607_339_835_01),
            (100.0, 0.005_641_613_782_989_433),
        ] {
            close(erfcx(x), wanted, 2e-15);
        }
    }

    #[test]
    fn binomial_probabilities_keep_their_relative_accuracy() {
        // C(1024,2)·q²·(1−q)^1022 and the others, mpmath
        close(ln_binomial_pmf(2.0, 1024.0, 1e-7), -19.067_474_110_930_615, 1e-14);
        close(ln_binomial_pmf(500.0, 1024.0, 0.5), -3.972_772_596_140_828_3, 1e-12);
        close(ln_binomial_pmf(7.0, 7.0, 0.25), 7.0 * 0.25f64.ln(), 1e-15);
        close(ln_binomial_pmf(0.0, 7.0, 0.25), 7.0 * 0.75f64.ln(), 1e-15);
    }

    #[test]
    fn a_log_sum_neither_overflows_nor_hides_a_nan() {
        let mut sum = LogSum::EMPTY;
        [1e6, 0.0, 1e6].into_iter().for_each(|ln| sum.add(ln));
        close(sum.ln(), 1e6 + 2f64.ln(), 1e-15);
        sum.add(f64::NAN);
        assert!(sum.ln().is_nan());
    }
}
