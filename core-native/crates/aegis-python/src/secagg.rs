//! Secure aggregation: a node's rounds and the two servers' arithmetic. Messages cross as their JSON, big vectors as bytes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aegis_core::privacy::noise::Drbg;
use aegis_core::secagg::client::{Client, Floors};
use aegis_core::secagg::messages::{CertifiedAdvert, Terms, from_json, to_json};
use aegis_core::secagg::plan::Plan;
use aegis_core::secagg::quantise::{self, Contribution, Rounding};
use aegis_core::secagg::roster::Roster;
use aegis_core::secagg::server::{masked_sum, removal};
use aegis_core::secagg::signing;
use aegis_core::tensor::{DType, TensorSpec};
use aegis_core::{Code, Error, Result, hash};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::bridge::detached;

/// A node's certified key, Ed25519 or P-256, out of PKCS#8 (DER).
#[pyclass(frozen)]
pub struct SigningKey(signing::SigningKey);

#[pymethods]
impl SigningKey {
    #[new]
    fn new(py: Python<'_>, der: PyBackedBytes) -> PyResult<Self> {
        detached(py, || signing::SigningKey::from_pkcs8(&der).map(Self))
    }

    #[getter]
    fn public_pem(&self) -> String {
        self.0.public_pem()
    }
}

/// Which values a round sums. Tensors as (name, dtype, shape); options as JSON.
#[pyclass(frozen)]
pub struct SecaggGrid(quantise::Grid);

#[pymethods]
impl SecaggGrid {
    #[new]
    fn new(py: Python<'_>, specs: Vec<(String, String, Vec<u64>)>, options: String) -> PyResult<Self> {
        detached(py, || {
            let spec =
                |(name, dtype, shape): (String, String, Vec<u64>)| TensorSpec::new(name, DType::parse(&dtype)?, shape);
            let specs = specs.into_iter().map(spec).collect::<Result<_>>()?;
            quantise::Grid::new(specs, from_json(&options)?).map(Self)
        })
    }

    #[getter]
    fn length(&self) -> usize {
        self.0.length()
    }

    /// The modulus of a cohort and its arithmetic, as JSON.
    fn modulus(&self, py: Python<'_>, cohort: u64, noise: u64) -> PyResult<String> {
        detached(py, || Ok(to_json(&self.0.modulus(cohort, noise)?)))
    }

    /// What the noise of so many honest nodes amounts to, as JSON.
    fn noise(&self, py: Python<'_>, honest: u64) -> PyResult<String> {
        detached(py, || Ok(to_json(&self.0.noise(honest)?)))
    }
}

/// One node in one round.
#[pyclass(frozen)]
pub struct SecaggClient(Mutex<Client>);

#[pymethods]
impl SecaggClient {
    /// Begins a round with fresh keys; the advert holds until `expires` (seconds since 1970).
    #[staticmethod]
    fn advertise(
        py: Python<'_>,
        node: u64,
        terms: String,
        floors: String,
        key: &SigningKey,
        expires: u64,
    ) -> PyResult<Self> {
        detached(py, || {
            let (terms, floors): (Terms, Floors) = (from_json(&terms)?, from_json(&floors)?);
            Ok(Self(Mutex::new(Client::advertise(node, terms, floors, &key.0, expires)?)))
        })
    }

    #[staticmethod]
    fn restore(py: Python<'_>, saved: PyBackedBytes) -> PyResult<Self> {
        detached(py, || Ok(Self(Mutex::new(Client::restore(&saved)?))))
    }

    /// The state with its secrets: to be sealed.
    fn save<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &lock(&self.0).save())
    }

    /// The round answered last, 0 to 4; None once the round has ended early.
    #[getter]
    fn stage(&self) -> Option<u8> {
        lock(&self.0).stage()
    }

    /// Why the round has ended, if it has.
    #[getter]
    fn ended(&self) -> Option<&'static str> {
        lock(&self.0).ended().map(|reason| reason.as_str())
    }

    #[getter]
    fn advert(&self) -> Option<String> {
        lock(&self.0).advert().map(to_json)
    }

    fn abort(&self) {
        lock(&self.0).abort();
    }

    fn share_keys(&self, py: Python<'_>, request: String, now: u64) -> PyResult<String> {
        detached(py, || Ok(to_json(&lock(&self.0).share_keys(from_json(&request)?, now)?)))
    }

    /// Quantises an update (little-endian elements of each tensor, in order), or its difference from `start`, and masks it.
    #[pyo3(signature = (request, grid, tensors, metrics, weight, start=None))]
    #[expect(clippy::too_many_arguments, reason = "Python names them")]
    fn mask_input<'py>(
        &self,
        py: Python<'py>,
        request: String,
        grid: &SecaggGrid,
        tensors: Vec<PyBackedBytes>,
        metrics: Vec<f64>,
        weight: u64,
        start: Option<Vec<PyBackedBytes>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let packed = detached(py, || {
            let request = from_json(&request)?;
            let tensors: Vec<&[u8]> = tensors.iter().map(|tensor| &tensor[..]).collect();
            let start: Option<Vec<&[u8]>> =
                start.as_ref().map(|start| start.iter().map(|tensor| &tensor[..]).collect());
            let input = Contribution { tensors: &tensors, start: start.as_deref(), metrics: &metrics, weight };
            let bits = lock(&self.0).terms().bits;
            let vector = grid.0.quantise(bits, &input, Rounding::Unbiased, &mut Drbg::new())?;
            Ok(lock(&self.0).mask_input(&request, vector, 1)?.pack())
        })?;
        Ok(PyBytes::new(py, &packed))
    }

    fn confirm_survivors(&self, py: Python<'_>, request: String, key: &SigningKey) -> PyResult<String> {
        detached(py, || Ok(to_json(&lock(&self.0).confirm_survivors(&from_json(&request)?, &key.0)?)))
    }

    fn unmask(&self, py: Python<'_>, request: String) -> PyResult<String> {
        detached(py, || Ok(to_json(&lock(&self.0).unmask(&from_json(&request)?)?)))
    }
}

/// What every request of a round names.
#[pyfunction]
pub fn secagg_terms_digest(py: Python<'_>, terms: String) -> PyResult<String> {
    detached(py, || Ok(hash::to_hex(&from_json::<Terms>(&terms)?.digest())))
}

/// What the terms name a plan by.
#[pyfunction]
pub fn secagg_plan_digest(py: Python<'_>, plan: String) -> PyResult<String> {
    detached(py, || Ok(hash::to_hex(&from_json::<Plan>(&plan)?.digest())))
}

/// Opened shares into one total mask.
#[pyclass(frozen)]
pub struct MaskRemoval {
    terms: Terms,
    removal: Mutex<removal::Removal>,
}

#[pymethods]
impl MaskRemoval {
    #[new]
    fn new(
        py: Python<'_>,
        terms: String,
        adverts: String,
        now: u64,
        model: String,
        survivors: Vec<u64>,
        dropped: Vec<u64>,
    ) -> PyResult<Self> {
        detached(py, || {
            let terms: Terms = from_json(&terms)?;
            let roster = Roster::new(&terms, from_json::<Vec<CertifiedAdvert>>(&adverts)?, now)?;
            let removal = removal::Removal::new(roster, hash::parse_sha256_hex(&model)?, &survivors, &dropped)?;
            Ok(Self { terms, removal: Mutex::new(removal) })
        })
    }

    fn take(&self, py: Python<'_>, opened: String) -> PyResult<()> {
        detached(py, || lock(&self.removal).take(&from_json(&opened)?))
    }

    #[getter]
    fn is_possible(&self) -> bool {
        lock(&self.removal).is_possible()
    }

    fn total_mask<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let packed = detached(py, || Ok(lock(&self.removal).total_mask(&self.terms, 1)?.pack()))?;
        Ok(PyBytes::new(py, &packed))
    }
}

/// Masked vectors, added in the memory of one; opens once.
#[pyclass(frozen)]
pub struct MaskedSum(Mutex<Option<masked_sum::MaskedSum>>);

/// Survivors, their weight, the mean of each metric, and of each tensor in its own dtype.
type Opened<'py> = (u64, u64, Vec<f64>, Vec<Bound<'py, PyBytes>>);

#[pymethods]
impl MaskedSum {
    #[new]
    fn new(py: Python<'_>, terms: String) -> PyResult<Self> {
        detached(py, || {
            let sum = masked_sum::MaskedSum::new(&from_json::<Terms>(&terms)?)?;
            Ok(Self(Mutex::new(Some(sum))))
        })
    }

    fn add(&self, py: Python<'_>, packed: PyBackedBytes) -> PyResult<()> {
        detached(py, || lock(&self.0).as_mut().ok_or_else(opened_already)?.add(&packed))
    }

    fn open<'py>(
        &self,
        py: Python<'py>,
        grid: &SecaggGrid,
        survivors: u64,
        total_mask: PyBackedBytes,
    ) -> PyResult<Opened<'py>> {
        let (survivors, weight, metrics, tensors) = detached(py, || {
            let sum = lock(&self.0).take().ok_or_else(opened_already)?;
            let opened = sum.open(&grid.0, survivors, 0, &total_mask)?;
            let metrics = (0..grid.0.metrics()).map(|index| opened.metric(&grid.0, index)).collect();
            let tensors: Vec<Vec<u8>> = (0..grid.0.tensors()).map(|index| opened.tensor(&grid.0, index)).collect();
            Ok((opened.survivors(), opened.weight(), metrics, tensors))
        })?;
        Ok((survivors, weight, metrics, tensors.iter().map(|bytes| PyBytes::new(py, bytes)).collect()))
    }
}

fn opened_already() -> Error {
    Error::new(Code::Argument, "the sum was opened, and opens once")
}

/// A poisoned machine is still in a state it chose: every transition replaces the stage whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
