use proptest::prelude::*;

use super::*;
use crate::tensor::{DType, TensorSpec};

pub fn spec(name: &str, dtype: DType, shape: &[u64]) -> TensorSpec {
    TensorSpec::new(name, dtype, shape.to_vec()).unwrap()
}

/// Every option in its place.
pub fn made(
    specs: Vec<TensorSpec>,
    clip: f64,
    own_clips: &[(&str, f64)],
    metrics: Vec<MetricRange>,
    value_bits: u32,
    weight_max: u64,
    norm_clip: Option<f64>,
) -> Result<Grid> {
    let own_clips = own_clips.iter().map(|(name, clip)| (name.to_string(), *clip)).collect();
    Grid::new(specs, GridOptions { clip, own_clips, metrics, value_bits, weight_max, norm_clip, noise_sigma: None })
}

fn grid(specs: Vec<TensorSpec>, clip: f64, weight_max: u64) -> Grid {
    made(specs, clip, &[], vec![], 16, weight_max, None).unwrap()
}

pub fn code<T>(result: Result<T>) -> Code {
    result.err().expect("refused").code
}

pub fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn contribution<'a>(tensors: &'a [&'a [u8]], weight: u64) -> Contribution<'a> {
    Contribution { tensors, start: None, metrics: &[], weight }
}

/// The sum of contributions without any mask, opened.
fn opened(grid: &Grid, contributions: &[Contribution]) -> OpenedSum {
    let bits = grid.modulus(contributions.len() as u64, 0).unwrap().bits;
    let mut drbg = Drbg::new();
    let mut sum = Residues::new(bits, grid.length()).unwrap();
    for contribution in contributions {
        sum.add(&grid.quantise(bits, contribution, Rounding::Unbiased, &mut drbg).unwrap()).unwrap();
    }
    OpenedSum::check(grid, sum, contributions.len() as u64, 0).unwrap()
}

#[test]
fn the_mean_of_every_dtype_and_shape_is_right() {
    for dtype in DType::ALL {
        for shape in [&[][..], &[3], &[2, 2], &[0]] {
            let clips: &[(&str, f64)] = if dtype.is_float() || dtype == DType::Bool { &[] } else { &[("w", 100.0)] };
            let grid = made(vec![spec("w", dtype, shape)], 8.0, clips, vec![], 24, 3, None).unwrap();
            let elements: usize = shape.iter().product::<u64>() as usize;
            let encoded = |values: &[f64]| {
                let mut bytes = Vec::new();
                cast::encode(dtype, &values[..elements], &mut bytes);
                bytes
            };
            let (one, two) = (encoded(&[1.0, 0.0, 1.0, 1.0]), encoded(&[0.0, 1.0, 1.0, 0.0]));
            let sum = opened(&grid, &[contribution(&[&one], 1), contribution(&[&two], 3)]);
            assert_eq!((sum.survivors(), sum.weight()), (2, 4));
            let bytes = sum.tensor(&grid, 0);
            let mut means = vec![0.0; elements];
            cast::decode(dtype, &bytes, &mut means);
            let expected = if dtype.is_float() { [0.25, 0.75, 1.0, 0.25] } else { [0.0, 1.0, 1.0, 0.0] };
            for (mean, expected) in means.iter().zip(expected) {
                assert!((mean - expected).abs() < 0.01, "{dtype:?} {shape:?}: {mean} for {expected}");
            }
        }
    }
}

#[test]
fn several_tensors_and_metrics_keep_their_places() {
    let metrics = || {
        [("loss", 0.0, 10.0), ("accuracy", 0.0, 1.0)]
            .map(|(name, low, high)| MetricRange { name: name.into(), low, high })
            .to_vec()
    };
    let specs = vec![spec("a", DType::F32, &[2]), spec("b", DType::F32, &[]), spec("c", DType::F32, &[1500])];
    let grid = made(specs, 1.0, &[("b", 50.0)], metrics(), 24, 10, None).unwrap();
    let (a, b, c) = (f32s(&[0.5, -0.25]), f32s(&[40.0]), f32s(&vec![0.125; 1500]));
    let tensors = [&a[..], &b, &c];
    let with = |metrics| Contribution { tensors: &tensors, start: None, metrics, weight: 10 };
    let sum = opened(&grid, &[with(&[2.0, 0.5]), with(&[4.0, 0.9])]);
    assert!((sum.metric(&grid, 0) - 3.0).abs() < 1e-5 && (sum.metric(&grid, 1) - 0.7).abs() < 1e-5);
    for (index, expected) in [(0, vec![0.5, -0.25]), (1, vec![40.0]), (2, vec![0.125; 1500])] {
        let bytes = sum.tensor(&grid, index);
        let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        assert_eq!(values.len(), expected.len());
        assert!(values.iter().zip(expected).all(|(value, expected)| (value - expected).abs() < 1e-4));
    }
    // a metric outside its range is clipped to it, whatever a node claims
    let sum = opened(&grid, &[with(&[1e300, -5.0])]);
    assert!((sum.metric(&grid, 0) - 10.0).abs() < 1e-5 && sum.metric(&grid, 1).abs() < 1e-5);
}

#[test]
fn rounding_is_unbiased_and_lands_on_the_two_neighbours() {
    let mut drbg = Drbg::repeatable(1);
    for value in [0.25, -0.25, 3.9, -7.01, 5.0, 1e-3] {
        let count = 40_000;
        let rounded: Vec<i64> = (0..count).map(|_| round(value, &mut drbg)).collect();
        assert!(rounded.iter().all(|&r| r as f64 >= value.floor() && r as f64 <= value.ceil()));
        let mean = rounded.iter().sum::<i64>() as f64 / f64::from(count);
        // the variance is at most 1/4: five standard errors
        assert!((mean - value).abs() <= 5.0 * 0.5 / f64::from(count).sqrt(), "{value}: {mean}");
    }
}

#[test]
fn values_beyond_the_clip_count_as_the_clip() {
    let grid = grid(vec![spec("w", DType::F32, &[2])], 0.5, 1);
    let bytes = f32s(&[7.0, -7.0]);
    let sum = opened(&grid, &[contribution(&[&bytes], 1)]);
    assert_eq!([sum.steps(PREAMBLE), sum.steps(PREAMBLE + 1)], [32767, -32767]);
}

#[test]
fn the_whole_update_is_clipped_to_its_norm() {
    let grid = made(vec![spec("w", DType::F32, &[2])], 8.0, &[], vec![], 24, 1, Some(1.0)).unwrap();
    let bytes = f32s(&[3.0, 4.0]);
    let sum = opened(&grid, &[contribution(&[&bytes], 1)]);
    let bytes = sum.tensor(&grid, 0);
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    assert!((values[0] - 0.6).abs() < 1e-5 && (values[1] - 0.8).abs() < 1e-5, "{values:?}");
}

#[test]
fn nothing_that_is_no_number_gets_under_a_mask() {
    let grid = grid(vec![spec("w", DType::F32, &[1])], 1.0, 5);
    let quantise = |bytes: &[u8], weight| {
        grid.quantise(23, &contribution(&[bytes], weight), Rounding::Unbiased, &mut Drbg::new()).map(drop)
    };
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(code(quantise(&f32s(&[value]), 1)), Code::ValueNotFinite);
    }
    for weight in [0, 6, u64::MAX] {
        assert_eq!(code(quantise(&f32s(&[1.0]), weight)), Code::WeightInvalid);
    }
    assert_eq!(code(quantise(&f32s(&[1.0, 2.0]), 1)), Code::NpySizeMismatch);
    assert_eq!(code(quantise(&[], 1)), Code::NpySizeMismatch);
    let none = Contribution { tensors: &[], start: None, metrics: &[], weight: 1 };
    assert_eq!(code(grid.quantise(23, &none, Rounding::Unbiased, &mut Drbg::new())), Code::TensorMissing);
    let metric = MetricRange { name: "m".into(), low: 0.0, high: 1.0 };
    let grid = made(vec![], 1.0, &[], vec![metric], 16, 1, None).unwrap();
    let nan = Contribution { tensors: &[], start: None, metrics: &[f64::NAN], weight: 1 };
    assert_eq!(code(grid.quantise(23, &nan, Rounding::Unbiased, &mut Drbg::new())), Code::ValueNotFinite);
}

#[test]
fn grids_that_make_no_sense_are_refused() {
    let make = |dtype, clip, clips: &[(&str, f64)], bits, weight, norm| {
        code(made(vec![spec("w", dtype, &[1])], clip, clips, vec![], bits, weight, norm))
    };
    assert_eq!(make(DType::I64, 8.0, &[], 16, 1, None), Code::SecaggParameters, "a counter without a range");
    assert_eq!(make(DType::F32, 0.0, &[], 16, 1, None), Code::SecaggParameters);
    assert_eq!(make(DType::F32, f64::NAN, &[], 16, 1, None), Code::SecaggParameters);
    assert_eq!(make(DType::F32, 1.0, &[("v", 1.0)], 16, 1, None), Code::SecaggParameters);
    assert_eq!(make(DType::F32, 1.0, &[], 1, 1, None), Code::SecaggParameters);
    assert_eq!(make(DType::F32, 1.0, &[], 33, 1, None), Code::SecaggParameters);
    assert_eq!(make(DType::F32, 1.0, &[], 16, 0, None), Code::SecaggParameters);
    assert_eq!(make(DType::F32, 1.0, &[], 16, 1, Some(-1.0)), Code::SecaggParameters);
    let metric = MetricRange { name: "m".into(), low: 1.0, high: 1.0 };
    assert_eq!(code(made(vec![], 1.0, &[], vec![metric], 16, 1, None)), Code::SecaggParameters);
}

#[test]
fn weights_scale_to_weight_max_and_never_wrap() {
    let grid = grid(vec![], 1.0, 100);
    for (examples, weight) in [(1, 1), (3, 1), (50, 5), (1000, 100), (994, 99)] {
        assert_eq!(grid.weight_of(examples, 1000).unwrap(), weight, "{examples}");
    }
    for examples in [0, 1001] {
        assert_eq!(code(grid.weight_of(examples, 1000)), Code::WeightInvalid);
    }
}

#[test]
fn a_bounded_rounding_keeps_its_bound() {
    let grid = made(vec![spec("w", DType::F32, &[400])], 1.0, &[], vec![], 8, 1, Some(0.25)).unwrap();
    let bound = grid.norm_bound(1, 0.6).unwrap();
    let bytes = f32s(&[0.0125; 400]);
    let mut drbg = Drbg::repeatable(2);
    let mut longest = 0.0f64;
    for _ in 0..200 {
        let tensors = [&bytes[..]];
        let input = contribution(&tensors, 1);
        let vector = grid.quantise(23, &input, Rounding::Bounded { beta: 0.6 }, &mut drbg).unwrap();
        let squares: i64 = (PREAMBLE..vector.len()).map(|at| vector.signed(at).pow(2)).sum();
        longest = longest.max(squares as f64);
    }
    assert!(longest <= bound.squared, "{longest} {bound:?}");
    assert!(longest > bound.norm.powi(2), "rounding does lengthen");
    let weighted = made(vec![spec("w", DType::F32, &[4])], 1.0, &[], vec![], 8, 2, Some(0.25)).unwrap();
    assert_eq!(code(weighted.norm_bound(1, 0.5)), Code::SecaggParameters);
    assert_eq!(code(norm_bound(1.0, 10, 1.0)), Code::SecaggParameters);
    assert_eq!(code(norm_bound(0.0, 10, 0.5)), Code::SecaggParameters);
    // by hand: c = 10, d = 100, β = e^-1/2: min(400, 100 + 25 + 15)
    assert!((norm_bound(10.0, 100, (-0.5f64).exp()).unwrap().squared - 140.0).abs() < 1e-9);
}

#[test]
fn sums_that_no_honest_cohort_gives_are_refused() {
    let grid = grid(vec![spec("w", DType::F32, &[2])], 1.0, 4);
    let honest = || {
        let mut sum = Residues::new(26, grid.length()).unwrap();
        sum.put(0, &[3, 3, 3, 3, 7, 7 * 32767, -7 * 32767]);
        sum
    };
    assert!(OpenedSum::check(&grid, honest(), 3, 0).is_ok());
    for (slot, value) in [(0, 2), (3, 4), (4, 2), (4, 13), (4, -7), (5, 7 * 32767 + 1), (6, -7 * 32767 - 1)] {
        let mut sum = honest();
        sum.put(slot, &[value]);
        assert_eq!(code(OpenedSum::check(&grid, sum, 3, 0)), Code::SecaggSum, "{slot} {value}");
    }
    let mut noisy = honest();
    noisy.put(5, &[7 * 32767 + 10]);
    assert!(OpenedSum::check(&grid, noisy, 3, 10).is_ok(), "noise may reach beyond, as far as its tail");
    assert_eq!(code(OpenedSum::check(&grid, honest(), 4, 0)), Code::SecaggSum);
    assert_eq!(code(OpenedSum::check(&grid, Residues::new(26, 3).unwrap(), 3, 0)), Code::SecaggSum);
    assert_eq!(code(OpenedSum::check(&grid, Residues::new(26, 7).unwrap(), 0, 0)), Code::SecaggSum);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_weighted_mean_is_within_its_steps(
        updates in proptest::collection::vec((proptest::collection::vec(-4.0f32..4.0, 5), 1u64..=20), 1..12),
    ) {
        let grid = grid(vec![spec("w", DType::F64, &[5])], 4.0, 20);
        let encoded: Vec<Vec<u8>> = updates
            .iter()
            .map(|(values, _)| values.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect())
            .collect();
        let tensors: Vec<[&[u8]; 1]> = encoded.iter().map(|bytes| [&bytes[..]]).collect();
        let contributions: Vec<Contribution> =
            tensors.iter().zip(&updates).map(|(tensors, (_, weight))| contribution(tensors, *weight)).collect();
        let sum = opened(&grid, &contributions);
        let total: f64 = updates.iter().map(|(_, weight)| *weight as f64).sum();
        let bytes = sum.tensor(&grid, 0);
        for (element, raw) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let mean: f64 = updates.iter().map(|(values, weight)| f64::from(values[element]) * *weight as f64).sum::<f64>() / total;
            // each node rounds by less than one step of clip / half-range, unweighted
            let tolerance = 4.0 / 32767.0 * updates.len() as f64 / total + 1e-12;
            prop_assert!((f64::from_le_bytes(*raw) - mean).abs() <= tolerance);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 16), dtype in 0usize..13) {
        let dtype = DType::ALL[dtype];
        let elements = 16 / dtype.size() as u64;
        let grid = made(vec![spec("w", dtype, &[elements])], 1.0, &[("w", 3.0)], vec![], 20, 9, Some(2.0)).unwrap();
        let _ = grid.quantise(40, &contribution(&[&bytes], 9), Rounding::Unbiased, &mut Drbg::new());
    }
}
