//! Models out again, in the clear, for numpy and for everything that reads safetensors.

use std::io::{BufWriter, Seek, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{ModelReader, safetensors};
use crate::durable::AtomicFile;
use crate::error::{AtPath, Code, Error, Result};

const BUFFER: usize = 256 << 10;

/// An uncompressed npz archive, entries in model order; `numpy.load` reads it. bfloat16 tensors come as two-byte records,
/// which is all npy can say.
pub fn export_npz(model: &ModelReader, path: &Path) -> Result<()> {
    let file = AtomicFile::create(path, 0o600)?;
    let mut archive = ZipWriter::new(BufWriter::with_capacity(BUFFER, file.file()));
    write_entries(model, &mut archive, path)?;
    let out = archive.finish().map_err(|error| zip_error(error, path))?;
    out.into_inner().map_err(|error| Error::io(error.error(), path))?;
    file.commit()
}

/// A safetensors file, tensors in model order.
pub fn export_safetensors(model: &ModelReader, path: &Path) -> Result<()> {
    let file = AtomicFile::create(path, 0o600)?;
    let mut out = BufWriter::with_capacity(BUFFER, file.file());
    let tensors = &model.info().tensors;
    out.write_all(&safetensors::write_header(tensors)).at(path)?;
    for tensor in tensors {
        let end = tensor.offset + tensor.length;
        model.each_piece(end - safetensors::payload_bytes(tensor)..end, |piece| out.write_all(piece).at(path))?;
    }
    out.into_inner().map_err(|error| Error::io(error.error(), path))?;
    file.commit()
}

fn write_entries<W: Write + Seek>(model: &ModelReader, archive: &mut ZipWriter<W>, path: &Path) -> Result<()> {
    for tensor in &model.info().tensors {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(tensor.length > u64::from(u32::MAX));
        archive.start_file(format!("{}.npy", tensor.name), options).map_err(|error| zip_error(error, path))?;
        let range = tensor.offset..tensor.offset + tensor.length;
        model.each_piece(range, |piece| archive.write_all(piece).at(path))?;
    }
    Ok(())
}

fn zip_error(error: zip::result::ZipError, path: &Path) -> Error {
    match error {
        zip::result::ZipError::Io(error) => Error::io(&error, path),
        other => Error::new(Code::Io, other.to_string()).with("path", path.display()),
    }
}
