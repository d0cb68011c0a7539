//! Elements to f64 and back.
//!
//! All of f16, bf16, f32, f64, bool and integers below 2^53 are exact in f64; larger 64-bit integers round to nearest even.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::DType;
use crate::vectors::widest;

/// Elements handled at once: small enough for the stack and the first-level cache.
pub const BLOCK: usize = 1024;

/// Decodes little-endian elements. `bytes` holds exactly `out.len()` of them, at most [`BLOCK`].
pub fn decode(dtype: DType, bytes: &[u8], out: &mut [f64]) {
    assert!(bytes.len() == out.len() * dtype.size() && out.len() <= BLOCK);
    macro_rules! each {
        ($type:ty) => {
            for (value, raw) in out.iter_mut().zip(bytes.chunks_exact(size_of::<$type>())) {
                let mut element = [0; size_of::<$type>()];
                element.copy_from_slice(raw);
                *value = <$type>::from_le_bytes(element) as f64;
            }
        };
    }
    match dtype {
        DType::F32 => decode_f32(bytes, out),
        DType::F64 => each!(f64),
        DType::I8 => each!(i8),
        DType::I16 => each!(i16),
        DType::I32 => each!(i32),
        DType::I64 => each!(i64),
        DType::U8 | DType::Bool => each!(u8),
        DType::U16 => each!(u16),
        DType::U32 => each!(u32),
        DType::U64 => each!(u64),
        DType::BF16 => {
            for (value, raw) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                *value = bf16::from_le_bytes([raw[0], raw[1]]).to_f64();
            }
        }
        DType::F16 => {
            let mut halves = [f16::ZERO; BLOCK];
            let mut singles = [0f32; BLOCK];
            let (halves, singles) = (&mut halves[..out.len()], &mut singles[..out.len()]);
            for (half, raw) in halves.iter_mut().zip(bytes.chunks_exact(2)) {
                *half = f16::from_le_bytes([raw[0], raw[1]]);
            }
            halves.convert_to_f32_slice(singles); // a slice at a time, so that the CPU's own instruction is used
            for (value, single) in out.iter_mut().zip(singles) {
                *value = f64::from(*single);
            }
        }
    }
}

widest!(decode_f32, decode_f32_body, (bytes: &[u8], out: &mut [f64]));

#[inline(always)]
fn decode_f32_body(bytes: &[u8], out: &mut [f64]) {
    let (elements, _) = bytes.as_chunks::<4>();
    for (value, &element) in out.iter_mut().zip(elements) {
        *value = f64::from(f32::from_le_bytes(element));
    }
}

/// Appends `values` as little-endian elements: floats to nearest even, integers half to even and saturating, bool from 0.5 up.
pub fn encode(dtype: DType, values: &[f64], out: &mut Vec<u8>) {
    macro_rules! each {
        ($cast:expr) => {
            out.extend(values.iter().flat_map(|&value| $cast(value).to_le_bytes()))
        };
    }
    match dtype {
        DType::F16 => each!(f16::from_f64),
        DType::BF16 => each!(bf16::from_f64),
        DType::F32 => each!(|value| value as f32),
        DType::F64 => each!(|value: f64| value),
        DType::I8 => each!(|value: f64| value.round_ties_even() as i8),
        DType::I16 => each!(|value: f64| value.round_ties_even() as i16),
        DType::I32 => each!(|value: f64| value.round_ties_even() as i32),
        DType::I64 => each!(|value: f64| value.round_ties_even() as i64),
        DType::U8 => each!(|value: f64| value.round_ties_even() as u8),
        DType::U16 => each!(|value: f64| value.round_ties_even() as u16),
        DType::U32 => each!(|value: f64| value.round_ties_even() as u32),
        DType::U64 => each!(|value: f64| value.round_ties_even() as u64),
        DType::Bool => each!(|value: f64| u8::from(value >= 0.5)),
    }
}

/// Like [`encode`], for a type of floats: what is beyond its range becomes its greatest value, never infinity. Changes the values.
pub fn encode_finite(dtype: DType, values: &mut [f64], out: &mut Vec<u8>) {
    let greatest = match dtype {
        DType::F16 => f16::MAX.to_f64(),
        DType::BF16 => bf16::MAX.to_f64(),
        DType::F32 => f64::from(f32::MAX),
        _ => f64::MAX,
    };
    values.iter_mut().for_each(|value| *value = value.clamp(-greatest, greatest));
    encode(dtype, values, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(dtype: DType, values: &[f64]) -> Vec<f64> {
        let mut bytes = Vec::new();
        encode(dtype, values, &mut bytes);
        let mut out = vec![0.0; values.len()];
        decode(dtype, &bytes, &mut out);
        out
    }

    #[test]
    fn integers_round_half_to_even_and_saturate() {
        assert_eq!(
            round_trip(DType::I8, &[0.5, 1.5, 2.5, -0.5, -1.5, 127.5, 1e9, -1e9]),
            [0.0, 2.0, 2.0, 0.0, -2.0, 127.0, 127.0, -128.0]
        );
        assert_eq!(round_trip(DType::U16, &[-3.0, 65535.4, 1e9]), [0.0, 65535.0, 65535.0]);
        assert_eq!(round_trip(DType::U64, &[1e30]), [u64::MAX as f64]);
        assert_eq!(round_trip(DType::Bool, &[0.0, 0.49, 0.5, 1.0]), [0.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn every_finite_half_is_exact() {
        for bits in 0..=u16::MAX {
            for (dtype, value, finite) in [
                (DType::F16, f16::from_bits(bits).to_f64(), f16::from_bits(bits).is_finite()),
                (DType::BF16, bf16::from_bits(bits).to_f64(), bf16::from_bits(bits).is_finite()),
            ] {
                if finite {
                    assert_eq!(round_trip(dtype, &[value])[0].to_bits(), value.to_bits());
                }
            }
        }
    }

    #[test]
    fn floats_round_to_nearest_even() {
        assert_eq!(round_trip(DType::F32, &[1.0 + 2f64.powi(-24)]), [1.0]);
        assert_eq!(
            round_trip(DType::F16, &[1.0 + 2f64.powi(-11), 1.0 + 3.0 * 2f64.powi(-11)]),
            [1.0, 1.0 + 2f64.powi(-9)]
        );
    }
}
