//! Writing a model file front to back: `begin`, `payload`…, `begin`, … `finish`.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use super::{CONTEXT, Manifest, ManifestTensor, ModelInfo, ModelTensor, TRAILER_MAGIC};
use crate::durable::AtomicFile;
use crate::error::{AtPath, Code, Error, Result};
use crate::hash::{Sha256, to_hex};
use crate::seal::{DataKey, Sealer};
use crate::tensor::{DType, TensorSpec, npy};
use crate::update::check_bools;

/// Nothing appears at the path before [`ModelWriter::finish`]; dropped before that, the writer leaves no trace.
pub struct ModelWriter {
    out: Sealer<AtomicFile>,
    path: std::path::PathBuf,
    identity: Sha256,
    tensors: Vec<ModelTensor>,
    names: HashSet<String>,
    offset: u64,
    /// Payload bytes the current tensor still misses.
    missing: u64,
}

impl ModelWriter {
    pub fn create(path: &Path, key: &DataKey) -> Result<Self> {
        let file = AtomicFile::create(path, 0o600)?;
        let mut identity = Sha256::default();
        identity.update(CONTEXT);
        Ok(Self {
            out: Sealer::new(file, key, CONTEXT).at(path)?,
            path: path.into(),
            identity,
            tensors: Vec::new(),
            names: HashSet::new(),
            offset: 0,
            missing: 0,
        })
    }

    /// Starts the next tensor. The one before must be complete.
    pub fn begin(&mut self, name: &str, dtype: DType, shape: &[u64]) -> Result<()> {
        self.require_complete()?;
        let spec = TensorSpec::new(name, dtype, shape.to_vec())?;
        if !self.names.insert(name.to_string()) {
            return Err(Error::new(Code::TensorDuplicate, "the model has a tensor twice").with("tensor", name));
        }
        let header = npy::write_header(dtype, shape);
        let length = header.len() as u64 + spec.payload_bytes();
        self.identity.field(name.as_bytes());
        self.identity.field(dtype.as_str().as_bytes());
        self.identity.update(&length.to_le_bytes());
        self.tensors.push(ModelTensor { name: name.into(), dtype, shape: shape.into(), offset: self.offset, length });
        self.offset += length;
        self.missing = spec.payload_bytes();
        self.write(&header)
    }

    /// The next bytes of the current tensor, C order, little-endian.
    pub fn payload(&mut self, bytes: &[u8]) -> Result<()> {
        let dtype = self.tensors.last().map(|tensor| tensor.dtype);
        self.missing = self.missing.checked_sub(bytes.len() as u64).ok_or_else(|| self.wrong_size())?;
        dtype.map_or(Ok(()), |dtype| check_bools(dtype, bytes)).map_err(|error| self.name(error))?;
        self.write(bytes)
    }

    /// The model appears, in place of whatever was there.
    pub fn finish(self) -> Result<ModelInfo> {
        let (file, info) = self.complete()?;
        file.commit()?;
        Ok(info)
    }

    /// The model appears if nothing is there yet; `None` if there is, and that stays.
    pub fn finish_new(self) -> Result<Option<ModelInfo>> {
        let (file, info) = self.complete()?;
        Ok(file.commit_new()?.then_some(info))
    }

    fn complete(mut self) -> Result<(AtomicFile, ModelInfo)> {
        self.require_complete()?;
        let sha256 = to_hex(&self.identity.finish());
        let manifest = Manifest {
            sha256: sha256.clone(),
            tensors: self
                .tensors
                .iter()
                .map(|tensor| ManifestTensor {
                    name: tensor.name.clone(),
                    dtype: tensor.dtype.as_str().into(),
                    shape: tensor.shape.clone(),
                    length: tensor.length,
                })
                .collect(),
        };
        let manifest = serde_json::to_vec(&manifest).expect("strings and numbers are always JSON");
        for part in [&manifest[..], &(manifest.len() as u64).to_le_bytes(), TRAILER_MAGIC] {
            self.out.write_all(part).at(&self.path)?;
        }
        let file = self.out.finish().at(&self.path)?;
        Ok((file, ModelInfo { sha256, bytes: self.offset, tensors: self.tensors }))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.identity.update(bytes);
        self.out.write_all(bytes).at(&self.path)
    }

    fn require_complete(&self) -> Result<()> {
        if self.missing == 0 { Ok(()) } else { Err(self.wrong_size()) }
    }

    fn wrong_size(&self) -> Error {
        self.name(Error::new(Code::NpySizeMismatch, "the payload is not what shape and dtype declare"))
    }

    fn name(&self, error: Error) -> Error {
        match self.tensors.last() {
            Some(tensor) => error.with("tensor", &tensor.name),
            None => error,
        }
    }
}
