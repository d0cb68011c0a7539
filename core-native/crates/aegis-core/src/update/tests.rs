use super::testing::*;
use super::*;
use proptest::prelude::*;

fn code<T>(result: Result<T>) -> Code {
    result.err().expect("refused").code
}

#[test]
fn a_good_update_is_measured() {
    let mut parts = MemoryParts::default();
    let sources =
        [parts.put("1", npy(DType::F32, &[2], &[3.0, -4.0]), "b"), parts.put("2", npy(DType::I8, &[], &[12.0]), "a")];
    let specs = [spec("a", DType::I8, &[]), spec("b", DType::F32, &[2])];
    let facts = validate(&parts, &specs, &sources, Limits { max_norm: Some(13.0) }).unwrap();
    assert_eq!(facts, UpdateFacts { norm: 13.0, elements: 3, largest: 12.0 });
    let error = validate(&parts, &specs, &sources, Limits { max_norm: Some(12.9) }).unwrap_err();
    assert_eq!((error.code, error.fact("norm")), (Code::NormExceeded, Some("13")));
    assert_eq!(code(validate(&parts, &specs, &sources, Limits { max_norm: Some(f64::NAN) })), Code::Argument);
}

#[test]
fn names_shapes_and_types_must_match_exactly() {
    let mut parts = MemoryParts::default();
    let w = parts.put("w", npy(DType::F32, &[3], &[1.0, 2.0, 3.0]), "w");
    let v = parts.put("v", npy(DType::F32, &[3], &[1.0, 2.0, 3.0]), "v");
    let of = |dtype, shape: &[u64]| [spec("w", dtype, shape)];
    let check = |specs: &[TensorSpec], sources: &[TensorSource]| {
        validate(&parts, specs, sources, Limits::default()).unwrap_err()
    };
    assert_eq!(check(&of(DType::F32, &[3]), &[]).code, Code::TensorMissing);
    assert_eq!(check(&of(DType::F32, &[3]), &[w.clone(), v.clone()]).code, Code::TensorUnexpected);
    assert_eq!(check(&of(DType::F32, &[3]), &[w.clone(), w.clone()]).code, Code::TensorDuplicate);
    assert_eq!(check(&of(DType::F64, &[3]), std::slice::from_ref(&w)).code, Code::TensorDtype);
    let error = check(&of(DType::F32, &[4]), std::slice::from_ref(&w));
    assert_eq!(error.code, Code::TensorShape);
    assert_eq!(error.detail, [("tensor", "w".into()), ("expected", "(4,)".into()), ("got", "(3,)".into())]);
}

#[test]
fn nan_and_infinity_are_found_wherever_they_hide() {
    for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for position in [0, 7, 8, 1023, 1024, 20_000, 20_004] {
                let mut values = vec![0.5; 20_005];
                values[position] = bad;
                let mut parts = MemoryParts::default();
                let source = parts.put("p", npy(dtype, &[20_005], &values), "w");
                let error = validate(&parts, &[spec("w", dtype, &[20_005])], &[source], Limits::default()).unwrap_err();
                assert_eq!((error.code, error.fact("tensor")), (Code::ValueNotFinite, Some("w")));
            }
        }
    }
}

#[test]
fn huge_finite_values_have_a_finite_norm() {
    let mut parts = MemoryParts::default();
    let values = [3e200, 4e200, 1.0];
    let source = parts.put("p", npy(DType::F64, &[3], &values), "w");
    let facts = validate(&parts, &[spec("w", DType::F64, &[3])], &[source], Limits::default()).unwrap();
    assert!((facts.norm / 5e200 - 1.0).abs() < 1e-15);
    assert_eq!(facts.largest, 4e200);
}

#[test]
fn bools_are_bytes_zero_and_one() {
    let mut parts = MemoryParts::default();
    let mut bytes = npy(DType::Bool, &[2], &[0.0, 1.0]);
    *bytes.last_mut().unwrap() = 2;
    let source = parts.put("p", bytes, "w");
    assert_eq!(
        code(validate(&parts, &[spec("w", DType::Bool, &[2])], &[source], Limits::default())),
        Code::NpyMalformed
    );
}

#[test]
fn missing_parts_and_wrong_sizes_are_named() {
    let mut parts = MemoryParts::default();
    let whole = npy(DType::F32, &[3], &[1.0, 2.0, 3.0]);
    let length = whole.len() as u64;
    let good = parts.put("p", whole, "w");
    let specs = [spec("w", DType::F32, &[3])];
    let with = |part: &str, offset, length| TensorSource {
        slices: vec![PartSlice { part: part.into(), offset, length }],
        ..good.clone()
    };
    let check = |source| code(validate(&parts, &specs, &[source], Limits::default()));
    assert_eq!(check(with("q", 0, length)), Code::PartUnknown);
    assert_eq!(check(with("p", 0, length + 1)), Code::SliceOutOfRange);
    assert_eq!(check(with("p", 1, length)), Code::SliceOutOfRange);
    assert_eq!(check(with("p", 1, length - 1)), Code::NpyMalformed);
    assert_eq!(check(with("p", u64::MAX, length)), Code::SliceOutOfRange);
    assert_eq!(check(with("p", 0, length - 1)), Code::NpySizeMismatch);
    assert_eq!(check(with("p", 0, 100)), Code::NpyMalformed);
    assert_eq!(check(with("p", 0, 3)), Code::NpyMalformed);
    assert_eq!(check(TensorSource { slices: vec![], ..good.clone() }), Code::NpyMalformed);
}

proptest! {
    #[test]
    fn any_cut_into_slices_reads_the_same(cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let values: Vec<f64> = (0..3000).map(f64::from).collect();
        let whole = npy(DType::F32, &[3000], &values);
        let mut borders: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
        borders.extend([0, whole.len()]);
        borders.sort_unstable();
        let mut parts = MemoryParts::default();
        let mut slices = Vec::new();
        for (number, pair) in borders.windows(2).enumerate() {
            let id = format!("{}", number % 3);
            let part = parts.0.entry(id.clone()).or_default();
            slices.push(PartSlice { part: id, offset: part.len() as u64, length: (pair[1] - pair[0]) as u64 });
            part.extend_from_slice(&whole[pair[0]..pair[1]]);
        }
        let source = TensorSource { name: "w".into(), slices, dtype: None };
        let facts = validate(&parts, &[spec("w", DType::F32, &[3000])], &[source], Limits::default()).unwrap();
        prop_assert_eq!(facts.largest, 2999.0);
    }
}
