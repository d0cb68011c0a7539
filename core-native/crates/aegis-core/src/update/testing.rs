//! Updates in memory, for tests.

use std::collections::HashMap;

use super::*;
use crate::tensor::npy;

/// Parts in memory.
#[derive(Default)]
pub struct MemoryParts(pub HashMap<String, Vec<u8>>);

pub struct MemoryPart(Vec<u8>);

impl Parts for MemoryParts {
    type Reader = MemoryPart;

    fn part(&self, id: &str) -> Result<MemoryPart> {
        let bytes = self.0.get(id).ok_or_else(|| Error::new(Code::PartUnknown, "no such part").with("part", id))?;
        Ok(MemoryPart(bytes.clone()))
    }
}

impl PartRead for MemoryPart {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> Result<()> {
        out.copy_from_slice(&self.0[offset as usize..][..out.len()]);
        Ok(())
    }
}

impl MemoryParts {
    /// Stores one tensor as a part of its own.
    pub fn put(&mut self, part: &str, npy: Vec<u8>, tensor: &str) -> TensorSource {
        let slices = vec![PartSlice { part: part.into(), offset: 0, length: npy.len() as u64 }];
        self.0.insert(part.into(), npy);
        TensorSource { name: tensor.into(), slices, dtype: None }
    }
}

pub fn npy(dtype: DType, shape: &[u64], values: &[f64]) -> Vec<u8> {
    let mut bytes = npy::write_header(dtype, shape);
    cast::encode(dtype, values, &mut bytes);
    bytes
}

pub fn spec(name: &str, dtype: DType, shape: &[u64]) -> TensorSpec {
    TensorSpec::new(name, dtype, shape.to_vec()).unwrap()
}
