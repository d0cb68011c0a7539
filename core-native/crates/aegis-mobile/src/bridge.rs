//! The crossing every function makes: errors out, panics into errors.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use aegis_core::{Code, Error, Result};

/// A failure of the core. Callers branch on `code` (the list in aegis-core's error.rs); `detail` names facts, such as the tensor.
#[derive(Debug, uniffi::Error)]
pub enum CoreException {
    Failed { code: String, sentence: String, detail: HashMap<String, String> },
}

impl std::fmt::Display for CoreException {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Failed { code, sentence, .. } = self;
        write!(formatter, "{code}: {sentence}")
    }
}

impl From<Error> for CoreException {
    fn from(error: Error) -> Self {
        Self::Failed {
            code: error.code.as_str().to_string(),
            sentence: error.message.to_string(),
            detail: error.detail.into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
        }
    }
}

/// Runs `work`. A panic becomes an error with the code PANIC, so that no defect of ours ends the app.
pub fn guarded<T>(work: impl FnOnce() -> Result<T>) -> std::result::Result<T, CoreException> {
    let panicked = |_| Err(Error::new(Code::Panic, "the core panicked; this is a bug"));
    Ok(catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(panicked)?)
}
