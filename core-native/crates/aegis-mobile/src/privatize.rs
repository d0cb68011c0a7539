//! Local privacy.

use std::sync::Arc;

use aegis_core::privacy::accounting::event::Relation;
use aegis_core::privacy::privatize::{Plain, Privatizer};
use aegis_core::tensor::DType;

use crate::bridge::{CoreException, guarded};

/// One array of an update. `dtype` is numpy's: `<f4`, `<f8`, `<f2`, or `bfloat16`.
#[derive(uniffi::Record)]
pub struct NamedTensor {
    pub name: String,
    pub dtype: String,
    pub elements: Vec<u8>,
}

/// `norm` and `clipped` are not private: they stay on this side.
#[derive(uniffi::Record)]
pub struct PrivatizedUpdate {
    pub weights: Vec<NamedTensor>,
    pub norm: f64,
    pub clipped: bool,
}

/// The privacy of one data owner's updates; the same class as `aegis_fl.FlClientCore` of Python.
///
/// `data_path` is kept for the caller and never opened here. Any two updates are at most 2 · `dp_threshold` apart after clipping: one
/// privatised update has the noise multiplier `dp_sigma / (2 * dp_threshold)` under replace-one.
#[derive(uniffi::Object)]
pub struct FlClientCore {
    data_path: String,
    dp_threshold: f64,
    privatizer: Privatizer,
}

#[uniffi::export]
impl FlClientCore {
    /// `dp_sigma`: standard deviation of the noise on every weight; `dp_threshold`: L2 norm to which a longer update is shortened.
    #[uniffi::constructor]
    pub fn new(data_path: String, dp_sigma: f64, dp_threshold: f64) -> Result<Arc<Self>, CoreException> {
        guarded(|| {
            let privatizer = Privatizer::new(dp_threshold, dp_sigma)?;
            Ok(Arc::new(Self { data_path, dp_threshold, privatizer }))
        })
    }

    /// The least noise with which one privatised update is (ε, δ)-private, whatever the data are.
    #[uniffi::constructor]
    pub fn of_budget(
        data_path: String,
        dp_threshold: f64,
        dp_epsilon: f64,
        dp_delta: f64,
    ) -> Result<Arc<Self>, CoreException> {
        guarded(|| {
            let privatizer = Privatizer::calibrated(dp_threshold, dp_epsilon, dp_delta, Relation::ReplaceOne)?;
            Ok(Arc::new(Self { data_path, dp_threshold, privatizer }))
        })
    }

    pub fn data_path(&self) -> String {
        self.data_path.clone()
    }

    pub fn dp_sigma(&self) -> f64 {
        self.privatizer.sigma()
    }

    pub fn dp_threshold(&self) -> f64 {
        self.dp_threshold
    }

    /// Clips all weights together and noises each. Nothing comes back unless everything can be protected: VALUE_NOT_FINITE and
    /// TENSOR_NOT_NOISED name the tensor.
    pub fn privatize_update(&self, weights: Vec<NamedTensor>) -> Result<PrivatizedUpdate, CoreException> {
        guarded(|| {
            let plain = weights
                .iter()
                .map(|NamedTensor { name, dtype, elements }| {
                    let dtype = DType::parse(dtype).map_err(|error| error.with("tensor", name))?;
                    Ok(Plain { name, dtype, bytes: elements })
                })
                .collect::<aegis_core::Result<Vec<_>>>()?;
            let done = self.privatizer.privatize(&plain)?;
            let named = weights.iter().zip(done.tensors).map(|(weight, elements)| NamedTensor {
                name: weight.name.clone(),
                dtype: weight.dtype.clone(),
                elements,
            });
            Ok(PrivatizedUpdate { weights: named.collect(), norm: done.norm, clipped: done.clipped })
        })
    }
}
