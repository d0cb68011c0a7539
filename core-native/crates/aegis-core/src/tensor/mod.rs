//! What a model is made of: named arrays of one element type and shape.

pub mod cast;
pub mod difference;
pub mod npy;
pub mod range;

use crate::error::{Code, Error, Result};

/// One tensor may declare fewer elements than this (2^40: 4 TiB of f32). More is a mistake or an attack.
pub const MAX_ELEMENTS: u64 = 1 << 40;
/// numpy's own limit on dimensions.
pub const MAX_DIMENSIONS: usize = 64;
/// Longest tensor name in bytes; zip entries and manifests carry it.
pub const MAX_NAME: usize = 1024;

/// Element types. Everything is little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    F16,
    BF16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

impl DType {
    pub const ALL: [DType; 13] = [
        DType::F16,
        DType::BF16,
        DType::F32,
        DType::F64,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::U8,
        DType::U16,
        DType::U32,
        DType::U64,
        DType::Bool,
    ];

    /// numpy's descr, except `bfloat16`, which numpy has no name for.
    pub const fn as_str(self) -> &'static str {
        match self {
            DType::F16 => "<f2",
            DType::BF16 => "bfloat16",
            DType::F32 => "<f4",
            DType::F64 => "<f8",
            DType::I8 => "|i1",
            DType::I16 => "<i2",
            DType::I32 => "<i4",
            DType::I64 => "<i8",
            DType::U8 => "|u1",
            DType::U16 => "<u2",
            DType::U32 => "<u4",
            DType::U64 => "<u8",
            DType::Bool => "|b1",
        }
    }

    pub fn parse(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|dtype| dtype.as_str() == text)
            .ok_or_else(|| Error::new(Code::NpyUnsupportedDtype, "unknown element type").with("dtype", text))
    }

    pub const fn size(self) -> usize {
        match self {
            DType::I8 | DType::U8 | DType::Bool => 1,
            DType::F16 | DType::BF16 | DType::I16 | DType::U16 => 2,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F64 | DType::I64 | DType::U64 => 8,
        }
    }

    pub const fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
    }
}

/// What a tensor must look like. Built only through [`TensorSpec::new`], so a spec in hand is within all limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    name: String,
    dtype: DType,
    shape: Vec<u64>,
    elements: u64,
}

impl TensorSpec {
    pub fn new(name: impl Into<String>, dtype: DType, shape: Vec<u64>) -> Result<Self> {
        let name = name.into();
        if name.is_empty() || name.len() > MAX_NAME || name.contains('\0') {
            return Err(
                Error::new(Code::Argument, "a tensor name is 1 to 1024 bytes without NUL").with("length", name.len())
            );
        }
        let elements = count_elements(&shape).map_err(|error| error.with("tensor", &name))?;
        Ok(Self { name, dtype, shape, elements })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn dtype(&self) -> DType {
        self.dtype
    }

    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    pub fn elements(&self) -> u64 {
        self.elements
    }

    pub fn payload_bytes(&self) -> u64 {
        self.elements * self.dtype.size() as u64
    }
}

/// Elements of a shape. An axis of length 0 makes the tensor empty, but does not excuse absurd other axes.
pub fn count_elements(shape: &[u64]) -> Result<u64> {
    let too_large = || {
        Error::new(Code::TensorTooLarge, "a tensor has fewer than 2^40 elements and at most 64 dimensions")
            .with("shape", show_shape(&shape[..shape.len().min(MAX_DIMENSIONS)]))
    };
    if shape.len() > MAX_DIMENSIONS {
        return Err(too_large());
    }
    let extent = shape.iter().try_fold(1u64, |product, &axis| product.checked_mul(axis.max(1)));
    match extent {
        Some(extent) if extent < MAX_ELEMENTS => Ok(shape.iter().product()),
        _ => Err(too_large()),
    }
}

/// A shape as Python writes it: `()`, `(3,)`, `(3, 4)`.
pub fn show_shape(shape: &[u64]) -> String {
    match shape {
        [one] => format!("({one},)"),
        axes => format!("({})", axes.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// Maps positions of a Fortran-ordered (first axis fastest) array, in file order, to C-order positions.
#[derive(Debug)]
pub struct FortranWalk {
    shape: Vec<u64>,
    strides: Vec<u64>,
    coordinates: Vec<u64>,
    position: u64,
}

impl FortranWalk {
    pub fn new(shape: &[u64]) -> Self {
        let mut strides = vec![1; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis] * shape[axis].max(1);
        }
        Self { shape: shape.to_vec(), strides, coordinates: vec![0; shape.len()], position: 0 }
    }
}

impl Iterator for FortranWalk {
    type Item = u64;

    /// Endless: the caller knows how many elements there are, and wraps to 0 after the last.
    fn next(&mut self) -> Option<u64> {
        let current = self.position;
        for axis in 0..self.shape.len() {
            self.coordinates[axis] += 1;
            self.position += self.strides[axis];
            if self.coordinates[axis] < self.shape[axis] {
                break;
            }
            self.position -= self.strides[axis] * self.coordinates[axis];
            self.coordinates[axis] = 0;
        }
        Some(current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dtype_names_are_unique_and_parse_back() {
        for dtype in DType::ALL {
            assert_eq!(DType::parse(dtype.as_str()).unwrap(), dtype);
        }
        assert_eq!(DType::parse("float32").unwrap_err().code, Code::NpyUnsupportedDtype);
    }

    #[test]
    fn element_counts_and_their_limit() {
        assert_eq!(count_elements(&[]).unwrap(), 1);
        assert_eq!(count_elements(&[0, 5]).unwrap(), 0);
        assert_eq!(count_elements(&[1 << 20, (1 << 20) - 1]).unwrap(), (1 << 40) - (1 << 20));
        for shape in [vec![1 << 40], vec![1 << 20, 1 << 20], vec![u64::MAX, 2], vec![0, 1 << 40], vec![1; 65]] {
            assert_eq!(count_elements(&shape).unwrap_err().code, Code::TensorTooLarge);
        }
    }

    #[test]
    fn a_fortran_walk_visits_columns_first() {
        assert_eq!(FortranWalk::new(&[2, 3]).take(6).collect::<Vec<_>>(), [0, 3, 1, 4, 2, 5]);
        assert_eq!(FortranWalk::new(&[2, 1, 2]).take(4).collect::<Vec<_>>(), [0, 2, 1, 3]);
        assert_eq!(FortranWalk::new(&[]).take(1).collect::<Vec<_>>(), [0]);
    }
}
