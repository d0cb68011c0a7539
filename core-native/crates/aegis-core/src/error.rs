//! The one error type of the core. A caller branches on [`Code`], never on text.

use std::fmt;
use std::io;
use std::path::Path;

pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, as a closed list. The strings are a contract with every binding: append, never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    NpyMalformed,
    NpyObjectDtype,
    NpyUnsupportedDtype,
    NpySizeMismatch,
    TensorTooLarge,
    NpzMalformed,
    SafetensorsMalformed,
    TensorMissing,
    TensorUnexpected,
    TensorDuplicate,
    TensorShape,
    TensorDtype,
    ValueNotFinite,
    NormExceeded,
    WeightInvalid,
    TooManyUpdates,
    NothingFolded,
    HashMismatch,
    PartUnknown,
    SliceOutOfRange,
    LogCorrupt,
    LogLocked,
    LogClosed,
    SealBroken,
    KeyFile,
    DiskFull,
    Io,
    SignatureKey,
    Argument,
    Panic,
    LogFenced,
    SecaggRefused,
    SecaggParameters,
    SecaggShares,
    SecaggSum,
    SecaggMalformed,
    PrivacyEvent,
    PrivacyParameter,
    PrivacyUnbounded,
    PrivacyUnreachable,
    TensorNotNoised,
    NoiseSecretLost,
    NoiseUsed,
}

impl Code {
    pub const ALL: [Code; 43] = [
        Code::NpyMalformed,
        Code::NpyObjectDtype,
        Code::NpyUnsupportedDtype,
        Code::NpySizeMismatch,
        Code::TensorTooLarge,
        Code::NpzMalformed,
        Code::SafetensorsMalformed,
        Code::TensorMissing,
        Code::TensorUnexpected,
        Code::TensorDuplicate,
        Code::TensorShape,
        Code::TensorDtype,
        Code::ValueNotFinite,
        Code::NormExceeded,
        Code::WeightInvalid,
        Code::TooManyUpdates,
        Code::NothingFolded,
        Code::HashMismatch,
        Code::PartUnknown,
        Code::SliceOutOfRange,
        Code::LogCorrupt,
        Code::LogLocked,
        Code::LogClosed,
        Code::SealBroken,
        Code::KeyFile,
        Code::DiskFull,
        Code::Io,
        Code::SignatureKey,
        Code::Argument,
        Code::Panic,
        Code::LogFenced,
        Code::SecaggRefused,
        Code::SecaggParameters,
        Code::SecaggShares,
        Code::SecaggSum,
        Code::SecaggMalformed,
        Code::PrivacyEvent,
        Code::PrivacyParameter,
        Code::PrivacyUnbounded,
        Code::PrivacyUnreachable,
        Code::TensorNotNoised,
        Code::NoiseSecretLost,
        Code::NoiseUsed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Code::NpyMalformed => "NPY_MALFORMED",
            Code::NpyObjectDtype => "NPY_OBJECT_DTYPE",
            Code::NpyUnsupportedDtype => "NPY_UNSUPPORTED_DTYPE",
            Code::NpySizeMismatch => "NPY_SIZE_MISMATCH",
            Code::TensorTooLarge => "TENSOR_TOO_LARGE",
            Code::NpzMalformed => "NPZ_MALFORMED",
            Code::SafetensorsMalformed => "SAFETENSORS_MALFORMED",
            Code::TensorMissing => "TENSOR_MISSING",
            Code::TensorUnexpected => "TENSOR_UNEXPECTED",
            Code::TensorDuplicate => "TENSOR_DUPLICATE",
            Code::TensorShape => "TENSOR_SHAPE",
            Code::TensorDtype => "TENSOR_DTYPE",
            Code::ValueNotFinite => "VALUE_NOT_FINITE",
            Code::NormExceeded => "NORM_EXCEEDED",
            Code::WeightInvalid => "WEIGHT_INVALID",
            Code::TooManyUpdates => "TOO_MANY_UPDATES",
            Code::NothingFolded => "NOTHING_FOLDED",
            Code::HashMismatch => "HASH_MISMATCH",
            Code::PartUnknown => "PART_UNKNOWN",
            Code::SliceOutOfRange => "SLICE_OUT_OF_RANGE",
            Code::LogCorrupt => "LOG_CORRUPT",
            Code::LogLocked => "LOG_LOCKED",
            Code::LogClosed => "LOG_CLOSED",
            Code::SealBroken => "SEAL_BROKEN",
            Code::KeyFile => "KEY_FILE",
            Code::DiskFull => "DISK_FULL",
            Code::Io => "IO",
            Code::SignatureKey => "SIGNATURE_KEY",
            Code::Argument => "ARGUMENT",
            Code::Panic => "PANIC",
            Code::LogFenced => "LOG_FENCED",
            Code::SecaggRefused => "SECAGG_REFUSED",
            Code::SecaggParameters => "SECAGG_PARAMETERS",
            Code::SecaggShares => "SECAGG_SHARES",
            Code::SecaggSum => "SECAGG_SUM",
            Code::SecaggMalformed => "SECAGG_MALFORMED",
            Code::PrivacyEvent => "PRIVACY_EVENT",
            Code::PrivacyParameter => "PRIVACY_PARAMETER",
            Code::PrivacyUnbounded => "PRIVACY_UNBOUNDED",
            Code::PrivacyUnreachable => "PRIVACY_UNREACHABLE",
            Code::TensorNotNoised => "TENSOR_NOT_NOISED",
            Code::NoiseSecretLost => "NOISE_SECRET_LOST",
            Code::NoiseUsed => "NOISE_USED",
        }
    }
}

/// A failure with its code, a sentence for a person and named facts for a program.
///
/// Neither the sentence nor the facts ever hold tensor values or key bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub message: String,
    pub detail: Vec<(&'static str, String)>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: Vec::new() }
    }

    /// Adds a named fact. A fact already named by an inner step wins: it is the more precise one.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        if !self.detail.iter().any(|(known, _)| *known == name) {
            self.detail.push((name, value.to_string()));
        }
        self
    }

    /// A file-system failure, with the path it happened at. A full disk or quota has its own code.
    pub fn io(error: &io::Error, path: &Path) -> Self {
        // a limit on one file's size is met and lifted like a limit on all of them
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        let code = if full { Code::DiskFull } else { Code::Io };
        Self::new(code, error.to_string()).with("path", path.display()).with("kind", format!("{:?}", error.kind()))
    }

    pub fn fact(&self, name: &str) -> Option<&str> {
        self.detail.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)?;
        for (name, value) in &self.detail {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Names the file of an I/O failure where it happens: `file.sync_all().at(&path)?`.
pub trait AtPath<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|error| Error::io(&error, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_has_its_own_string() {
        let strings: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(strings.len(), Code::ALL.len());
    }

    #[test]
    fn a_full_disk_and_a_full_quota_are_disk_full() {
        for raw in [27, 28, 122] {
            let error = Error::io(&io::Error::from_raw_os_error(raw), Path::new("x"));
            assert_eq!(error.code, Code::DiskFull);
        }
        assert_eq!(Error::io(&io::Error::from_raw_os_error(5), Path::new("x")).code, Code::Io);
    }
}
