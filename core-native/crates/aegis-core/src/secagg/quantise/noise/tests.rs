use super::*;
use crate::secagg::quantise::tests::{code, f32s, made, spec};
use crate::secagg::quantise::{Contribution, Grid, GridOptions, MetricRange, OpenedSum, Rounding};
use crate::tensor::{DType, TensorSpec};

/// Each bound below is missed with probability e^-21.5 at most, and two of them with less than 10^-9.
const LOG_CHANCE: f64 = 21.5;

fn noised(elements: u64, norm: f64, sigma: f64) -> Grid {
    let options = GridOptions { norm_clip: Some(norm), noise_sigma: Some(sigma), ..GridOptions::uniform(1.0, 16) };
    Grid::new(vec![spec("w", DType::F32, &[elements])], options).unwrap()
}

/// Nodes that all put this under their masks, and who of them is in the sum.
fn sum_of(grid: &Grid, cohort: u64, survivors: u64, bytes: &[u8]) -> OpenedSum {
    let bits = grid.modulus(cohort, 0).unwrap().bits;
    let mut sum = Residues::new(bits, grid.length()).unwrap();
    for _ in 0..survivors {
        let input = Contribution { tensors: &[bytes], start: None, metrics: &[], weight: 1 };
        sum.add(&grid.quantise(bits, &input, Rounding::Unbiased, &mut Drbg::new()).unwrap()).unwrap();
    }
    OpenedSum::check(grid, sum, survivors, 0).unwrap()
}

/// Σx² of d sums of sub-Gaussian noise with variance v: above v(d + 2√(dx) + 2x) with probability e^-x at most (Laurent and Massart 2000,
/// whose bound on the moments holds for sub-Gaussian variables), below v(d − √(6dx)) as well (Bernstein, with a fourth moment of 3v² at most).
fn assert_variance(squares: f64, dimension: f64, variance: f64) {
    let (most, least) = (
        dimension + 2.0 * (dimension * LOG_CHANCE).sqrt() + 2.0 * LOG_CHANCE,
        dimension - (6.0 * dimension * LOG_CHANCE).sqrt(),
    );
    let seen = squares / variance;
    assert!(seen > least && seen < most, "{least} < {seen} < {most}");
}

#[test]
fn the_sum_of_zero_updates_has_the_noise_of_its_survivors_and_of_nobody_else() {
    let (elements, sigma) = (60_000, 37.5);
    let grid = noised(elements, 0.25, sigma);
    let zero = f32s(&vec![0.0; elements as usize]);
    for survivors in [2, 5, 8] {
        let sum = sum_of(&grid, 8, survivors, &zero);
        let steps = |at| sum.steps(PREAMBLE + at) as f64;
        let squares: f64 = (0..elements as usize).map(|at| steps(at).powi(2)).sum();
        assert_variance(squares, elements as f64, survivors as f64 * sigma * sigma);
        // and is nobody's twice: neighbours in the vector do not go together
        let products: f64 = (1..elements as usize).map(|at| steps(at - 1) * steps(at)).sum();
        let correlation = products / squares * (elements as f64).sqrt();
        assert!(correlation.abs() < 7.0, "{correlation} standard deviations");
    }
}

#[test]
fn shares_differ_from_node_to_node_and_from_draw_to_draw() {
    let grid = noised(64, 0.25, 10.0);
    let zero = f32s(&[0.0; 64]);
    let input = Contribution { tensors: &[&zero], start: None, metrics: &[], weight: 1 };
    let draw = || grid.quantise(23, &input, Rounding::Unbiased, &mut Drbg::new()).unwrap();
    assert_ne!(draw(), draw());
}

#[test]
fn what_is_under_the_noise_is_within_the_sensitivity_that_is_accounted() {
    // noise of σ = 4 on a long update: the vector is no longer than Δ₂ + what the noise may be
    let elements = 4_000;
    let grid = noised(elements, 0.5, 4.0);
    let bytes = f32s(&vec![1.0; elements as usize]);
    let bound = grid.noise(1).unwrap();
    let sum = sum_of(&grid, 1, 1, &bytes);
    let square = |at| (sum.steps(PREAMBLE + at) as f64).powi(2);
    let norm = (0..elements as usize).map(square).sum::<f64>().sqrt();
    let tail = 4.0 * (elements as f64 + 2.0 * (elements as f64 * LOG_CHANCE).sqrt() + 2.0 * LOG_CHANCE).sqrt();
    assert!(norm <= bound.l2 + tail, "{norm} {bound:?} {tail}");
    assert!(norm >= bound.l2 * 0.9, "it is clipped, and not to nothing");
}

#[test]
fn a_share_makes_the_noise_that_was_asked_for_with_as_many_as_were_counted() {
    let plain = made(vec![spec("w", DType::F32, &[1000])], 1.0, &[], vec![], 16, 1, Some(0.5)).unwrap();
    for (multiplier, honest) in [(0.5, 1), (1.0, 2), (1.7, 70), (30.0, 9_000)] {
        let share = plain.noise_share(multiplier, honest).unwrap();
        let noise = noised(1000, 0.5, share).noise(honest).unwrap();
        assert!(noise.noise_multiplier >= multiplier, "{noise:?}");
        assert!(noise.noise_multiplier < multiplier * 1.001, "{noise:?}");
        assert_eq!(share * 1024.0, (share * 1024.0).round());
        assert_eq!((noise.parties, noise.dimension, noise.local_sigma), (honest, 1000, share));
        // fewer of them are less noise
        assert!(honest == 1 || noised(1000, 0.5, share).noise(honest - 1).unwrap().noise_multiplier < multiplier);
    }
    for (multiplier, honest) in [(1.0, 0), (f64::NAN, 3), (1e-6, 3), (0.0, 3), (1e300, 3)] {
        assert_eq!(code(plain.noise_share(multiplier, honest)), Code::SecaggParameters);
    }
    assert_eq!(code(plain.noise(3)), Code::SecaggParameters);
    assert_eq!(code(noised(10, 0.5, 8.0).noise(0)), Code::SecaggParameters);
}

#[test]
fn the_modulus_has_room_for_the_noise_of_all_and_the_check_for_that_of_the_survivors() {
    let (quiet, loud) = (noised(1000, 0.5, 4.0), noised(1000, 0.5, 1e6));
    let (few, many) = (quiet.modulus(10, 0).unwrap(), loud.modulus(10, 0).unwrap());
    assert!(many.noise > 10 * 1_000_000 && many.bits > few.bits, "{few:?} {many:?}");
    assert_eq!(loud.modulus(10, 5).unwrap().noise, many.noise + 5);
    assert_eq!(code(noised(1000, 0.5, 4e15).modulus(1 << 30, 0)), Code::SecaggParameters);
    let beyond = |grid: &Grid, value: i64| {
        let mut sum = Residues::new(40, grid.length()).unwrap();
        sum.put(0, &[2, 2, 2, 2, 2, value]);
        OpenedSum::check(grid, sum, 2, 0).map(drop)
    };
    assert!(beyond(&loud, 2 * 32_767 + 5_000_000).is_ok());
    assert_eq!(code(beyond(&loud, 2 * 32_767 + 50_000_000)), Code::SecaggSum);
    assert_eq!(code(beyond(&quiet, 2 * 32_767 + 5_000_000)), Code::SecaggSum);
}

#[test]
fn noise_that_would_promise_nothing_is_refused() {
    let options = |noise_sigma, norm_clip| GridOptions {
        norm_clip,
        noise_sigma: Some(noise_sigma),
        ..GridOptions::uniform(1.0, 16)
    };
    let one = || vec![spec("w", DType::F32, &[4])];
    let refused = |specs: Vec<TensorSpec>, options| assert_eq!(code(Grid::new(specs, options)), Code::SecaggParameters);
    assert!(Grid::new(one(), options(8.0, Some(1.0))).is_ok());
    for sigma in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
        refused(one(), options(sigma, Some(1.0)));
    }
    refused(one(), options(8.0, None));
    refused(vec![], options(8.0, Some(1.0)));
    refused(one(), GridOptions { weight_max: 2, ..options(8.0, Some(1.0)) });
    let metrics = vec![MetricRange { name: "loss".into(), low: 0.0, high: 1.0 }];
    refused(one(), GridOptions { metrics, ..options(8.0, Some(1.0)) });
    let own_clips = [("w".to_string(), 2.0)].into();
    refused(
        vec![spec("w", DType::F32, &[4]), spec("v", DType::F32, &[4])],
        GridOptions { own_clips, ..options(8.0, Some(1.0)) },
    );
    refused(vec![spec("w", DType::Bool, &[4])], options(8.0, Some(1.0)));
}

#[test]
fn tensors_are_divided_by_what_was_promised_and_not_by_who_came() {
    let grid = made(vec![spec("w", DType::F64, &[1])], 1.0, &[], vec![], 16, 1, None).unwrap();
    let mut sum = Residues::new(23, grid.length()).unwrap();
    sum.put(0, &[3, 3, 3, 3, 3, 3 * 32_767]);
    let opened = || OpenedSum::check(&grid, sum.clone(), 3, 0).unwrap();
    let value = |sum: OpenedSum| f64::from_le_bytes(sum.tensor(&grid, 0).try_into().unwrap());
    assert_eq!(value(opened()), 1.0);
    assert_eq!(value(opened().over(6.0).unwrap()), 0.5);
    for nothing in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(code(opened().over(nothing)), Code::Argument);
    }
}
