//! The crossings every function makes: errors out, panics into errors, work without the interpreter.

use std::panic::{AssertUnwindSafe, catch_unwind};

use aegis_core::{Code, Error, Result};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyDict;

pyo3::create_exception!(
    aegis_native,
    CoreError,
    PyException,
    "A failure of the core. `args` are its code, a sentence for a person, and a dict of named facts."
);

/// Runs `work` while other Python threads run. A panic becomes an error with the code PANIC.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    py.detach(|| catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(panicked())))
        .map_err(|error| to_python(py, error))
}

fn panicked() -> Error {
    Error::new(Code::Panic, "the core panicked; this is a bug")
}

fn to_python(py: Python<'_>, error: Error) -> PyErr {
    let facts = PyDict::new(py);
    for (name, value) in error.detail {
        if let Err(failure) = facts.set_item(name, value) {
            return failure;
        }
    }
    CoreError::new_err((error.code.as_str(), error.message, facts.unbind()))
}
