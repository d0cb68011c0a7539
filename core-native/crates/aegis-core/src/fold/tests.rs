use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::model::ModelReader;
use crate::tensor::npy;
use crate::update::testing::{MemoryParts, npy as npy_file, spec};
use crate::update::{PartRead, PartSlice};

struct Setup {
    directory: tempfile::TempDir,
    key: DataKey,
}

impl Setup {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), key: DataKey::generate() }
    }

    /// The mean, as the decoded values of every tensor, and its identity.
    fn mean(&self, fold: &Fold) -> (Vec<Vec<f64>>, String) {
        let path = self.directory.path().join("mean");
        let info = fold.write_model(&path, &self.key).unwrap();
        let model = ModelReader::open(&path, &self.key).unwrap();
        let values = info.tensors.iter().map(|tensor| {
            let bytes = model.read(tensor.offset, tensor.length).unwrap();
            let header = npy::parse_header(&bytes).unwrap();
            let mut values = Vec::new();
            for block in bytes[header.data_offset..].chunks(BLOCK * tensor.dtype.size()) {
                let mut out = vec![0.0; block.len() / tensor.dtype.size()];
                cast::decode(tensor.dtype, block, &mut out);
                values.extend(out);
            }
            values
        });
        (values.collect(), info.sha256)
    }
}

fn code<T>(result: Result<T>) -> Code {
    result.err().expect("refused").code
}

#[test]
fn the_weighted_mean_of_every_dtype() {
    let setup = Setup::new();
    for dtype in DType::ALL {
        let mut parts = MemoryParts::default();
        let fold = Fold::new(vec![spec("w", dtype, &[3])]).unwrap();
        let one = parts.put("1", npy_file(dtype, &[3], &[0.0, 1.0, 1.0]), "w");
        let two = parts.put("2", npy_file(dtype, &[3], &[1.0, 0.0, 1.0]), "w");
        fold.add(&parts, &[one], 1.0).unwrap();
        fold.add(&parts, &[two], 3.0).unwrap();
        assert_eq!((fold.count(), fold.total_weight()), (2, 4.0));
        let expected = if dtype.is_float() { [0.75, 0.25, 1.0] } else { [1.0, 0.0, 1.0] };
        assert_eq!(setup.mean(&fold).0, [expected], "{dtype:?}");
    }
}

#[test]
fn nothing_folded_has_no_mean() {
    let setup = Setup::new();
    let fold = Fold::new(vec![spec("w", DType::F32, &[3])]).unwrap();
    let path = setup.directory.path().join("mean");
    assert_eq!(code(fold.write_model(&path, &setup.key)), Code::NothingFolded);
    assert!(!path.exists());
}

#[test]
fn weights_outside_their_range_are_refused() {
    let mut parts = MemoryParts::default();
    let source = [parts.put("1", npy_file(DType::F32, &[1], &[1.0]), "w")];
    let fold = Fold::new(vec![spec("w", DType::F32, &[1])]).unwrap();
    for weight in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, MAX_WEIGHT * 1.5] {
        assert_eq!(code(fold.add(&parts, &source, weight)), Code::WeightInvalid, "{weight}");
    }
    fold.add(&parts, &source, MAX_WEIGHT).unwrap();
    fold.add(&parts, &source, f64::MIN_POSITIVE).unwrap();
}

#[test]
fn a_refused_update_changes_nothing() {
    let setup = Setup::new();
    let mut parts = MemoryParts::default();
    let fold = Fold::new(vec![spec("a", DType::F64, &[2000]), spec("b", DType::F64, &[1])]).unwrap();
    let good = |parts: &mut MemoryParts, value: f64| {
        [
            parts.put("a", npy_file(DType::F64, &[2000], &[value; 2000]), "a"),
            parts.put("b", npy_file(DType::F64, &[1], &[value]), "b"),
        ]
    };
    let sources = good(&mut parts, 0.1);
    fold.add(&parts, &sources, 7.0).unwrap();
    let before = setup.mean(&fold);
    // The last element of the last tensor is what is wrong, after much that is right and large.
    good(&mut parts, 1e200);
    parts.put("b", npy_file(DType::F64, &[1], &[f64::NAN]), "b");
    assert_eq!(code(fold.add(&parts, &sources, 1.0)), Code::ValueNotFinite);
    good(&mut parts, 1e300);
    assert_eq!(code(fold.add(&parts, &sources, 1e10)), Code::ValueNotFinite, "the product overflows");
    assert_eq!(code(fold.add(&parts, &sources[..1], 1.0)), Code::TensorMissing);
    assert_eq!(setup.mean(&fold), before);
    assert_eq!((fold.count(), fold.total_weight()), (1, 7.0));
}

#[test]
fn fortran_order_folds_to_the_same_bits_as_c_order() {
    let setup = Setup::new();
    let shape = [70, 3, 11];
    let values: Vec<f64> = (0..70 * 3 * 11).map(|i| f64::from(i).sin() * 10f64.powi(i % 40 - 20)).collect();
    let mut fortran = npy_file(DType::F32, &shape, &[]);
    let text = String::from_utf8_lossy(&fortran[10..]).replace("'fortran_order': False", "'fortran_order': True ");
    fortran.splice(10.., text.into_bytes());
    let order: Vec<f64> = FortranWalk::new(&shape).take(values.len()).map(|at| values[at as usize]).collect();
    cast::encode(DType::F32, &order, &mut fortran);
    let mut parts = MemoryParts::default();
    let c = parts.put("c", npy_file(DType::F32, &shape, &values), "w");
    let f = parts.put("f", fortran, "w");
    let folded = |source: &TensorSource| {
        let fold = Fold::new(vec![spec("w", DType::F32, &shape)]).unwrap();
        fold.add(&parts, std::slice::from_ref(source), 3.0).unwrap();
        fold.add(&parts, std::slice::from_ref(&c), 5.0).unwrap();
        setup.mean(&fold)
    };
    assert_eq!(folded(&c), folded(&f));
}

#[test]
fn bfloat16_is_read_from_two_byte_records() {
    let setup = Setup::new();
    let mut parts = MemoryParts::default();
    let source = parts.put("p", npy_file(DType::BF16, &[2], &[1.5, -2.0]), "w");
    let fold = Fold::new(vec![spec("w", DType::BF16, &[2])]).unwrap();
    fold.add(&parts, std::slice::from_ref(&source), 2.0).unwrap();
    assert_eq!(setup.mean(&fold).0, [[1.5, -2.0]]);
    let half = Fold::new(vec![spec("w", DType::F16, &[2])]).unwrap();
    assert_eq!(code(half.add(&parts, &[source], 2.0)), Code::TensorDtype);
}

#[test]
fn empty_and_scalar_tensors_fold() {
    let setup = Setup::new();
    let mut parts = MemoryParts::default();
    let fold = Fold::new(vec![spec("e", DType::F32, &[0, 4]), spec("s", DType::F64, &[])]).unwrap();
    let sources = [
        parts.put("1", npy_file(DType::F64, &[], &[2.5]), "s"),
        parts.put("2", npy_file(DType::F32, &[0, 4], &[]), "e"),
    ];
    fold.add(&parts, &sources, 1.0).unwrap();
    assert_eq!(setup.mean(&fold).0, [vec![], vec![2.5]]);
}

#[test]
fn a_full_fold_takes_no_more() {
    let mut parts = MemoryParts::default();
    let source = [parts.put("1", npy_file(DType::F32, &[1], &[1.0]), "w")];
    let fold = Fold::new(vec![spec("w", DType::F32, &[1])]).unwrap();
    lock(&fold.tally).count = CAPACITY - 1;
    fold.add(&parts, &source, 1.0).unwrap();
    assert_eq!(code(fold.add(&parts, &source, 1.0)), Code::TooManyUpdates);
    assert_eq!(fold.count(), CAPACITY);
}

#[test]
fn models_that_cannot_be_summed_are_refused() {
    assert_eq!(code(Fold::new(vec![spec("w", DType::F32, &[1]), spec("w", DType::F32, &[1])])), Code::TensorDuplicate);
    assert_eq!(code(Fold::new(vec![spec("w", DType::F32, &[1 << 39])])), Code::TensorTooLarge);
}

/// Parts that break after so many reads, as a dying disk would; they count what is read.
struct DyingParts {
    parts: MemoryParts,
    reads_left: std::sync::Arc<std::sync::atomic::AtomicI64>,
}

struct DyingPart(crate::update::testing::MemoryPart, std::sync::Arc<std::sync::atomic::AtomicI64>);

impl Parts for DyingParts {
    type Reader = DyingPart;

    fn part(&self, id: &str) -> Result<DyingPart> {
        Ok(DyingPart(self.parts.part(id)?, std::sync::Arc::clone(&self.reads_left)))
    }

    fn identity(&self) -> Option<u64> {
        Some(7)
    }
}

impl PartRead for DyingPart {
    fn length(&self) -> u64 {
        self.0.length()
    }

    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> Result<()> {
        if self.1.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(Error::new(Code::Io, "the disk died"));
        }
        self.0.read_at(offset, out)
    }
}

#[test]
fn an_update_breaking_off_half_way_never_becomes_a_mean() {
    let setup = Setup::new();
    let mut parts = MemoryParts::default();
    let sources = [
        parts.put("1", npy_file(DType::F32, &[9], &[1.0; 9]), "a"),
        parts.put("2", npy_file(DType::F32, &[9], &[1.0; 9]), "b"),
    ];
    let reads_left = std::sync::Arc::new(1000.into());
    let parts = DyingParts { parts, reads_left: std::sync::Arc::clone(&reads_left) };
    let fold = Fold::new(vec![spec("a", DType::F32, &[9]), spec("b", DType::F32, &[9])]).unwrap();
    fold.check(&parts, &sources, Limits::default()).unwrap();
    let reads_of_one_pass = 1000 - reads_left.load(Ordering::SeqCst);
    reads_left.store(reads_of_one_pass, Ordering::SeqCst);
    fold.add(&parts, &sources, 1.0).unwrap(); // verified before: one pass is enough
    reads_left.store(reads_of_one_pass - 1, Ordering::SeqCst);
    assert_eq!(code(fold.add(&parts, &sources, 1.0)), Code::Io);
    reads_left.store(1000, Ordering::SeqCst);
    assert_eq!(code(fold.add(&parts, &sources, 1.0)), Code::Io);
    assert_eq!(code(fold.write_model(&setup.directory.path().join("m"), &setup.key)), Code::Io);
}

/// Values over the whole range of f32, subnormals included.
fn single() -> impl Strategy<Value = f64> {
    any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |value| value.is_finite()).prop_map(f64::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_order_of_updates_gives_the_same_model(
        updates in proptest::collection::vec(
            (proptest::collection::vec(single(), 40), prop_oneof![1u64..100, 1u64..1 << 53]), 1..9,
        ).prop_flat_map(|updates| (Just(updates.clone()), Just(updates).prop_shuffle())),
    ) {
        let setup = Setup::new();
        let mean = |updates: &[(Vec<f64>, u64)]| {
            let mut parts = MemoryParts(HashMap::new());
            let fold = Fold::new(vec![spec("a", DType::F32, &[5, 7]), spec("b", DType::F32, &[5])]).unwrap();
            for (values, weight) in updates {
                let whole = [npy_file(DType::F32, &[5, 7], &values[..35]), npy_file(DType::F32, &[5], &values[35..])];
                let (first, second) = (whole[0].len() as u64, whole[1].len() as u64);
                parts.0.insert("p".into(), whole.concat());
                let source = |name: &str, offset, length| TensorSource {
                    name: name.into(),
                    slices: vec![PartSlice { part: "p".into(), offset, length }],
                    dtype: None,
                };
                fold.add(&parts, &[source("b", first, second), source("a", 0, first)], *weight as f64).unwrap();
            }
            (setup.mean(&fold).1, fold.total_weight())
        };
        prop_assert_eq!(mean(&updates.0), mean(&updates.1));
    }

    #[test]
    fn the_mean_of_one_update_is_the_update(values in proptest::collection::vec(-1e30f32..1e30, 1..50), weight in 1u32..1 << 29) {
        let setup = Setup::new();
        let values: Vec<f64> = values.into_iter().map(|value| f64::from(value as i32 as f32)).collect();
        let shape = [values.len() as u64];
        let mut parts = MemoryParts::default();
        let source = parts.put("p", npy_file(DType::F32, &shape, &values), "w");
        let fold = Fold::new(vec![spec("w", DType::F32, &shape)]).unwrap();
        fold.add(&parts, &[source], f64::from(weight)).unwrap();
        prop_assert_eq!(setup.mean(&fold).0, [values]);
    }
}
