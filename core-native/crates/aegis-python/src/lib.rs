//! The Python binding of aegis-core: it converts arguments, lets other Python threads run and converts results. It computes nothing.
//!
//! What people import is `aegis_fl`; the names here are its private business. Arrays come and go as bytes: the stable interface of Python
//! 3.10 has no buffers.

mod accounting;
mod bridge;
mod privatize;
mod secagg;

use pyo3::prelude::*;

#[pymodule]
mod aegis_native {
    #[pymodule_export]
    use crate::accounting::{privacy_epsilon, privacy_rounds, privacy_sigma};
    #[pymodule_export]
    use crate::bridge::CoreError;
    #[pymodule_export]
    use crate::privatize::Privatizer;
    #[pymodule_export]
    use crate::secagg::{
        MaskRemoval, MaskedSum, SecaggClient, SecaggGrid, SigningKey, secagg_plan_digest, secagg_terms_digest,
    };
}
