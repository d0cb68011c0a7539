//! Which values a round sums, and on which grid.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};
use crate::secagg::parameters::modulus::Modulus;
use crate::tensor::{DType, TensorSpec};

/// A tensor and the range its elements are clipped to: ±clip.
#[derive(Clone, Debug)]
pub struct TensorRange {
    pub spec: TensorSpec,
    pub clip: f64,
}

/// A metric and the range its values are clipped to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricRange {
    pub name: String,
    pub low: f64,
    pub high: f64,
}

impl MetricRange {
    /// −1 at `low`, 1 at `high`.
    pub(super) fn unit_of(&self, value: f64) -> f64 {
        (2.0 * value.clamp(self.low, self.high) - self.low - self.high) / (self.high - self.low)
    }

    pub(super) fn value_of(&self, unit: f64) -> f64 {
        (unit * (self.high - self.low) + self.low + self.high) / 2.0
    }
}

/// What a plan says about the grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GridOptions {
    /// Of floating-point tensors without a range of their own.
    pub clip: f64,
    /// By tensor name. An integer tensor (a counter of batches, say) must have one, or clipping would ruin it without a word; booleans
    /// range over ±1 by themselves.
    #[serde(default)]
    pub own_clips: BTreeMap<String, f64>,
    #[serde(default)]
    pub metrics: Vec<MetricRange>,
    /// 2 … 32.
    pub value_bits: u32,
    /// 1 … 2^32.
    pub weight_max: u64,
    /// Of the whole update, in L2.
    #[serde(default)]
    pub norm_clip: Option<f64>,
    /// σ of the discrete Gaussian that every node adds to each element of its tensors, in steps of the grid.
    #[serde(default)]
    pub noise_sigma: Option<f64>,
}

impl GridOptions {
    /// One range for everything, weights of 1, no metrics.
    pub fn uniform(clip: f64, value_bits: u32) -> Self {
        let (own_clips, metrics) = (BTreeMap::new(), Vec::new());
        Self { clip, own_clips, metrics, value_bits, weight_max: 1, norm_clip: None, noise_sigma: None }
    }
}

#[derive(Clone, Debug)]
pub struct Grid {
    pub(super) tensors: Vec<TensorRange>,
    pub(super) metrics: Vec<MetricRange>,
    pub(super) value_bits: u32,
    pub(super) weight_max: u64,
    pub(super) norm_clip: Option<f64>,
    /// σ of each node's share.
    pub(super) noise: Option<f64>,
}

impl Grid {
    /// [`Code::SecaggParameters`] for ranges, bits and weights that make no sense, for an integer tensor without a range, and for noise where it
    /// would promise nothing (see [`super::noise`]).
    pub fn new(specs: Vec<TensorSpec>, options: GridOptions) -> Result<Self> {
        let GridOptions { clip, own_clips, metrics, value_bits, weight_max, norm_clip, noise_sigma } = options;
        let refuse = |why: &str| Error::new(Code::SecaggParameters, why);
        let mut tensors = Vec::with_capacity(specs.len());
        for spec in specs {
            let own = own_clips.get(spec.name()).copied();
            let range = match spec.dtype() {
                DType::Bool => own.or(Some(1.0)),
                dtype if dtype.is_float() => own.or(Some(clip)),
                _ => own,
            };
            let Some(clip) = range.filter(|clip| clip.is_finite() && *clip > 0.0) else {
                return Err(
                    refuse("a tensor needs a range above 0; one of integers needs its own").with("tensor", spec.name())
                );
            };
            tensors.push(TensorRange { spec, clip });
        }
        if let Some(name) = own_clips.keys().find(|name| !tensors.iter().any(|range| range.spec.name() == **name)) {
            return Err(refuse("a range is given for a tensor that the model does not have").with("tensor", name));
        }
        for MetricRange { name, low, high } in &metrics {
            if !(low.is_finite() && high.is_finite() && low < high) {
                return Err(refuse("a metric needs a range from low to high").with("metric", name));
            }
        }
        if !(2..=32).contains(&value_bits) {
            return Err(refuse("a value has 2 to 32 bits").with("value-bits", value_bits));
        }
        if !(1..=1 << 32).contains(&weight_max) {
            return Err(refuse("weight-max is from 1 to 2^32").with("weight-max", weight_max));
        }
        if norm_clip.is_some_and(|clip| !(clip.is_finite() && clip > 0.0)) {
            return Err(refuse("an L2 clip is above 0"));
        }
        Self { tensors, metrics, value_bits, weight_max, norm_clip, noise: None }.with_noise(noise_sigma)
    }

    /// Greatest magnitude of a value of weight 1.
    pub fn half_range(&self) -> u64 {
        (1 << (self.value_bits - 1)) - 1
    }

    pub fn weight_max(&self) -> u64 {
        self.weight_max
    }

    /// How many tensors a vector holds.
    pub fn tensors(&self) -> usize {
        self.tensors.len()
    }

    /// How many metrics.
    pub fn metrics(&self) -> usize {
        self.metrics.len()
    }

    /// Elements of a vector.
    pub fn length(&self) -> usize {
        let elements: u64 = self.tensors.iter().map(|range| range.spec.elements()).sum();
        super::PREAMBLE + self.metrics.len() + elements as usize
    }

    /// The modulus that a cohort's sums fit into, with the noise of all its nodes and `noise` more.
    pub fn modulus(&self, cohort: u64, noise: u64) -> Result<Modulus> {
        let noise = noise.saturating_add(self.noise_tail(cohort)?);
        Modulus::choose(cohort, self.weight_max, self.half_range(), noise)
    }

    /// A number of examples as a weight: `max_examples` of them weigh weight-max, fewer in proportion, rounded half to even and at least
    /// 1. [`Code::WeightInvalid`] beyond `max_examples`: a weight that does not fit is never cut off silently.
    pub fn weight_of(&self, examples: u64, max_examples: u64) -> Result<u64> {
        if examples == 0 || examples > max_examples {
            return Err(Error::new(Code::WeightInvalid, "a number of examples is from 1 to its plan's maximum")
                .with("examples", examples)
                .with("maximum", max_examples));
        }
        let weight = (examples as f64 / max_examples as f64 * self.weight_max as f64).round_ties_even() as u64;
        Ok(weight.clamp(1, self.weight_max))
    }
}
