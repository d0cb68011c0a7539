//! The least and the greatest value of a tensor, for whoever lets only some values pass.

use super::DType;
use super::cast::{self, BLOCK};
use super::npy;
use crate::error::{Code, Error, Result};

/// Of a whole `.npy` file, as f64; `None` for one without elements. Integers beyond 2^53 count as the nearest f64.
///
/// `dtype`: what the model says it is, where that is known; the file itself cannot name bfloat16. [`Code::ValueNotFinite`] for NaN and
/// infinities, the codes of [`npy`] for what is no such file.
pub fn value_range(file: &[u8], dtype: Option<DType>) -> Result<Option<(f64, f64)>> {
    let header = npy::parse_header(file)?;
    header.check_size(file.len() as u64)?;
    let dtype = header.descr.resolve(dtype)?;
    let mut range: Option<(f64, f64)> = None;
    let mut values = [0.0; BLOCK];
    for block in file[header.data_offset..].chunks(BLOCK * dtype.size()) {
        let values = &mut values[..block.len() / dtype.size()];
        cast::decode(dtype, block, values);
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Error::new(Code::ValueNotFinite, "the tensor holds NaN or infinity"));
        }
        let (low, high) = range.unwrap_or((values[0], values[0]));
        range = Some(values.iter().fold((low, high), |(low, high), &value| (low.min(value), high.max(value))));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::testing::npy;

    fn f32s(values: &[f64]) -> Vec<u8> {
        npy(DType::F32, &[values.len() as u64], values)
    }

    #[test]
    fn spans_all_blocks() {
        let mut values = vec![0.25; 5 * BLOCK + 3];
        values[BLOCK + 1] = -7.0;
        *values.last_mut().unwrap() = 9.5;
        assert_eq!(value_range(&f32s(&values), None).unwrap(), Some((-7.0, 9.5)));
        assert_eq!(value_range(&f32s(&[-0.0]), Some(DType::F32)).unwrap(), Some((-0.0, -0.0)));
        assert_eq!(value_range(&f32s(&[]), None).unwrap(), None);
    }

    #[test]
    fn reads_every_element_type() {
        for dtype in DType::ALL {
            let file = npy(dtype, &[3], &[1.0, 0.0, 1.0]);
            assert_eq!(value_range(&file, Some(dtype)).unwrap(), Some((0.0, 1.0)), "{dtype:?}");
        }
    }

    #[test]
    fn refuses_what_has_no_range() {
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(value_range(&f32s(&[1.0, odd]), None).unwrap_err().code, Code::ValueNotFinite);
        }
        let whole = f32s(&[1.0, 2.0]);
        assert!(value_range(&whole[..whole.len() - 1], None).is_err());
        assert!(value_range(&whole, Some(DType::F64)).is_err());
        assert!(value_range(b"no array", None).is_err());
        assert!(value_range(&npy(DType::BF16, &[1], &[0.0]), None).is_err());
    }
}
