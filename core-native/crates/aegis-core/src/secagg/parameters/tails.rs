//! Tails of the hypergeometric distribution, in logarithms: probabilities here go down to 2^-1000 and below.
//!
//! Drawing k of N things without putting back, of which K are marked: P[X = x] = C(K,x)·C(N−K,k−x)/C(N,k). Everything is a sum of
//! positive terms, so that nothing cancels; the result is raised by a few units in the last place, never lowered.

/// Logarithms of factorials up to a limit.
pub struct LogFactorials(Vec<f64>);

impl LogFactorials {
    pub fn up_to(limit: u64) -> Self {
        let mut sum = 0.0;
        let logs = (1..=limit).map(|i| {
            sum += (i as f64).ln();
            sum
        });
        Self([0.0].into_iter().chain(logs).collect())
    }

    /// ln C(n, k); minus infinity where there is no such choice.
    fn choose(&self, n: u64, k: u64) -> f64 {
        if k > n {
            return f64::NEG_INFINITY;
        }
        self.0[n as usize] - self.0[k as usize] - self.0[(n - k) as usize]
    }

    /// log2 P[X ≥ least].
    pub fn at_least(&self, urn: Urn, least: u64) -> f64 {
        self.between(urn, least, urn.drawn.min(urn.marked))
    }

    /// log2 P[X < bound].
    pub fn below(&self, urn: Urn, bound: u64) -> f64 {
        match bound.checked_sub(1) {
            Some(most) => self.between(urn, 0, most.min(urn.drawn.min(urn.marked))),
            None => f64::NEG_INFINITY,
        }
    }

    fn between(&self, urn: Urn, least: u64, most: u64) -> f64 {
        let Urn { things, marked, drawn } = urn;
        let least = least.max((drawn + marked).saturating_sub(things));
        if least > most {
            return f64::NEG_INFINITY;
        }
        let all = self.choose(things, drawn);
        let term = |x| self.choose(marked, x) + self.choose(things - marked, drawn - x) - all;
        let largest = (least..=most).map(term).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = (least..=most).map(|x| (term(x) - largest).exp()).sum();
        // rounding of the table grows with its length; a relative 2^-30 covers a million terms by far
        ((largest + sum.ln()) / std::f64::consts::LN_2 + 1e-9).min(0.0)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Urn {
    pub things: u64,
    pub marked: u64,
    pub drawn: u64,
}

/// log2 of 2^a + 2^b + …
pub fn sum_of(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + logs.iter().map(|log| (log - largest).exp2()).sum::<f64>().log2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secagg::testing::vectors;

    #[test]
    fn tails_are_those_of_exact_rationals() {
        for case in vectors("tails")["cases"].as_array().unwrap() {
            let number = |name: &str| case[name].as_u64().unwrap();
            let urn = Urn { things: number("things"), marked: number("marked"), drawn: number("drawn") };
            let table = LogFactorials::up_to(urn.things);
            let close = |got: f64, name: &str| match case[name].as_f64() {
                Some(expected) => {
                    assert!((got - expected).abs() < 1e-7 * (1.0 + expected.abs()), "{urn:?} {got} {case}")
                }
                None => assert_eq!(got, f64::NEG_INFINITY, "{urn:?} {case}"),
            };
            close(table.at_least(urn, number("bound")), "log2_at_least");
            close(table.below(urn, number("bound")), "log2_below");
        }
    }

    #[test]
    fn sums_of_logarithms() {
        assert_eq!(sum_of(&[-1.0, -1.0]), 0.0);
        assert_eq!(sum_of(&[-2000.0, -2000.0]), -1999.0);
        assert_eq!(sum_of(&[f64::NEG_INFINITY, -3.0]), -3.0);
        assert_eq!(sum_of(&[]), f64::NEG_INFINITY);
    }
}
