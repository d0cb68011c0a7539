//! Differences from a start model, and the model that their mean makes.

use proptest::prelude::*;

use super::tests::{code, f32s, made, spec};
use super::*;
use crate::model::{ModelReader, ModelWriter};
use crate::seal::DataKey;
use crate::tensor::{DType, npy};

fn encoded(dtype: DType, values: &[f64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    cast::encode(dtype, values, &mut bytes);
    bytes
}

/// A model of these tensors: name, type, shape, elements.
fn model(directory: &tempfile::TempDir, key: &DataKey, tensors: &[(&str, DType, &[u64], &[u8])]) -> ModelReader {
    let path = directory.path().join("start");
    let mut writer = ModelWriter::create(&path, key).unwrap();
    for (name, dtype, shape, payload) in tensors {
        writer.begin(name, *dtype, shape).unwrap();
        writer.payload(payload).unwrap();
    }
    writer.finish().unwrap();
    ModelReader::open(&path, key).unwrap()
}

fn payload(reader: &ModelReader, at: usize) -> Vec<u8> {
    let tensor = &reader.info().tensors[at];
    let bytes = reader.read(tensor.offset, tensor.length).unwrap();
    bytes[npy::parse_header(&bytes).unwrap().data_offset..].to_vec()
}

/// Updates as differences from `start`, summed without any mask.
fn opened(grid: &Grid, start: &[&[u8]], updates: &[(Vec<Vec<u8>>, u64)]) -> OpenedSum {
    let bits = grid.modulus(updates.len() as u64, 0).unwrap().bits;
    let mut sum = Residues::new(bits, grid.length()).unwrap();
    for (update, weight) in updates {
        let tensors: Vec<&[u8]> = update.iter().map(|bytes| &bytes[..]).collect();
        let input = Contribution { tensors: &tensors, start: Some(start), metrics: &[], weight: *weight };
        sum.add(&grid.quantise(bits, &input, Rounding::Unbiased, &mut Drbg::new()).unwrap()).unwrap();
    }
    OpenedSum::check(grid, sum, updates.len() as u64, 0).unwrap()
}

#[test]
fn the_start_moves_by_the_weighted_mean_difference_in_every_dtype_and_shape() {
    for dtype in DType::ALL {
        for shape in [&[][..], &[3], &[2, 2], &[0]] {
            let clips: &[(&str, f64)] = if dtype.is_float() || dtype == DType::Bool { &[] } else { &[("w", 10.0)] };
            let grid = made(vec![spec("w", dtype, shape)], 2.0, clips, vec![], 24, 3, None).unwrap();
            let elements = shape.iter().product::<u64>() as usize;
            let at = |values: [f64; 4]| encoded(dtype, &values[..elements]);
            // far beyond the clip itself: only differences are clipped
            let far = if dtype == DType::Bool { [1.0, 0.0, 1.0, 0.0] } else { [100.0, 50.0, 101.0, 90.0] };
            let moved = |by: [f64; 4]| {
                let mut values = far;
                values.iter_mut().zip(by).for_each(|(value, by)| *value += by);
                vec![at(values)]
            };
            let start = at(far);
            let updates = [(moved([-1.0, 1.0, 0.0, 0.0]), 3), (moved([-1.0, 1.0, 0.0, 1.0]), 1)];
            let sum = opened(&grid, &[&start], &updates);
            let (directory, key) = (tempfile::tempdir().unwrap(), DataKey::generate());
            let reader = model(&directory, &key, &[("w", dtype, shape, &start)]);
            let path = directory.path().join("next");
            let info = sum.write_model(&grid, &reader, &path, &key).unwrap();
            let next = ModelReader::open(&path, &key).unwrap();
            assert_eq!((next.info(), next.info().tensors[0].shape.as_slice()), (&info, shape));
            let mut values = vec![0.0; elements];
            cast::decode(dtype, &payload(&next, 0), &mut values);
            let exact = if dtype.is_float() { [-1.0, 1.0, 0.0, 0.25] } else { [-1.0, 1.0, 0.0, 0.0] };
            for ((value, far), by) in values.iter().zip(far).zip(exact) {
                // bfloat16 has whole numbers only at 100
                let tolerance = if dtype == DType::BF16 { 0.5 } else { 0.07 };
                assert!((value - far - by).abs() <= tolerance, "{dtype:?} {shape:?}: {value} for {}", far + by);
            }
        }
    }
}

#[test]
fn clips_hold_for_the_difference() {
    let grid = made(vec![spec("w", DType::F32, &[2])], 8.0, &[], vec![], 24, 1, Some(1.0)).unwrap();
    let start = f32s(&[1000.0, -1000.0]);
    let sum = opened(&grid, &[&start], &[(vec![f32s(&[1003.0, -996.0])], 1)]);
    let mut mean = [0.0; 2];
    cast::decode(DType::F32, &sum.tensor(&grid, 0), &mut mean);
    assert!((mean[0] - 0.6).abs() < 1e-5 && (mean[1] - 0.8).abs() < 1e-5, "{mean:?}");
}

#[test]
fn differences_that_are_no_numbers_are_refused_before_anything_else() {
    let grid = made(vec![spec("w", DType::F64, &[1])], 1.0, &[], vec![], 16, 1, None).unwrap();
    let quantise = |update: f64, start: &[&[u8]]| {
        let update = update.to_le_bytes();
        let input = Contribution { tensors: &[&update], start: Some(start), metrics: &[], weight: 1 };
        grid.quantise(23, &input, Rounding::Unbiased, &mut Drbg::new()).map(drop)
    };
    for (update, start) in [
        (f64::NAN, 0.0),
        (f64::INFINITY, f64::INFINITY),
        (0.0, f64::NAN),
        (1.0, f64::NEG_INFINITY),
        (f64::MAX, -f64::MAX),
    ] {
        assert_eq!(code(quantise(update, &[&start.to_le_bytes()])), Code::ValueNotFinite, "{update} − {start}");
    }
    assert_eq!(code(quantise(1.0, &[])), Code::TensorMissing);
    assert_eq!(code(quantise(1.0, &[&[0; 4]])), Code::NpySizeMismatch);
    assert!(quantise(1.0, &[&[0; 8]]).is_ok());
}

#[test]
fn a_start_model_with_other_tensors_is_refused() {
    let specs = || vec![spec("w", DType::F32, &[2]), spec("v", DType::F32, &[])];
    let grid = made(specs(), 1.0, &[], vec![], 16, 1, None).unwrap();
    let (w, v) = (f32s(&[1.0, 2.0]), f32s(&[3.0]));
    let sum = || opened(&grid, &[&w, &v], &[(vec![w.clone(), v.clone()], 1)]);
    let (directory, key) = (tempfile::tempdir().unwrap(), DataKey::generate());
    let path = directory.path().join("next");
    let (f, two) = (DType::F32, f32s(&[0.0, 0.0]));
    for other in [
        &[("w", f, &[2][..], &w[..])][..],
        &[("v", f, &[], &v), ("w", f, &[2], &w)],
        &[("w", f, &[2], &w), ("v", f, &[1], &v)],
        &[("w", f, &[2], &w), ("v", DType::I32, &[], &v)],
        &[("w", f, &[2], &w), ("v", f, &[], &v), ("u", f, &[2], &two)],
    ] {
        let reader = model(&directory, &key, other);
        assert_eq!(code(sum().write_model(&grid, &reader, &path, &key)), Code::TensorMissing);
    }
    assert!(!path.exists());
    let reader = model(&directory, &key, &[("w", f, &[2], &w), ("v", f, &[], &v)]);
    let info = sum().write_model(&grid, &reader, &path, &key).unwrap();
    assert_eq!(info.sha256, reader.info().sha256, "who changes nothing leaves the model as it is");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Longer than a block and than a piece of the file.
    #[test]
    fn models_move_by_the_plain_mean_within_a_step(
        updates in proptest::collection::vec((any::<u32>(), 1u64..=20), 1..6),
        elements in prop_oneof![1usize..40, Just(3000), Just(300_000)],
    ) {
        let specs = vec![spec("head", DType::F64, &[3]), spec("w", DType::F32, &[elements as u64])];
        let grid = made(specs, 4.0, &[], vec![], 24, 20, None).unwrap();
        let start: Vec<f32> = (0..elements).map(|i| (i as f32).sin() * 50.0).collect();
        let (head, start_bytes) = (encoded(DType::F64, &[1.0, 2.0, 3.0]), f32s(&start));
        let change = |seed: u32, i: usize| ((seed.wrapping_add(i as u32)) as f32).cos() * 3.0;
        let made: Vec<(Vec<Vec<u8>>, u64)> = updates
            .iter()
            .map(|&(seed, weight)| {
                let moved: Vec<f32> = start.iter().enumerate().map(|(i, &value)| value + change(seed % 1000, i)).collect();
                (vec![head.clone(), f32s(&moved)], weight)
            })
            .collect();
        let sum = opened(&grid, &[&head, &start_bytes], &made);
        let (directory, key) = (tempfile::tempdir().unwrap(), DataKey::generate());
        let shape = [elements as u64];
        let reader = model(&directory, &key, &[("head", DType::F64, &[3], &head), ("w", DType::F32, &shape, &start_bytes)]);
        let path = directory.path().join("next");
        sum.write_model(&grid, &reader, &path, &key).unwrap();
        let next = ModelReader::open(&path, &key).unwrap();
        prop_assert_eq!(payload(&next, 0), head);
        let total: u64 = updates.iter().map(|(_, weight)| weight).sum();
        let bytes = payload(&next, 1);
        for (i, raw) in bytes.as_chunks::<4>().0.iter().enumerate() {
            let mean: f64 = updates
                .iter()
                .map(|&(seed, weight)| f64::from(change(seed % 1000, i)) * weight as f64)
                .sum::<f64>() / total as f64;
            let expected = f64::from(start[i]) + mean;
            prop_assert!((f64::from(f32::from_le_bytes(*raw)) - expected).abs() < 2e-5, "{} {}", i, expected);
        }
    }
}
