//! Tensors out of parts, block by block; none is ever held whole.

use super::{PartRead, PartSlice, Parts, TensorSource};
use crate::error::{Code, Error, Result};
use crate::tensor::cast::BLOCK;
use crate::tensor::npy::{self, NpyHeader, PREFIX_BYTES};
use crate::tensor::{TensorSpec, show_shape};

/// One tensor, its header read, its payload still ahead.
pub struct TensorReader<'a, P: Parts> {
    pub header: NpyHeader,
    bytes: JoinedReader<'a, P>,
}

impl<'a, P: Parts> TensorReader<'a, P> {
    /// Reads the header and checks that the slices hold exactly what it declares.
    pub fn open(parts: &'a P, source: &'a TensorSource) -> Result<Self> {
        Self::read_header(parts, source).map_err(|error| error.with("tensor", &source.name))
    }

    /// Like [`TensorReader::open`], and checks shape and element type.
    pub fn open_as(parts: &'a P, source: &'a TensorSource, spec: &TensorSpec) -> Result<Self> {
        let tensor = Self::open(parts, source)?;
        if !tensor.header.descr.is(spec.dtype()) {
            return Err(Error::new(Code::TensorDtype, "the tensor has another element type than the model")
                .with("tensor", spec.name())
                .with("expected", spec.dtype().as_str())
                .with("got", tensor.header.descr.as_str()));
        }
        if tensor.header.shape != spec.shape() {
            return Err(Error::new(Code::TensorShape, "the tensor has another shape than the model")
                .with("tensor", spec.name())
                .with("expected", show_shape(spec.shape()))
                .with("got", show_shape(&tensor.header.shape)));
        }
        Ok(tensor)
    }

    /// Calls `fold(first element, bytes)` for blocks of [`BLOCK`] elements (the last may be shorter), in file order.
    pub fn each_block(&mut self, mut fold: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        const BLOCKS_PER_READ: usize = 16;
        let block_bytes = BLOCK * self.header.descr.size();
        let mut left = self.header.payload_bytes();
        let mut buffer = vec![0; left.min((block_bytes * BLOCKS_PER_READ) as u64) as usize];
        let mut element = 0;
        while left > 0 {
            let read = left.min(buffer.len() as u64) as usize;
            self.bytes.read(&mut buffer[..read])?;
            for block in buffer[..read].chunks(block_bytes) {
                fold(element, block)?;
                element += BLOCK as u64;
            }
            left -= read as u64;
        }
        Ok(())
    }

    fn read_header(parts: &'a P, source: &'a TensorSource) -> Result<Self> {
        let mut bytes = JoinedReader::new(parts, &source.slices)?;
        let total = bytes.left;
        let mut head = vec![0; total.min(PREFIX_BYTES as u64) as usize];
        bytes.read(&mut head)?;
        let length = npy::header_length(&head)?;
        let known = head.len().min(length);
        if length as u64 > total {
            return Err(Error::new(Code::NpyMalformed, "not a valid npy file").with("reason", "header cut off"));
        }
        head.resize(length.max(known), 0);
        bytes.read(&mut head[known..])?;
        let header = npy::parse_header(&head)?;
        header.check_size(total)?;
        Ok(Self { header, bytes })
    }
}

/// Slices of parts, one after the other, front to back. Keeps one part open at a time.
pub(crate) struct JoinedReader<'a, P: Parts> {
    parts: &'a P,
    slices: std::slice::Iter<'a, PartSlice>,
    current: Option<(&'a str, P::Reader)>,
    position: u64,
    left_in_slice: u64,
    left: u64,
}

impl<'a, P: Parts> JoinedReader<'a, P> {
    pub fn new(parts: &'a P, slices: &'a [PartSlice]) -> Result<Self> {
        let left = slices
            .iter()
            .try_fold(0u64, |sum, slice| sum.checked_add(slice.length))
            .ok_or_else(|| Error::new(Code::SliceOutOfRange, "the slices are longer together than 64 bits can say"))?;
        Ok(Self { parts, slices: slices.iter(), current: None, position: 0, left_in_slice: 0, left })
    }

    /// Bytes that are still to be read.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Fills `out`; the caller asks for no more than is left.
    pub fn read(&mut self, mut out: &mut [u8]) -> Result<()> {
        self.left -= out.len() as u64;
        while !out.is_empty() {
            if self.left_in_slice == 0 {
                self.next_slice()?;
                continue;
            }
            let Some((_, reader)) = &mut self.current else {
                unreachable!("a slice with bytes left has its part open")
            };
            let taken = self.left_in_slice.min(out.len() as u64) as usize;
            let (now, later) = out.split_at_mut(taken);
            reader.read_at(self.position, now)?;
            out = later;
            self.position += taken as u64;
            self.left_in_slice -= taken as u64;
        }
        Ok(())
    }

    fn next_slice(&mut self) -> Result<()> {
        let Some(slice) = self.slices.next() else { unreachable!("the sum of the slices is what is left") };
        if self.current.as_ref().is_none_or(|(part, _)| *part != slice.part) {
            self.current = Some((&slice.part, self.parts.part(&slice.part)?));
        }
        let available = self.current.as_ref().map_or(0, |(_, reader)| reader.length());
        if slice.offset.checked_add(slice.length).is_none_or(|end| end > available) {
            return Err(Error::new(Code::SliceOutOfRange, "the slice ends beyond its part")
                .with("part", &slice.part)
                .with("offset", slice.offset)
                .with("length", slice.length)
                .with("available", available));
        }
        self.position = slice.offset;
        self.left_in_slice = slice.length;
        Ok(())
    }
}
