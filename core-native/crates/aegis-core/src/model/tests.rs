//! Models against files their own libraries wrote (`tests/vectors/tensors.json`), and against damage.

use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::error::{Code, Result};
use crate::seal::DataKey;
use crate::tensor::npy;
use crate::update::testing::{MemoryParts, npy as npy_file};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../../tests/vectors/tensors.json")).unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let digits = hex.as_str().unwrap();
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

struct Bench {
    directory: tempfile::TempDir,
    key: DataKey,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), key: DataKey::generate() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("model")
    }

    fn open(&self) -> ModelReader {
        ModelReader::open(&self.path(), &self.key).unwrap()
    }

    fn tensors(&self, tensors: &[(&str, &[u8])]) -> Result<ModelInfo> {
        let named = |&(name, npy)| NamedNpy { name, npy, dtype: None };
        from_tensors(&tensors.iter().map(named).collect::<Vec<_>>(), &self.path(), &self.key)
    }
}

fn code<T>(result: Result<T>) -> Code {
    result.err().expect("refused").code
}

#[test]
fn numpy_files_are_read_and_rewritten_byte_for_byte() {
    let vectors = vectors();
    let bench = Bench::new();
    for array in vectors["arrays"].as_array().unwrap() {
        let name = text(&array["name"]);
        let file = bytes(&array["npy_hex"]);
        let dtype = DType::parse(text(&array["dtype"])).unwrap();
        let shape: Vec<u64> = array["shape"].as_array().unwrap().iter().map(|axis| axis.as_u64().unwrap()).collect();
        let header = npy::parse_header(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(header.descr.is(dtype), "{name}");
        assert_eq!(
            (&header.shape, Value::from(header.fortran_order)),
            (&shape, array["fortran_order"].clone()),
            "{name}"
        );
        header.check_size(file.len() as u64).unwrap();

        let hint = (dtype == DType::BF16).then_some(dtype);
        let info = from_tensors(&[NamedNpy { name, npy: &file, dtype: hint }], &bench.path(), &bench.key).unwrap();
        let body = bench.open().read(0, info.bytes).unwrap();
        let canonical = [npy::write_header(dtype, &shape), bytes(&array["c_order_hex"])].concat();
        assert_eq!(body, canonical, "{name}");
        if file[6] == 1 && !header.fortran_order {
            assert_eq!(body, file, "{name}: what numpy itself wrote");
        }
    }
}

#[test]
fn bad_numpy_files_are_refused_by_their_code() {
    let bench = Bench::new();
    for bad in vectors()["bad"].as_array().unwrap() {
        let refused = bench.tensors(&[("w", &bytes(&bad["npy_hex"]))]).unwrap_err();
        assert_eq!(refused.code.as_str(), text(&bad["code"]), "{}", bad["name"]);
        assert!(!bench.path().exists(), "nothing is left behind");
        assert_eq!(fs::read_dir(bench.directory.path()).unwrap().count(), 0);
    }
}

#[test]
fn the_same_model_has_the_same_identity_from_every_origin() {
    let bench = Bench::new();
    let model = &vectors()["model"];
    let names: Vec<&str> = model["names"].as_array().unwrap().iter().map(text).collect();
    let files: Vec<Vec<u8>> = model["npy_hex"].as_array().unwrap().iter().map(bytes).collect();
    let pairs: Vec<(&str, &[u8])> = names.iter().copied().zip(files.iter().map(Vec::as_slice)).collect();
    let expected = bench.tensors(&pairs).unwrap();
    assert_eq!(expected.tensors.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), names);

    for archive in ["savez_hex", "savez_compressed_hex"] {
        assert_eq!(
            from_npz(&bytes(&model[archive]), &bench.path(), &bench.key, MAX_UNPACKED).unwrap(),
            expected,
            "{archive}"
        );
    }
    let mut parts = MemoryParts::default();
    let sources: Vec<_> = pairs.iter().map(|(name, file)| parts.put(name, file.to_vec(), name)).collect();
    assert_eq!(from_parts(&parts, &sources, &bench.path(), &bench.key).unwrap(), expected);

    // safetensors sorts when it writes, so its model is another one: the same tensors in that order.
    let safetensors =
        from_safetensors(&bytes(&model["safetensors_hex"]), &bench.path(), &bench.key, MAX_UNPACKED).unwrap();
    let by_name = |name: &str| pairs.iter().copied().find(|(known, _)| *known == name).unwrap();
    let sorted: Vec<_> = safetensors.tensors.iter().map(|tensor| by_name(&tensor.name)).collect();
    assert_eq!(bench.tensors(&sorted).unwrap(), safetensors);
    assert_ne!(safetensors.sha256, expected.sha256);
}

#[test]
fn exports_read_back_as_the_same_model() {
    let bench = Bench::new();
    let out = bench.directory.path().join("export");
    let expected = from_npz(&bytes(&vectors()["model"]["savez_hex"]), &bench.path(), &bench.key, MAX_UNPACKED).unwrap();
    export_npz(&bench.open(), &out).unwrap();
    assert_eq!(from_npz(&fs::read(&out).unwrap(), &bench.path(), &bench.key, MAX_UNPACKED).unwrap(), expected);
    export_safetensors(&bench.open(), &out).unwrap();
    assert_eq!(from_safetensors(&fs::read(&out).unwrap(), &bench.path(), &bench.key, MAX_UNPACKED).unwrap(), expected);
}

#[test]
fn bfloat16_models_pass_through_safetensors() {
    let bench = Bench::new();
    let model = &vectors()["model"];
    let original = bytes(&model["safetensors_bf16_hex"]);
    let info = from_safetensors(&original, &bench.path(), &bench.key, MAX_UNPACKED).unwrap();
    assert_eq!(info.tensors[0].dtype, DType::BF16);
    let reader = bench.open();
    assert_eq!(reader.read(0, info.bytes).unwrap(), bytes(&model["bf16_npy_hex"]));
    let out = bench.directory.path().join("export");
    export_safetensors(&reader, &out).unwrap();
    assert_eq!(fs::read(&out).unwrap(), original);
    export_npz(&reader, &out).unwrap();
    let npz = fs::read(&out).unwrap();
    assert_eq!(
        code(from_npz(&npz, &bench.path(), &bench.key, MAX_UNPACKED)),
        Code::NpyUnsupportedDtype,
        "npy cannot say bfloat16"
    );
}

#[test]
fn equal_bytes_under_other_names_or_types_are_other_models() {
    let bench = Bench::new();
    let identity = |tensors: &[(&str, Vec<u8>)]| {
        let tensors: Vec<_> = tensors.iter().map(|(name, npy)| (*name, npy.as_slice())).collect();
        bench.tensors(&tensors).unwrap().sha256
    };
    let zeros = |dtype, shape: &[u64]| npy_file(dtype, shape, &vec![0.0; shape.iter().product::<u64>() as usize]);
    let identities = std::collections::HashSet::from([
        identity(&[]),
        identity(&[("w", zeros(DType::F32, &[4]))]),
        identity(&[("v", zeros(DType::F32, &[4]))]),
        identity(&[("w", zeros(DType::I32, &[4]))]),
        identity(&[("w", zeros(DType::F32, &[2, 2]))]),
        identity(&[("w", zeros(DType::F32, &[4])), ("v", zeros(DType::F32, &[4]))]),
        identity(&[("v", zeros(DType::F32, &[4])), ("w", zeros(DType::F32, &[4]))]),
    ]);
    assert_eq!(identities.len(), 7);
}

#[test]
fn damaged_truncated_or_foreign_files_are_broken() {
    let bench = Bench::new();
    let npy = npy_file(DType::F32, &[400_000], &vec![1.0; 400_000]);
    bench.tensors(&[("w", &npy)]).unwrap();
    let file = fs::read(bench.path()).unwrap();
    let opened = |bytes: &[u8]| {
        fs::write(bench.path(), bytes).unwrap();
        ModelReader::open(&bench.path(), &bench.key)
    };
    for length in [0, 100, 1 << 20, file.len() - 1] {
        assert_eq!(code(opened(&file[..length])), Code::SealBroken);
    }
    let mut damaged = file.clone();
    damaged[1000] ^= 1;
    let reader = opened(&damaged).unwrap();
    assert_eq!(code(reader.read(0, 10)), Code::SealBroken);
    reader.read(1_100_000, 10).unwrap();
    crate::seal::seal_file(&bench.path(), b"not a model, but as long as a trailer", &bench.key, "aegis model v1")
        .unwrap();
    assert_eq!(code(ModelReader::open(&bench.path(), &bench.key)), Code::SealBroken);
    opened(&file).unwrap();
    assert_eq!(code(ModelReader::open(&bench.path(), &DataKey::generate())), Code::SealBroken);
}

#[test]
fn reads_stay_inside_the_body() {
    let bench = Bench::new();
    let npy = npy_file(DType::F32, &[2], &[1.0, 2.0]);
    let info = bench.tensors(&[("w", &npy)]).unwrap();
    let reader = bench.open();
    assert_eq!(reader.read(128, 8).unwrap(), npy[128..]);
    for (offset, length) in [(0, info.bytes + 1), (info.bytes, 1), (u64::MAX, 1), (0, u64::MAX)] {
        assert_eq!(code(reader.read(offset, length)), Code::SliceOutOfRange);
    }
}

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    zip(entries, CompressionMethod::Deflated)
}

fn stored(entries: &[(&str, &[u8])]) -> Vec<u8> {
    zip(entries, CompressionMethod::Stored)
}

fn zip(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default().compression_method(method);
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn archives_that_are_no_models_are_refused() {
    let bench = Bench::new();
    let npz = |bytes: &[u8]| code(from_npz(bytes, &bench.path(), &bench.key, MAX_UNPACKED));
    let good = npy_file(DType::F32, &[2], &[1.0, 2.0]);
    assert_eq!(npz(b""), Code::NpzMalformed);
    assert_eq!(npz(b"PK\x05\x06 and so on"), Code::NpzMalformed);
    assert_eq!(npz(&archive(&[("w", &good)])), Code::NpzMalformed);
    assert_eq!(npz(&archive(&[(".npy", &good)])), Code::Argument, "a tensor has a name");
    assert_eq!(npz(&archive(&[("w.npy", b"short")])), Code::NpyMalformed);
    assert_eq!(npz(&archive(&[("w.npy", &good[..good.len() - 1])])), Code::NpySizeMismatch);
    // Two entries of one name: written as two, then renamed in both places a zip names it.
    let mut twice = archive(&[("wa.npy", &good), ("wb.npy", &good)]);
    let places: Vec<_> = twice.windows(6).enumerate().filter(|(_, name)| name == b"wb.npy").map(|(at, _)| at).collect();
    places.into_iter().for_each(|at| twice[at + 1] = b'a');
    assert_eq!(npz(&twice), Code::TensorDuplicate);
    // A checksum that does not hold.
    let whole = archive(&[("w.npy", &good)]);
    let at = whole.windows(4).position(|magic| magic == b"PK\x01\x02").unwrap() + 16;
    let mut wrong = whole.clone();
    wrong[at] ^= 1;
    assert_eq!(npz(&wrong), Code::NpzMalformed);
    // A declared size beyond every limit, in the central directory.
    let mut bomb = whole;
    bomb[at + 8..at + 12].copy_from_slice(&0xffff_fffeu32.to_le_bytes());
    assert_eq!(npz(&bomb), Code::TensorTooLarge);
}

#[test]
fn files_that_unpack_to_more_than_allowed_are_refused_before_anything_is_written() {
    let bench = Bench::new();
    let zeros = npy_file(DType::F32, &[1 << 20], &vec![0.0; 1 << 20]);
    let (bomb, plain) = (archive(&[("w.npy", &zeros)]), stored(&[("w.npy", &zeros)]));
    let size = zeros.len() as u64;
    assert!((bomb.len() as u64) < size / 200, "a few kilobytes that stand for megabytes");
    let imported = |npz: &[u8], limit| from_npz(npz, &bench.path(), &bench.key, limit);
    assert_eq!(code(imported(&bomb, MAX_UNPACKED)), Code::TensorTooLarge);
    assert_eq!(code(imported(&plain, size - 1)), Code::TensorTooLarge);
    let safetensors = [&2u64.to_le_bytes()[..], b"{}"].concat();
    assert_eq!(code(from_safetensors(&safetensors, &bench.path(), &bench.key, 9)), Code::TensorTooLarge);
    assert!(!bench.path().exists());
    from_safetensors(&safetensors, &bench.path(), &bench.key, 10).unwrap();
    imported(&plain, size).unwrap();
    // What nobody would build a bomb of is not measured by its ratio.
    let small = npy_file(DType::F32, &[1 << 17], &vec![0.0; 1 << 17]);
    imported(&archive(&[("w.npy", &small)]), MAX_UNPACKED).unwrap();
}

#[test]
fn safetensors_headers_must_be_exact() {
    let bench = Bench::new();
    let file = |header: &str, data: usize| {
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat();
        from_safetensors(&bytes, &bench.path(), &bench.key, MAX_UNPACKED)
    };
    let entry = |name: &str, begin: u64, end: u64| {
        format!(r#""{name}":{{"dtype":"F32","shape":[{}],"data_offsets":[{begin},{end}]}}"#, (end - begin) / 4)
    };
    let (a, b) = (entry("a", 8, 12), entry("b", 0, 8));
    let names = |info: ModelInfo| info.tensors.into_iter().map(|tensor| tensor.name).collect::<Vec<_>>();
    assert_eq!(names(file(&format!(r#"{{"__metadata__":{{"format":"pt"}},{a},{b}}}"#), 12).unwrap()), ["a", "b"]);
    file("{}", 0).unwrap();
    for (header, data) in [
        (format!("{{{a},{b}}}"), 11),
        (format!("{{{a},{b}}}"), 13),
        (format!("{{{a}}}"), 12),
        (format!("{{{},{}}}", entry("a", 0, 8), entry("b", 4, 12)), 12),
        (r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#.into(), 8),
        (r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}"#.into(), 8),
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#.into(), 8),
        (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}"#.into(), 8),
        (r#"{"__metadata__":{"n":1}}"#.into(), 0),
        ("[]".into(), 0),
        ("{".into(), 0),
    ] {
        assert_eq!(code(file(&header, data)), Code::SafetensorsMalformed, "{header}");
    }
    assert_eq!(code(file(&format!("{{{b},{b}}}"), 8)), Code::TensorDuplicate);
    assert_eq!(
        code(file(r#"{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}"#, 1)),
        Code::NpyUnsupportedDtype
    );
    assert_eq!(
        code(file(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#, 0)),
        Code::TensorTooLarge
    );
    assert_eq!(code(from_safetensors(&[255; 40], &bench.path(), &bench.key, MAX_UNPACKED)), Code::SafetensorsMalformed);
}

fn mutate(mut bytes: Vec<u8>, edits: &[(prop::sample::Index, u8)], cut: Option<prop::sample::Index>) -> Vec<u8> {
    for (at, byte) in edits {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn mutated_files_never_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let bench = Bench::new();
        let model = &vectors()["model"];
        for archive in ["savez_hex", "savez_compressed_hex"] {
            let _ = from_npz(&mutate(bytes(&model[archive]), &edits, cut), &bench.path(), &bench.key, MAX_UNPACKED);
        }
        let _ = from_safetensors(&mutate(bytes(&model["safetensors_hex"]), &edits, cut), &bench.path(), &bench.key, MAX_UNPACKED);
        let _ = bench.tensors(&[("w", &mutate(bytes(&model["npy_hex"][0]), &edits, cut))]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bench = Bench::new();
        let _ = from_npz(&bytes, &bench.path(), &bench.key, MAX_UNPACKED);
        let _ = from_safetensors(&bytes, &bench.path(), &bench.key, MAX_UNPACKED);
        let _ = bench.tensors(&[("w", &bytes)]);
    }
}
