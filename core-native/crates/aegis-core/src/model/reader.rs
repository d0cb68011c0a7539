//! Reading a model file by ranges.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{CONTEXT, MAX_MANIFEST, Manifest, ModelInfo, ModelTensor, TRAILER_BYTES, TRAILER_MAGIC};
use crate::error::{AtPath, Code, Error, Result};
use crate::seal::{DataKey, Opener};
use crate::tensor::{DType, TensorSpec, npy};

/// An open model file. Reads are authenticated; each opens only the sealed segments it touches.
pub struct ModelReader {
    info: ModelInfo,
    path: PathBuf,
    file: Mutex<Opener<File>>,
}

impl ModelReader {
    /// [`Code::SealBroken`] if the file is damaged, truncated, no model or of another key.
    pub fn open(path: &Path, key: &DataKey) -> Result<Self> {
        let file = File::open(path).at(path)?;
        let sealed = file.metadata().at(path)?.len();
        let opened = Opener::new(file, 0, sealed, key, CONTEXT).and_then(|mut opener| {
            let info = read_info(&mut opener)?;
            Ok((info, opener))
        });
        let (info, opener) = opened.map_err(|error| error.with("path", path.display()))?;
        Ok(Self { info, path: path.into(), file: Mutex::new(opener) })
    }

    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Fills `out` from an offset of the body; [`Code::SliceOutOfRange`] beyond its end.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.check_range(offset, out.len() as u64)?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.read_at(offset, out).map_err(|error| error.with("path", self.path.display()))
    }

    pub fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        self.check_range(offset, length)?; // before the memory is asked for
        let mut out = vec![0; length as usize];
        self.read_at(offset, &mut out)?;
        Ok(out)
    }

    /// Hands out a range of the body piece by piece, about a segment at a time.
    pub fn each_piece(&self, range: std::ops::Range<u64>, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut buffer = vec![0; (range.end - range.start).min(1 << 20) as usize];
        let mut offset = range.start;
        while offset < range.end {
            let piece = &mut buffer[..(range.end - offset).min(1 << 20) as usize];
            self.read_at(offset, piece)?;
            take(piece)?;
            offset += piece.len() as u64;
        }
        Ok(())
    }

    fn check_range(&self, offset: u64, length: u64) -> Result<()> {
        if offset.checked_add(length).is_some_and(|end| end <= self.info.bytes) {
            return Ok(());
        }
        Err(Error::new(Code::SliceOutOfRange, "the slice ends beyond the model")
            .with("offset", offset)
            .with("length", length)
            .with("available", self.info.bytes))
    }
}

fn read_info(opener: &mut Opener<File>) -> Result<ModelInfo> {
    let foreign = |reason: &str| Error::new(Code::SealBroken, "not a model file").with("reason", reason);
    let trailer_at = opener.length().checked_sub(TRAILER_BYTES).ok_or_else(|| foreign("too short"))?;
    let mut trailer = [0; TRAILER_BYTES as usize];
    opener.read_at(trailer_at, &mut trailer)?;
    let (length, magic) = trailer.split_first_chunk().ok_or_else(|| foreign("too short"))?;
    let length = u64::from_le_bytes(*length);
    if magic != TRAILER_MAGIC || length > MAX_MANIFEST || length > trailer_at {
        return Err(foreign("trailer"));
    }
    let mut manifest = vec![0; length as usize];
    opener.read_at(trailer_at - length, &mut manifest)?;
    let manifest: Manifest = serde_json::from_slice(&manifest).map_err(|_| foreign("manifest"))?;
    let mut tensors = Vec::with_capacity(manifest.tensors.len());
    let mut offset = 0u64;
    for entry in manifest.tensors {
        let spec = TensorSpec::new(entry.name, DType::parse(&entry.dtype)?, entry.shape)?;
        let length = npy::write_header(spec.dtype(), spec.shape()).len() as u64 + spec.payload_bytes();
        if length != entry.length {
            return Err(foreign("manifest"));
        }
        tensors.push(ModelTensor {
            name: spec.name().into(),
            dtype: spec.dtype(),
            shape: spec.shape().into(),
            offset,
            length,
        });
        offset = offset.checked_add(length).ok_or_else(|| foreign("manifest"))?;
    }
    if offset != trailer_at - length {
        return Err(foreign("body length"));
    }
    Ok(ModelInfo { sha256: manifest.sha256, bytes: offset, tensors })
}
