//! Flower's integers: what `secaggplus_mod` makes of parameters, and what its workflow reads out of the sum.

/// The plan of a compatible round, by Flower's own names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setup {
    pub clipping_range: f64,
    pub target_range: u64,
    pub mod_range: u64,
    pub max_weight: f64,
}

impl Setup {
    /// The weight of a node as it stands in front of its vector: num-examples over max-weight in steps, half to even as Python rounds.
    pub fn weight(&self, num_examples: u64) -> i64 {
        (num_examples as f64 / self.max_weight * self.target_range as f64).round_ties_even() as i64
    }

    /// One parameter, already weighted, on the grid: up, or down with the probability of what is missing. `chance` is uniform in [0, 1).
    pub fn quantise(&self, value: f64, chance: f64) -> i64 {
        let clipped = value.clamp(-self.clipping_range, self.clipping_range) + self.clipping_range;
        let scaled = clipped * (self.target_range as f64 / (2.0 * self.clipping_range));
        let up = scaled.ceil();
        up as i64 - i64::from(chance < up - scaled)
    }

    /// A sum of masked integers with the masks taken away, modulo mod-range (a power of two).
    pub fn reduce(&self, sum: i64) -> i64 {
        sum & (self.mod_range as i64).wrapping_sub(1)
    }

    /// The weighted mean that a reduced sum means: the operations of Flower's server in its order, so that the bits are its bits.
    pub fn dequantise(&self, sum: i64, delivered: u64, weight_sum: i64) -> f64 {
        let step = 2.0 * self.clipping_range / self.target_range as f64;
        let offset = -(delivered.saturating_sub(1) as f64) * self.clipping_range;
        let ratio = self.target_range as f64 / weight_sum as f64;
        (sum as f64 * step + -self.clipping_range + offset) * ratio
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secagg::testing::flower_vectors;

    fn setup(case: &serde_json::Value) -> Setup {
        let number = |name: &str| case[name].as_f64().unwrap();
        Setup {
            clipping_range: number("clipping_range"),
            target_range: number("target_range") as u64,
            mod_range: number("mod_range") as u64,
            max_weight: number("max_weight"),
        }
    }

    #[test]
    fn integers_and_means_are_those_that_flower_computes() {
        for case in flower_vectors("quantise")["cases"].as_array().unwrap() {
            let setup = setup(case);
            let floats = |name: &str| -> Vec<f64> {
                case[name]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|bits| f64::from_bits(bits.as_str().unwrap().parse().unwrap()))
                    .collect()
            };
            let integers = |name: &str| -> Vec<i64> {
                case[name].as_array().unwrap().iter().map(|value| value.as_i64().unwrap()).collect()
            };
            let quantised: Vec<i64> = floats("values")
                .into_iter()
                .zip(floats("chances"))
                .map(|(value, chance)| setup.quantise(value, chance))
                .collect();
            assert_eq!(quantised, integers("quantised"));
            let (delivered, weight) = (case["delivered"].as_u64().unwrap(), case["weight_sum"].as_i64().unwrap());
            let means: Vec<u64> = integers("sums")
                .into_iter()
                .map(|sum| setup.dequantise(setup.reduce(sum), delivered, weight).to_bits())
                .collect();
            let expected: Vec<u64> = floats("means").into_iter().map(f64::to_bits).collect();
            assert_eq!(means, expected, "{setup:?}");
            for (examples, expected) in integers("examples").into_iter().zip(integers("weights")) {
                assert_eq!(setup.weight(examples as u64), expected);
            }
        }
    }

    #[test]
    fn a_round_of_three_gives_their_weighted_mean() {
        let setup = Setup { clipping_range: 8.0, target_range: 1 << 22, mod_range: 1 << 32, max_weight: 200.0 };
        let nodes = [(120, 1.5), (40, -2.0), (200, 0.25)];
        let weights: i64 = nodes.iter().map(|&(examples, _)| setup.weight(examples)).sum();
        let sum: i64 = nodes
            .iter()
            .map(|&(examples, value)| {
                setup.quantise(value * setup.weight(examples) as f64 / setup.target_range as f64, 0.5)
            })
            .sum();
        let expected = (120.0 * 1.5 - 40.0 * 2.0 + 200.0 * 0.25) / 360.0;
        assert!((setup.dequantise(setup.reduce(sum), 3, weights) - expected).abs() < 1e-5);
    }
}
