use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::model::ModelInfo;
use crate::seal::DataKey;
use crate::tensor::{DType, npy};
use crate::update::testing::{MemoryParts, npy as npy_file, spec};

pub struct Setup {
    pub directory: tempfile::TempDir,
    pub key: DataKey,
    pub parts: MemoryParts,
}

impl Setup {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), key: DataKey::generate(), parts: MemoryParts::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn tensors(&mut self, part: &str, tensors: &[(&str, DType, &[f64])]) -> Vec<TensorSource> {
        let put = |(name, dtype, values): &(&str, DType, &[f64])| {
            let bytes = npy_file(*dtype, &[values.len() as u64], values);
            // Two-byte records are bfloat16 where nobody says otherwise but this.
            TensorSource { dtype: Some(*dtype), ..self.parts.put(&format!("{part}/{name}"), bytes, name) }
        };
        tensors.iter().map(put).collect()
    }

    pub fn fold(&mut self, tensors: &[(&str, DType, &[f64])], clip: f64, weight_max: f64) -> PrivateFold {
        let sources = self.tensors("start", tensors);
        let path = self.path("start");
        crate::model::from_parts(&self.parts, &sources, &path, &self.key).unwrap();
        PrivateFold::open(&ModelReader::open(&path, &self.key).unwrap(), clip, weight_max).unwrap()
    }

    fn finish(&self, fold: &PrivateFold, name: &str, noise_multiplier: f64, denominator: f64) -> Result<Noised> {
        let path = self.path(name);
        let (bits, key) = (None, &self.key);
        fold.finish(&Finish { noise_multiplier, denominator, bits, tree: None, path: &path, key })
    }

    pub fn values(&self, name: &str, info: &ModelInfo) -> Vec<Vec<f64>> {
        let model = ModelReader::open(&self.path(name), &self.key).unwrap();
        let decoded = |tensor: &crate::model::ModelTensor| {
            let bytes = model.read(tensor.offset, tensor.length).unwrap();
            let payload = &bytes[npy::parse_header(&bytes).unwrap().data_offset..];
            let blocks = payload.chunks(BLOCK * tensor.dtype.size());
            blocks
                .flat_map(|block| {
                    let mut out = vec![0.0; block.len() / tensor.dtype.size()];
                    cast::decode(tensor.dtype, block, &mut out);
                    out
                })
                .collect()
        };
        info.tensors.iter().map(decoded).collect()
    }
}

/// Noise that nobody sees: a few steps.
const NEARLY_NONE: f64 = 1e-11;

fn code<T>(result: Result<T>) -> Code {
    result.err().expect("refused").code
}

#[test]
fn the_clipped_sum_over_a_fixed_denominator_is_added_to_the_start_model() {
    for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        let mut setup = Setup::new();
        let fold = setup.fold(&[("a", dtype, &[1.0, 2.0]), ("b", dtype, &[-1.0])], 1.0, 1.0);
        // Within the bound: moved by (0.5, 0, 0.5); then 20 times as long: clipped to length 1.
        let short = setup.tensors("1", &[("a", dtype, &[1.5, 2.0]), ("b", dtype, &[-0.5])]);
        let long = setup.tensors("2", &[("b", dtype, &[-1.0]), ("a", dtype, &[1.0, 22.0])]);
        let added = fold.add(&setup.parts, &short, 7.0).unwrap();
        assert_eq!(added, Added { norm: 0.5f64.sqrt(), clipped: false, weight: 1.0 });
        assert_eq!(fold.add(&setup.parts, &long, 1.0).unwrap(), Added { norm: 20.0, clipped: true, weight: 1.0 });
        let done = setup.finish(&fold, "noised", NEARLY_NONE, 4.0).unwrap();
        assert_eq!((fold.count(), done.found, done.bits), (2, false, None));
        let values = setup.values("noised", &done.model);
        for (got, wanted) in values.concat().iter().zip([1.125, 2.25, -0.875]) {
            assert!((got - wanted).abs() < 2e-3, "{dtype:?}: {values:?}");
        }
    }
}

#[test]
fn weights_count_up_to_the_greatest_one() {
    let mut setup = Setup::new();
    let fold = setup.fold(&[("w", DType::F64, &[0.0])], 1.0, 10.0);
    let update = setup.tensors("1", &[("w", DType::F64, &[0.5])]);
    for (weight, used) in [(4.0, 4.0), (10.0, 10.0), (1000.0, 10.0)] {
        assert_eq!(fold.add(&setup.parts, &update, weight).unwrap().weight, used);
    }
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(code(fold.add(&setup.parts, &update, weight)), Code::WeightInvalid);
    }
    let done = setup.finish(&fold, "noised", NEARLY_NONE, 2.4).unwrap();
    assert!((setup.values("noised", &done.model)[0][0] - 0.5).abs() < 1e-9);
}

#[test]
fn the_noise_has_the_size_that_was_asked_for_and_is_never_drawn_twice() {
    let mut setup = Setup::new();
    let zeros = vec![0.0; 40_000];
    let fold = setup.fold(&[("w", DType::F32, &zeros)], 2.0, 3.0);
    let update = setup.tensors("1", &[("w", DType::F32, &zeros)]);
    assert!(!fold.add(&setup.parts, &update, 1.0).unwrap().clipped, "an update of zeros is legal");
    let first = setup.finish(&fold, "noised", 5.0, 10.0).unwrap();
    let values = setup.values("noised", &first.model).concat();
    // σ = z · clip / denominator, whatever the greatest weight
    let deviation = (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt();
    assert!((deviation - 1.0).abs() < 0.03, "{deviation}");
    let again = setup.finish(&fold, "noised", 1.0, 77.0).unwrap();
    assert_eq!((again.model, again.found), (first.model.clone(), true));
    let other = setup.finish(&fold, "another", 5.0, 10.0).unwrap();
    assert_ne!(other.model.sha256, first.model.sha256, "another path is another release");
    assert_eq!(PrivateFold::found(&setup.path("noised"), &setup.key).unwrap().unwrap().model, first.model);
    assert_eq!(PrivateFold::found(&setup.path("never"), &setup.key).unwrap(), None);
    assert_eq!(code(PrivateFold::found(&setup.path("noised"), &DataKey::generate())), Code::SealBroken);
}

#[test]
fn two_finishes_at_the_same_time_give_one_model() {
    let mut setup = Setup::new();
    let folds: Vec<_> = (0..4).map(|_| setup.fold(&[("w", DType::F32, &[0.0; 5000])], 1.0, 1.0)).collect();
    let setup = &setup;
    let models: Vec<ModelInfo> = std::thread::scope(|scope| {
        let finish = |fold| move || setup.finish(fold, "noised", 1.0, 1.0).unwrap().model;
        let running: Vec<_> = folds.iter().map(|fold| scope.spawn(finish(fold))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(models.iter().all(|model| *model == models[0]));
    let names = std::fs::read_dir(setup.directory.path()).unwrap();
    assert_eq!(names.count(), 2, "the start model and one noised one, nothing unfinished");
}

#[test]
fn bits_get_their_own_noise_and_are_kept() {
    let mut setup = Setup::new();
    let fold = setup.fold(&[("w", DType::F64, &[0.0])], 1.0, 1.0);
    let finish = |name: &str, noise_multiplier| {
        let (path, key) = (setup.path(name), &setup.key);
        let bits = Some(Bits { sum: 600, noise_multiplier });
        fold.finish(&Finish { noise_multiplier: 1.0, denominator: 1.0, bits, tree: None, path: &path, key })
    };
    let first = finish("noised", 20.0).unwrap();
    let bits = first.bits.unwrap();
    assert!((bits - 600).abs() < 200, "{bits}");
    let drawn: std::collections::HashSet<_> =
        (0..20).map(|number| finish(&format!("other {number}"), 20.0).unwrap().bits).collect();
    assert!(drawn.len() > 5);
    assert_eq!(finish("noised", 1.0).unwrap().bits, Some(bits));
    assert_eq!(code(finish("another", 0.0)), Code::Argument);

    // A finish that ended between the bits and the model goes on with the same bits.
    std::fs::remove_file(setup.path("noised")).unwrap();
    let after = finish("noised", 20.0).unwrap();
    assert_eq!((after.bits, after.found), (Some(bits), false));
}

#[test]
fn whole_numbers_are_kept_and_must_not_change() {
    let mut setup = Setup::new();
    let start: &[(&str, DType, &[f64])] =
        &[("steps", DType::I64, &[7.0]), ("mask", DType::Bool, &[1.0, 0.0]), ("w", DType::F32, &[0.0])];
    let fold = setup.fold(start, 1.0, 1.0);
    let kept = setup
        .tensors("1", &[("w", DType::F32, &[0.5]), ("steps", DType::I64, &[7.0]), ("mask", DType::Bool, &[1.0, 0.0])]);
    fold.add(&setup.parts, &kept, 1.0).unwrap();
    let changed = setup
        .tensors("2", &[("w", DType::F32, &[0.5]), ("steps", DType::I64, &[8.0]), ("mask", DType::Bool, &[1.0, 0.0])]);
    let error = fold.add(&setup.parts, &changed, 1.0).unwrap_err();
    assert_eq!((error.code, error.fact("tensor")), (Code::TensorNotNoised, Some("steps")));
    assert_eq!(fold.count(), 1);
    let done = setup.finish(&fold, "noised", 1.0, 1.0).unwrap();
    assert_eq!(setup.values("noised", &done.model)[..2], [vec![7.0], vec![1.0, 0.0]]);
}

#[test]
fn a_refused_update_changes_nothing() {
    let mut setup = Setup::new();
    let fold = setup.fold(&[("a", DType::F64, &[0.0; 3000]), ("b", DType::F64, &[0.0])], 1.0, 1.0);
    let with =
        |setup: &mut Setup, value| setup.tensors("1", &[("a", DType::F64, &[0.01; 3000]), ("b", DType::F64, &[value])]);
    let good = with(&mut setup, 0.5);
    fold.add(&setup.parts, &good, 1.0).unwrap();
    let before = fold.state().sums.clone();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let bad = with(&mut setup, bad);
        let error = fold.add(&setup.parts, &bad, 1.0).unwrap_err();
        assert_eq!((error.code, error.fact("tensor")), (Code::ValueNotFinite, Some("b")));
    }
    let huge = setup.tensors("1", &[("a", DType::F64, &[1.7e308; 3000]), ("b", DType::F64, &[0.0])]);
    assert_eq!(code(fold.add(&setup.parts, &huge, 1.0)), Code::ValueNotFinite, "the norm is beyond f64");
    assert_eq!(code(fold.add(&setup.parts, &huge[..1], 1.0)), Code::TensorMissing);
    assert_eq!(fold.state().sums, before);
    assert_eq!(fold.count(), 1);
}

#[test]
fn numbers_that_make_no_sense_are_refused_before_anything_is_written() {
    let mut setup = Setup::new();
    let fold = setup.fold(&[("w", DType::F32, &[0.0])], 1.0, 1.0);
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(code(setup.finish(&fold, "noised", bad, 1.0)), Code::Argument);
        assert_eq!(code(setup.finish(&fold, "noised", 1.0, bad)), Code::Argument);
        let model = ModelReader::open(&setup.path("start"), &setup.key).unwrap();
        assert_eq!(code(PrivateFold::open(&model, bad, 1.0)), Code::Argument);
        assert_eq!(code(PrivateFold::open(&model, 1.0, bad)), Code::Argument);
    }
    assert!(!setup.path("noised").exists());
    let sources = setup.tensors("nan", &[("w", DType::F32, &[f64::NAN])]);
    let path = setup.path("nan");
    if crate::model::from_parts(&setup.parts, &sources, &path, &setup.key).is_ok() {
        let model = ModelReader::open(&path, &setup.key).unwrap();
        assert_eq!(code(PrivateFold::open(&model, 1.0, 1.0)), Code::ValueNotFinite);
    }
}

#[test]
fn results_beyond_the_element_type_are_its_greatest_value() {
    let mut setup = Setup::new();
    let fold = setup.fold(&[("w", DType::F16, &[60_000.0; 500])], 1.0, 1.0);
    let done = setup.finish(&fold, "noised", 1e9, 1.0).unwrap_err();
    assert_eq!(done.code, Code::Argument, "more noise than can be drawn exactly");
    let done = setup.finish(&fold, "noised", 4000.0, 1e-3).unwrap();
    let values = setup.values("noised", &done.model).concat();
    assert!(values.iter().all(|value| value.is_finite()) && values.contains(&65_504.0));
}

#[test]
fn fortran_order_adds_the_same_steps() {
    let shape = [5, 3, 4];
    let values: Vec<f64> = (0..60).map(|i| f64::from(i).sin()).collect();
    let mut fortran = npy_file(DType::F32, &shape, &[]);
    let text = String::from_utf8_lossy(&fortran[10..]).replace("'fortran_order': False", "'fortran_order': True ");
    fortran.splice(10.., text.into_bytes());
    let order: Vec<f64> = FortranWalk::new(&shape).take(60).map(|at| values[at as usize]).collect();
    cast::encode(DType::F32, &order, &mut fortran);
    let mut setup = Setup::new();
    let start: Vec<f64> = (0..60).map(f64::from).collect();
    let begin = setup.parts.put("start", npy_file(DType::F32, &shape, &start), "w");
    let path = setup.path("start");
    crate::model::from_parts(&setup.parts, &[begin], &path, &setup.key).unwrap();
    let model = ModelReader::open(&path, &setup.key).unwrap();
    let sources =
        [setup.parts.put("c", npy_file(DType::F32, &shape, &values), "w"), setup.parts.put("f", fortran, "w")];
    let sums = sources.map(|source| {
        let fold = PrivateFold::open(&model, 10.0, 1.0).unwrap();
        fold.add(&setup.parts, &[source], 1.0).unwrap();
        fold.state().sums.clone()
    });
    assert_eq!(sums[0], sums[1]);
    assert_eq!(spec("w", DType::F32, &shape).elements(), 60);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn the_sum_does_not_depend_on_the_order(
        updates in proptest::collection::vec((proptest::collection::vec(-1e3f64..1e3, 7), 0.1f64..5.0), 1..12),
        seed in any::<u64>(),
    ) {
        let mut setup = Setup::new();
        let mut sums_of = |order: &[usize]| {
            let fold = setup.fold(&[("w", DType::F64, &[0.25; 7])], 10.0, 3.0);
            for &number in order {
                let (values, weight) = &updates[number];
                let sources = setup.tensors(&number.to_string(), &[("w", DType::F64, values)]);
                fold.add(&setup.parts, &sources, *weight).unwrap();
            }
            let state = fold.state();
            (state.sums.clone(), state.count)
        };
        let mut order: Vec<usize> = (0..updates.len()).collect();
        let first = sums_of(&order);
        order.sort_by_key(|&number| (number as u64 + 1).wrapping_mul(seed | 1));
        prop_assert_eq!(sums_of(&order), first);
    }
}
