//! Local privacy: one update, clipped and noised where it was made, before anybody else sees it.

use crate::error::{Code, Error, Result};
use crate::privacy::accounting::event::{Mechanism, Relation, Sampling, Unit};
use crate::privacy::accounting::{Effort, Event, sigma_for};
use crate::privacy::clip::{Bound, broken_bound, power_of_two_below};
use crate::privacy::noise::{DiscreteGaussian, Drbg};
use crate::tensor::DType;
use crate::tensor::cast::{self, BLOCK};
use crate::update::Measure;

/// Steps of the grid in one σ, at least; below twice as many. So fine that truncation shows in nothing, and as wide as the sampler goes with
/// one random word for each sample.
const STEPS: f64 = (1u64 << 20) as f64;

/// Clips to an L2 norm and adds exact discrete Gaussian noise, on a grid of σ / 2^21 to σ / 2^20.
///
/// Two updates that clipping has been at are at most 2 · clip apart, so one privatised update tells them apart like the Gaussian
/// mechanism with the noise multiplier σ / (2 · clip) under the relation replace-one, σ / clip under zero-out. The results are in the updates'
/// own element types; that rounding happens afterwards and costs no privacy.
pub struct Privatizer {
    bound: Bound,
    noise: DiscreteGaussian,
}

/// One tensor of an update: little-endian elements in any order.
#[derive(Clone, Copy)]
pub struct Plain<'a> {
    pub name: &'a str,
    pub dtype: DType,
    pub bytes: &'a [u8],
}

/// The same tensors with noise, and what may stay with the one who made it: the norm is not private.
pub struct Privatized {
    pub tensors: Vec<Vec<u8>>,
    pub norm: f64,
    pub clipped: bool,
}

impl Privatizer {
    /// `clip` is the L2 bound over all elements together, `sigma` the standard deviation of the noise on each, in the same unit.
    /// [`Code::Argument`] unless both are positive and σ is at least clip · 2^-26.
    pub fn new(clip: f64, sigma: f64) -> Result<Self> {
        if !(sigma > 0.0 && sigma < (1u128 << 100) as f64 && sigma > 1.0 / (1u128 << 100) as f64) {
            return Err(Error::new(Code::Argument, "the noise needs a standard deviation from 2^-100 to 2^100")
                .with("argument", "sigma")
                .with("got", sigma));
        }
        let step = power_of_two_below(sigma) / STEPS;
        Ok(Self { bound: Bound::new(clip, step)?, noise: DiscreteGaussian::new(sigma / step)? })
    }

    /// With the least noise that keeps one privatised update within (ε, δ) under a relation, by the exact formula of the Gaussian mechanism.
    ///
    /// [`Code::PrivacyParameter`] for an ε or δ that makes no sense.
    pub fn calibrated(clip: f64, epsilon: f64, delta: f64, relation: Relation) -> Result<Self> {
        let event = Event {
            mechanism: Mechanism::DiscreteGaussian { grid_sigma: Some(STEPS) },
            noise_multiplier: 1.0,
            sampling: Sampling::None,
            relation,
            count: 1,
            unit: Unit::Node,
        };
        let noise_multiplier = sigma_for(&[event], &[true], epsilon, delta, Effort::Tight)?.noise_multiplier;
        Self::new(clip, (noise_multiplier * clip).next_up())
    }

    /// The standard deviation of the noise.
    pub fn sigma(&self) -> f64 {
        self.noise.sigma() * self.bound.step()
    }

    /// Nothing comes back unless every element is finite: [`Code::ValueNotFinite`] names the tensor. A tensor that is not of floats is
    /// [`Code::TensorNotNoised`].
    pub fn privatize(&self, tensors: &[Plain<'_>]) -> Result<Privatized> {
        let mut measure = Measure::default();
        for tensor in tensors {
            each_block(tensor, |values| measure.add(values)).map_err(|error| error.with("tensor", tensor.name))?;
        }
        let facts = measure.facts();
        let scale = self.bound.scale(&facts, 1.0)?;
        let mut drbg = Drbg::new();
        let mut squares = 0u128;
        let (mut steps, mut noise) = ([0; BLOCK], [0; BLOCK]);
        let mut noised = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            let mut out = Vec::with_capacity(tensor.bytes.len());
            each_block(tensor, |values| {
                let (steps, noise) = (&mut steps[..values.len()], &mut noise[..values.len()]);
                squares = squares.saturating_add(scale.to_steps(values, steps));
                self.noise.fill(&mut drbg, noise);
                for ((value, &steps), &noise) in values.iter_mut().zip(&*steps).zip(&*noise) {
                    *value = (steps + noise) as f64 * self.bound.step();
                }
                cast::encode_finite(tensor.dtype, values, &mut out);
                Ok(())
            })?;
            noised.push(out);
        }
        if !self.bound.holds(squares) {
            return Err(broken_bound());
        }
        Ok(Privatized { tensors: noised, norm: facts.norm, clipped: scale.clipped })
    }
}

fn each_block(tensor: &Plain<'_>, mut take: impl FnMut(&mut [f64]) -> Result<()>) -> Result<()> {
    refuse_unless_noised(tensor.name, tensor.dtype)?;
    let size = tensor.dtype.size();
    if !tensor.bytes.len().is_multiple_of(size) {
        return Err(Error::new(Code::NpySizeMismatch, "the bytes are no whole number of elements")
            .with("tensor", tensor.name)
            .with("bytes", tensor.bytes.len()));
    }
    let mut values = [0.0; BLOCK];
    for bytes in tensor.bytes.chunks(BLOCK * size) {
        let values = &mut values[..bytes.len() / size];
        cast::decode(tensor.dtype, bytes, values);
        take(values)?;
    }
    Ok(())
}

/// Integers and booleans have no noise that leaves them what they are: counters, indices, masks.
pub fn refuse_unless_noised(tensor: &str, dtype: DType) -> Result<()> {
    if dtype.is_float() {
        return Ok(());
    }
    Err(Error::new(Code::TensorNotNoised, "only tensors of floats can be noised; leave it out, or make it floats")
        .with("tensor", tensor)
        .with("dtype", dtype.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::noise::fit::{count, misfit, probabilities};

    fn bytes(dtype: DType, values: &[f64]) -> Vec<u8> {
        let mut out = Vec::new();
        cast::encode(dtype, values, &mut out);
        out
    }

    fn values(dtype: DType, bytes: &[u8]) -> Vec<f64> {
        bytes
            .chunks(BLOCK * dtype.size())
            .flat_map(|block| {
                let mut out = vec![0.0; block.len() / dtype.size()];
                cast::decode(dtype, block, &mut out);
                out
            })
            .collect()
    }

    fn one(dtype: DType, bytes: &[u8]) -> [Plain<'_>; 1] {
        [Plain { name: "w", dtype, bytes }]
    }

    #[test]
    fn every_float_type_keeps_its_size_and_finite_values() {
        for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
            let update = bytes(dtype, &[0.25; 3000]);
            for sigma in [0.5, 1e5, 1e29] {
                let done = Privatizer::new(1.0, sigma).unwrap().privatize(&one(dtype, &update)).unwrap();
                assert_eq!(done.tensors[0].len(), update.len());
                assert!(done.clipped && values(dtype, &done.tensors[0]).iter().all(|value| value.is_finite()));
            }
        }
    }

    #[test]
    fn the_noise_is_gaussian_around_the_clipped_update() {
        // 2^16 equal elements of norm 256 are clipped to norm 64: 1/4 each.
        let update = bytes(DType::F64, &[1.0; 1 << 16]);
        let done = Privatizer::new(64.0, 3.0).unwrap().privatize(&one(DType::F64, &update)).unwrap();
        assert_eq!(done.norm, 256.0);
        let noise: Vec<f64> = values(DType::F64, &done.tensors[0]).iter().map(|value| value - 0.25).collect();
        let mean = noise.iter().sum::<f64>() / noise.len() as f64;
        assert!(mean.abs() < 6.0 * 3.0 / 256.0, "{mean}");
        let cells: Vec<i64> = noise.iter().map(|value| (value * 100.0).floor() as i64).collect();
        let expected = probabilities(|cell| (-((cell as f64 + 0.5) / 300.0).powi(2) / 2.0).exp(), 0, 60, 61);
        // Not repeatable, on purpose: the production path draws its own key. 8 deviations happen by chance once in 10^15 runs.
        assert!(misfit(&count(&cells, 0, 60, 61), &expected) < 8.0);
    }

    #[test]
    fn calibrated_noise_is_that_of_the_analytic_gaussian() {
        // Balle & Wang 2018, arXiv 1805.06530: σ = 3.730632 for ε = 1, δ = 1e-5 and sensitivity 1.
        let zero_out = Privatizer::calibrated(0.5, 1.0, 1e-5, Relation::ZeroOut).unwrap();
        let replace = Privatizer::calibrated(0.5, 1.0, 1e-5, Relation::ReplaceOne).unwrap();
        assert!((zero_out.sigma() / 0.5 - 3.730632).abs() < 1e-5, "{}", zero_out.sigma());
        assert!((replace.sigma() - 3.730632).abs() < 1e-5, "the sensitivity is twice the clip: {}", replace.sigma());
        for (epsilon, delta) in [(0.0, 1e-5), (1.0, 0.0), (1.0, 1.0), (f64::NAN, 1e-5), (1.0, f64::NAN), (-1.0, 1e-5)] {
            assert!(Privatizer::calibrated(1.0, epsilon, delta, Relation::ZeroOut).is_err(), "{epsilon} {delta}");
        }
    }

    #[test]
    fn results_lie_on_the_grid() {
        let update = bytes(DType::F64, &[0.1; 100]);
        let privatizer = Privatizer::new(1.0, 0.3).unwrap();
        let done = privatizer.privatize(&one(DType::F64, &update)).unwrap();
        let steps = values(DType::F64, &done.tensors[0]);
        assert!(steps.iter().all(|value| (value / privatizer.bound.step()).fract() == 0.0));
    }

    #[test]
    fn zero_empty_and_denormal_updates_are_legal() {
        let privatizer = Privatizer::new(1.0, 1.0).unwrap();
        for update in [vec![0.0; 10], vec![], vec![5e-324; 10], vec![-0.0]] {
            let done = privatizer.privatize(&one(DType::F64, &bytes(DType::F64, &update))).unwrap();
            assert!(!done.clipped);
            assert_eq!(done.tensors[0].len(), update.len() * 8);
        }
    }

    #[test]
    fn what_cannot_be_noised_is_refused_by_name() {
        let privatizer = Privatizer::new(1.0, 1.0).unwrap();
        let refused = |dtype, bytes: &[u8]| privatizer.privatize(&one(dtype, bytes)).err().expect("refused");
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = refused(DType::F32, &bytes(DType::F32, &[1.0, bad]));
            assert_eq!((error.code, error.fact("tensor")), (Code::ValueNotFinite, Some("w")));
        }
        for dtype in DType::ALL.into_iter().filter(|dtype| !dtype.is_float()) {
            let error = refused(dtype, &bytes(dtype, &[1.0]));
            assert_eq!((error.code, error.fact("tensor")), (Code::TensorNotNoised, Some("w")));
        }
        assert_eq!(refused(DType::F32, &[0; 7]).code, Code::NpySizeMismatch);
        for (clip, sigma) in
            [(0.0, 1.0), (1.0, 0.0), (f64::NAN, 1.0), (1.0, f64::NAN), (1.0, -1.0), (1.0, f64::INFINITY), (1e9, 1e-9)]
        {
            assert_eq!(Privatizer::new(clip, sigma).err().expect("refused").code, Code::Argument);
        }
    }
}
