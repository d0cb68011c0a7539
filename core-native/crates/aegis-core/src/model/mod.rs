//! Model files: sealed, whole or absent, with an identity that does not depend on where the model came from.
//!
//! A model file is one sealed object (see [`crate::seal`]) whose plaintext is
//!
//! ```text
//! body ‖ manifest (JSON) ‖ manifest length u64 ‖ "AEGISMDL"
//! ```
//!
//! The body is the tensors' `.npy` files one after the other, each as numpy writes a C-ordered array in version 1.0. The manifest
//! comes last so that a model is written in one pass.
//!
//! **Identity.** SHA-256 over `"aegis model v1"` and, tensor by tensor in order, name ‖ dtype ‖ npy file, each preceded by its length as
//! u64 (little-endian). Shape is in the npy header. Equal models have equal identities, whether they came from npz, safetensors, a
//! fold or a log.

mod export;
mod import;
mod reader;
mod safetensors;
mod writer;

pub use export::{export_npz, export_safetensors};
pub use import::{MAX_UNPACKED, NamedNpy, from_npz, from_parts, from_safetensors, from_tensors};
pub use reader::ModelReader;
pub use writer::ModelWriter;

use serde::{Deserialize, Serialize};

use crate::tensor::DType;

const CONTEXT: &[u8] = b"aegis model v1";
const TRAILER_MAGIC: &[u8; 8] = b"AEGISMDL";
const TRAILER_BYTES: u64 = 16;
/// A manifest takes some 100 bytes a tensor.
const MAX_MANIFEST: u64 = 64 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelTensor {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<u64>,
    /// Place of the tensor's `.npy` file in the body.
    pub offset: u64,
    pub length: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInfo {
    /// The identity, in hexadecimal.
    pub sha256: String,
    /// Length of the body.
    pub bytes: u64,
    pub tensors: Vec<ModelTensor>,
}

/// The manifest as JSON: offsets follow from the lengths.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    sha256: String,
    tensors: Vec<ManifestTensor>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ManifestTensor {
    name: String,
    dtype: String,
    shape: Vec<u64>,
    length: u64,
}

#[cfg(test)]
mod tests;
