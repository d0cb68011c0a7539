//! Local privacy.

use aegis_core::privacy::accounting::event::Relation;
use aegis_core::privacy::privatize::{self, Plain};
use aegis_core::tensor::DType;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::bridge::detached;

/// Clips an update to an L2 norm and adds exact discrete Gaussian noise of a standard deviation.
#[pyclass(frozen)]
pub struct Privatizer(privatize::Privatizer);

/// The noised tensors, the norm before clipping, whether it was clipped.
type Privatized<'py> = (Vec<Bound<'py, PyBytes>>, f64, bool);

#[pymethods]
impl Privatizer {
    #[new]
    fn new(py: Python<'_>, clip: f64, sigma: f64) -> PyResult<Self> {
        detached(py, || privatize::Privatizer::new(clip, sigma).map(Self))
    }

    /// With the least noise for (ε, δ) under the relation replace-one: any two updates whatever.
    #[staticmethod]
    fn calibrated(py: Python<'_>, clip: f64, epsilon: f64, delta: f64) -> PyResult<Self> {
        detached(py, || privatize::Privatizer::calibrated(clip, epsilon, delta, Relation::ReplaceOne).map(Self))
    }

    #[getter]
    fn sigma(&self) -> f64 {
        self.0.sigma()
    }

    /// Tensors as (name, dtype, little-endian elements).
    fn privatize<'py>(
        &self,
        py: Python<'py>,
        tensors: Vec<(String, String, PyBackedBytes)>,
    ) -> PyResult<Privatized<'py>> {
        let done = detached(py, || {
            let plain = tensors
                .iter()
                .map(|(name, dtype, bytes)| {
                    let dtype = DType::parse(dtype).map_err(|error| error.with("tensor", name))?;
                    Ok(Plain { name, dtype, bytes })
                })
                .collect::<aegis_core::Result<Vec<_>>>()?;
            self.0.privatize(&plain)
        })?;
        Ok((done.tensors.iter().map(|bytes| PyBytes::new(py, bytes)).collect(), done.norm, done.clipped))
    }
}
