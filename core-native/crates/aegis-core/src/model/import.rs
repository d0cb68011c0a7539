//! Models from npz, safetensors, npy files in memory, or the parts of an update.

use std::io::{self, Cursor, Read};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::safetensors::{self, Layout};
use super::{ModelInfo, ModelWriter};
use crate::error::{Code, Error, Result};
use crate::seal::DataKey;
use crate::tensor::npy::{self, NpyHeader, PREFIX_BYTES};
use crate::tensor::{DType, FortranWalk};
use crate::update::{Parts, TensorReader, TensorSource};

/// Most bytes a file may unpack to, whatever the caller allows.
pub const MAX_UNPACKED: u64 = 16 << 30;
/// Above this, an archive that unpacks to more than [`MAX_RATIO`] times its size is a bomb. Below it, a model of zeros may.
const RATIO_MATTERS: u64 = 1 << 20;
const MAX_RATIO: u64 = 200;
const MAX_ENTRIES: usize = 100_000;
/// A Fortran-ordered tensor is transposed in memory; this is the largest.
const MAX_TRANSPOSED: u64 = 2 << 30;

pub struct NamedNpy<'a> {
    pub name: &'a str,
    pub npy: &'a [u8],
    /// What two-byte records (`V2`) hold, where the caller knows.
    pub dtype: Option<DType>,
}

/// Reads an npz archive (stored or deflated), in the order of its entries, names without `.npy`. Nothing is written of one that
/// unpacks to more than `max_bytes`.
pub fn from_npz(npz: &[u8], path: &Path, key: &DataKey, max_bytes: u64) -> Result<ModelInfo> {
    let mut archive = ZipArchive::new(Cursor::new(npz)).map_err(zip_error)?;
    check_archive(&mut archive, npz.len() as u64, max_bytes.min(MAX_UNPACKED))?;
    let mut writer = ModelWriter::create(path, key)?;
    for position in 0..archive.len() {
        let mut entry = archive.by_index(position).map_err(zip_error)?;
        let entry_name = std::str::from_utf8(entry.name_raw()).map_err(|_| malformed("an entry name is not UTF-8"))?;
        let name = entry_name.strip_suffix(".npy").ok_or_else(|| malformed("an entry is not a .npy file"))?.to_string();
        let size = entry.size();
        let copied = copy_npy(&mut entry.by_ref().take(size), size, &name, &mut writer);
        copied.map_err(|error| error.with("tensor", &name))?;
        // The checksum is compared at the end of the entry; an entry that goes on has lied about its size.
        if entry.read(&mut [0]).map_err(|error| unpack_error(&error))? != 0 {
            return Err(malformed("an entry is longer than declared").with("tensor", name));
        }
    }
    writer.finish()
}

/// Reads a safetensors file of at most `max_bytes`, in the order of its header.
pub fn from_safetensors(bytes: &[u8], path: &Path, key: &DataKey, max_bytes: u64) -> Result<ModelInfo> {
    if bytes.len() as u64 > max_bytes {
        return Err(Error::new(Code::TensorTooLarge, "the file is larger than allowed")
            .with("length", bytes.len())
            .with("limit", max_bytes));
    }
    let Layout { tensors, data } = safetensors::parse(bytes)?;
    let mut writer = ModelWriter::create(path, key)?;
    for tensor in tensors {
        writer.begin(&tensor.name, tensor.dtype, &tensor.shape)?;
        writer.payload(&data[tensor.range])?;
    }
    writer.finish()
}

/// Normalises npy files of any accepted version and order, in the order given.
pub fn from_tensors(tensors: &[NamedNpy<'_>], path: &Path, key: &DataKey) -> Result<ModelInfo> {
    let mut writer = ModelWriter::create(path, key)?;
    for tensor in tensors {
        copy_tensor(tensor, &mut writer).map_err(|error| error.with("tensor", tensor.name))?;
    }
    writer.finish()
}

/// Reads tensors from parts, in the order given. C-ordered ones stream through.
pub fn from_parts(parts: &impl Parts, sources: &[TensorSource], path: &Path, key: &DataKey) -> Result<ModelInfo> {
    let mut writer = ModelWriter::create(path, key)?;
    for source in sources {
        let mut tensor = TensorReader::open(parts, source)?;
        let header = tensor.header.clone();
        let copied = header.descr.resolve(source.dtype).and_then(|dtype| {
            writer.begin(&source.name, dtype, &header.shape)?;
            if !header.fortran_order {
                return tensor.each_block(|_, bytes| writer.payload(bytes));
            }
            let mut payload = Vec::with_capacity(transposable(&header)?);
            tensor.each_block(|_, bytes| {
                payload.extend_from_slice(bytes);
                Ok(())
            })?;
            writer.payload(&transposed(&header, &payload))
        });
        copied.map_err(|error| error.with("tensor", &source.name))?;
    }
    writer.finish()
}

fn copy_tensor(tensor: &NamedNpy<'_>, writer: &mut ModelWriter) -> Result<()> {
    let header = npy::parse_header(tensor.npy)?;
    header.check_size(tensor.npy.len() as u64)?;
    let dtype = header.descr.resolve(tensor.dtype)?;
    writer.begin(tensor.name, dtype, &header.shape)?;
    let payload = &tensor.npy[header.data_offset..];
    if header.fortran_order {
        transposable(&header)?;
        return writer.payload(&transposed(&header, payload));
    }
    writer.payload(payload)
}

/// Copies one npy file of `size` bytes through a small buffer.
fn copy_npy(from: &mut impl Read, size: u64, name: &str, writer: &mut ModelWriter) -> Result<()> {
    let read = |from: &mut dyn Read, out: &mut [u8]| from.read_exact(out).map_err(|error| unpack_error(&error));
    if size < PREFIX_BYTES as u64 {
        return Err(Error::new(Code::NpyMalformed, "not a valid npy file").with("reason", "shorter than any npy file"));
    }
    let mut head = vec![0; PREFIX_BYTES];
    read(from, &mut head)?;
    let length = npy::header_length(&head)?;
    if length as u64 > size || length < PREFIX_BYTES {
        return Err(Error::new(Code::NpyMalformed, "not a valid npy file").with("reason", "header cut off"));
    }
    head.resize(length, 0);
    read(from, &mut head[PREFIX_BYTES..])?;
    let header = npy::parse_header(&head)?;
    header.check_size(size)?;
    writer.begin(name, header.descr.resolve(None)?, &header.shape)?;
    if header.fortran_order {
        transposable(&header)?;
        let mut payload = Vec::new(); // grows with what really arrives, not with what was declared
        from.take(header.payload_bytes()).read_to_end(&mut payload).map_err(|error| unpack_error(&error))?;
        if payload.len() as u64 != header.payload_bytes() {
            return Err(malformed("an entry is shorter than declared"));
        }
        return writer.payload(&transposed(&header, &payload));
    }
    let mut left = header.payload_bytes();
    let mut buffer = vec![0; left.min(256 << 10) as usize];
    while left > 0 {
        let piece = &mut buffer[..left.min(256 << 10) as usize];
        read(from, piece)?;
        writer.payload(piece)?;
        left -= piece.len() as u64;
    }
    Ok(())
}

fn check_archive(archive: &mut ZipArchive<Cursor<&[u8]>>, packed: u64, limit: u64) -> Result<()> {
    if archive.has_duplicate_names() {
        return Err(Error::new(Code::TensorDuplicate, "the archive has a tensor twice"));
    }
    if archive.len() > MAX_ENTRIES {
        return Err(malformed("too many entries").with("entries", archive.len()));
    }
    let mut unpacked = 0u64;
    for position in 0..archive.len() {
        let entry = archive.by_index_raw(position).map_err(zip_error)?;
        if entry.is_dir() || entry.encrypted() {
            return Err(malformed("an entry is not a plain file"));
        }
        unpacked = unpacked.saturating_add(entry.size());
    }
    if unpacked > limit {
        return Err(Error::new(Code::TensorTooLarge, "the archive unpacks to too much")
            .with("unpacked", unpacked)
            .with("packed", packed)
            .with("limit", limit));
    }
    if unpacked > RATIO_MATTERS && unpacked / MAX_RATIO > packed {
        return Err(Error::new(Code::TensorTooLarge, "the archive unpacks to too much for its size")
            .with("unpacked", unpacked)
            .with("packed", packed)
            .with(
                "reason",
                "it is compressed too well to be told from a bomb: save it with numpy.savez, uncompressed",
            ));
    }
    Ok(())
}

fn transposable(header: &NpyHeader) -> Result<usize> {
    let bytes = header.payload_bytes();
    if bytes > MAX_TRANSPOSED {
        return Err(Error::new(
            Code::TensorTooLarge,
            "a Fortran-ordered tensor of this size must be stored in C order",
        )
        .with("length", bytes)
        .with("limit", MAX_TRANSPOSED));
    }
    Ok(bytes as usize)
}

fn transposed(header: &NpyHeader, payload: &[u8]) -> Vec<u8> {
    let size = header.descr.size();
    let mut out = vec![0; payload.len()];
    for (element, at) in payload.chunks_exact(size).zip(FortranWalk::new(&header.shape)) {
        let at = at as usize * size;
        out[at..at + size].copy_from_slice(element);
    }
    out
}

fn malformed(reason: &str) -> Error {
    Error::new(Code::NpzMalformed, "not a valid npz archive").with("reason", reason)
}

fn zip_error(error: ZipError) -> Error {
    malformed(&error.to_string())
}

fn unpack_error(error: &io::Error) -> Error {
    malformed(&error.to_string())
}
