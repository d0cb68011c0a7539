//! What an update is, and whether it may be folded: names, shapes, types, sizes, finite values, bounded norm.
//!
//! An update is read from its parts block by block; no tensor is ever held whole.

use std::collections::{HashMap, HashSet};

use crate::error::{Code, Error, Result};
use crate::tensor::cast::{self, BLOCK};
use crate::tensor::npy::{self, NpyHeader, PREFIX_BYTES};
use crate::tensor::{DType, TensorSpec, show_shape};

/// Where parts are read from: the intake log, or memory in tests.
pub trait Parts {
    type Reader: PartRead;

    /// [`Code::PartUnknown`] if there is none of that id.
    fn part(&self, id: &str) -> Result<Self::Reader>;

    /// Distinguishes this source from every other one in the process, if its parts can never change. What was verified under
    /// an identity stays verified.
    fn identity(&self) -> Option<u64> {
        None
    }
}

pub trait PartRead {
    fn length(&self) -> u64;
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> Result<()>;
}

#[derive(Clone, Debug)]
pub struct PartSlice {
    pub part: String,
    pub offset: u64,
    pub length: u64,
}

/// The slices, joined, are one complete `.npy` file.
#[derive(Clone, Debug)]
pub struct TensorSource {
    pub name: String,
    pub slices: Vec<PartSlice>,
    /// What two-byte records (`V2`) hold, for readers that have no spec to tell them.
    pub dtype: Option<DType>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Largest L2 norm over all elements of all tensors.
    pub max_norm: Option<f64>,
}

/// What validation learned. `norm` is the L2 norm, `largest` the greatest magnitude, over all elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateFacts {
    pub norm: f64,
    pub elements: u64,
    pub largest: f64,
}

/// Validates a whole update against `specs`; names may come in any order. Reads every byte, changes nothing.
pub fn validate(
    parts: &impl Parts,
    specs: &[TensorSpec],
    sources: &[TensorSource],
    limits: Limits,
) -> Result<UpdateFacts> {
    if limits.max_norm.is_some_and(|limit| limit.is_nan() || limit < 0.0) {
        return Err(Error::new(Code::Argument, "a norm bound is a number from 0 up"));
    }
    let mut measure = Measure::default();
    for (spec, source) in match_names(specs, sources)? {
        let mut tensor = TensorReader::open_as(parts, source, spec)?;
        tensor
            .each_block(|_, bytes| {
                let mut values = [0.0; BLOCK];
                let values = &mut values[..bytes.len() / spec.dtype().size()];
                check_bools(spec.dtype(), bytes)?;
                cast::decode(spec.dtype(), bytes, values);
                measure.add(values)
            })
            .map_err(|error| error.with("tensor", spec.name()))?;
    }
    let facts = measure.facts();
    match limits.max_norm {
        Some(limit) if facts.norm > limit => {
            Err(Error::new(Code::NormExceeded, "the update is longer than the norm bound allows")
                .with("norm", facts.norm)
                .with("limit", limit))
        }
        _ => Ok(facts),
    }
}

/// Pairs every spec with its source, in the order of the specs.
pub fn match_names<'a>(
    specs: &'a [TensorSpec],
    sources: &'a [TensorSource],
) -> Result<Vec<(&'a TensorSpec, &'a TensorSource)>> {
    let mut by_name = HashMap::with_capacity(sources.len());
    for source in sources {
        if by_name.insert(source.name.as_str(), source).is_some() {
            return Err(Error::new(Code::TensorDuplicate, "a tensor comes twice").with("tensor", &source.name));
        }
    }
    let known: HashSet<_> = specs.iter().map(TensorSpec::name).collect();
    if let Some(extra) = sources.iter().find(|source| !known.contains(source.name.as_str())) {
        return Err(Error::new(Code::TensorUnexpected, "the model has no such tensor").with("tensor", &extra.name));
    }
    specs
        .iter()
        .map(|spec| match by_name.get(spec.name()) {
            Some(source) => Ok((spec, *source)),
            None => {
                Err(Error::new(Code::TensorMissing, "a tensor of the model is missing").with("tensor", spec.name()))
            }
        })
        .collect()
}

/// A bool is a byte 0 or 1, as numpy writes it. Others are refused rather than normalised: they would make two files of one
/// array, and the same model would have two identities.
pub fn check_bools(dtype: DType, bytes: &[u8]) -> Result<()> {
    if dtype == DType::Bool && bytes.iter().any(|&byte| byte > 1) {
        return Err(Error::new(Code::NpyMalformed, "not a valid npy file").with("reason", "a bool other than 0 and 1"));
    }
    Ok(())
}

/// One tensor, its header read, its payload still ahead.
pub struct TensorReader<'a, P: Parts> {
    pub header: NpyHeader,
    bytes: JoinedReader<'a, P>,
}

impl<'a, P: Parts> TensorReader<'a, P> {
    /// Reads the header and checks that the slices hold exactly what it declares.
    pub fn open(parts: &'a P, source: &'a TensorSource) -> Result<Self> {
        Self::read_header(parts, source).map_err(|error| error.with("tensor", &source.name))
    }

    /// Like [`TensorReader::open`], and checks shape and element type.
    pub fn open_as(parts: &'a P, source: &'a TensorSource, spec: &TensorSpec) -> Result<Self> {
        let tensor = Self::open(parts, source)?;
        if !tensor.header.descr.is(spec.dtype()) {
            return Err(Error::new(Code::TensorDtype, "the tensor has another element type than the model")
                .with("tensor", spec.name())
                .with("expected", spec.dtype().as_str())
                .with("got", tensor.header.descr.as_str()));
        }
        if tensor.header.shape != spec.shape() {
            return Err(Error::new(Code::TensorShape, "the tensor has another shape than the model")
                .with("tensor", spec.name())
                .with("expected", show_shape(spec.shape()))
                .with("got", show_shape(&tensor.header.shape)));
        }
        Ok(tensor)
    }

    /// Calls `fold(first element, bytes)` for blocks of [`BLOCK`] elements (the last may be shorter), in file order.
    pub fn each_block(&mut self, mut fold: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        const BLOCKS_PER_READ: usize = 16;
        let block_bytes = BLOCK * self.header.descr.size();
        let mut left = self.header.payload_bytes();
        let mut buffer = vec![0; left.min((block_bytes * BLOCKS_PER_READ) as u64) as usize];
        let mut element = 0;
        while left > 0 {
            let read = left.min(buffer.len() as u64) as usize;
            self.bytes.read(&mut buffer[..read])?;
            for block in buffer[..read].chunks(block_bytes) {
                fold(element, block)?;
                element += BLOCK as u64;
            }
            left -= read as u64;
        }
        Ok(())
    }

    fn read_header(parts: &'a P, source: &'a TensorSource) -> Result<Self> {
        let mut bytes = JoinedReader::new(parts, &source.slices)?;
        let total = bytes.left;
        let mut head = vec![0; total.min(PREFIX_BYTES as u64) as usize];
        bytes.read(&mut head)?;
        let length = npy::header_length(&head)?;
        let known = head.len().min(length);
        if length as u64 > total {
            return Err(Error::new(Code::NpyMalformed, "not a valid npy file").with("reason", "header cut off"));
        }
        head.resize(length.max(known), 0);
        bytes.read(&mut head[known..])?;
        let header = npy::parse_header(&head)?;
        header.check_size(total)?;
        Ok(Self { header, bytes })
    }
}

/// Slices of parts, one after the other, front to back. Keeps one part open at a time.
struct JoinedReader<'a, P: Parts> {
    parts: &'a P,
    slices: std::slice::Iter<'a, PartSlice>,
    current: Option<(&'a str, P::Reader)>,
    position: u64,
    left_in_slice: u64,
    left: u64,
}

impl<'a, P: Parts> JoinedReader<'a, P> {
    fn new(parts: &'a P, slices: &'a [PartSlice]) -> Result<Self> {
        let left = slices
            .iter()
            .try_fold(0u64, |sum, slice| sum.checked_add(slice.length))
            .ok_or_else(|| Error::new(Code::SliceOutOfRange, "the slices are longer together than 64 bits can say"))?;
        Ok(Self { parts, slices: slices.iter(), current: None, position: 0, left_in_slice: 0, left })
    }

    /// Fills `out`; the caller asks for no more than is left.
    fn read(&mut self, mut out: &mut [u8]) -> Result<()> {
        self.left -= out.len() as u64;
        while !out.is_empty() {
            if self.left_in_slice == 0 {
                self.next_slice()?;
                continue;
            }
            let Some((_, reader)) = &mut self.current else {
                unreachable!("a slice with bytes left has its part open")
            };
            let taken = self.left_in_slice.min(out.len() as u64) as usize;
            let (now, later) = out.split_at_mut(taken);
            reader.read_at(self.position, now)?;
            out = later;
            self.position += taken as u64;
            self.left_in_slice -= taken as u64;
        }
        Ok(())
    }

    fn next_slice(&mut self) -> Result<()> {
        let Some(slice) = self.slices.next() else { unreachable!("the sum of the slices is what is left") };
        if self.current.as_ref().is_none_or(|(part, _)| *part != slice.part) {
            self.current = Some((&slice.part, self.parts.part(&slice.part)?));
        }
        let available = self.current.as_ref().map_or(0, |(_, reader)| reader.length());
        if slice.offset.checked_add(slice.length).is_none_or(|end| end > available) {
            return Err(Error::new(Code::SliceOutOfRange, "the slice ends beyond its part")
                .with("part", &slice.part)
                .with("offset", slice.offset)
                .with("length", slice.length)
                .with("available", available));
        }
        self.position = slice.offset;
        self.left_in_slice = slice.length;
        Ok(())
    }
}

/// Sums squares in eight lanes, which the compiler turns into vector instructions.
///
/// Squares of magnitudes beyond 2^500 are summed apart and scaled by 2^-1200, so that a finite update has a finite norm
/// unless the norm itself is out of range (Blue 1978, "A portable Fortran program to find the Euclidean norm of a vector").
#[derive(Default)]
struct Measure {
    squares: f64,
    large_squares: f64,
    largest: f64,
    elements: u64,
}

const LANES: usize = 8;
const LARGE: f64 = f64::from_bits((1023 + 500) << 52);
const LARGE_SCALE: f64 = f64::from_bits((1023 - 600) << 52);

impl Measure {
    fn add(&mut self, values: &[f64]) -> Result<()> {
        self.elements += values.len() as u64;
        let mut squares = [0.0; LANES];
        let mut largest = [0.0; LANES];
        let chunks = values.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for lane in 0..LANES {
                let value = chunk[lane];
                squares[lane] += value * value;
                largest[lane] = if value.abs() > largest[lane] { value.abs() } else { largest[lane] };
            }
        }
        for (lane, &value) in rest.iter().enumerate() {
            squares[lane] += value * value;
            largest[lane] = if value.abs() > largest[lane] { value.abs() } else { largest[lane] };
        }
        let sum: f64 = squares.iter().sum();
        let block_largest = largest.into_iter().fold(self.largest, f64::max);
        // NaN and infinity survive squaring and summing, so one test a block finds them.
        if !sum.is_finite() && values.iter().any(|value| !value.is_finite()) {
            return Err(Error::new(Code::ValueNotFinite, "the tensor holds NaN or infinity"));
        }
        if largest.into_iter().any(|value| value > LARGE) {
            self.large_squares += values.iter().map(|value| (value * LARGE_SCALE).powi(2)).sum::<f64>();
        } else {
            self.squares += sum;
        }
        self.largest = block_largest;
        Ok(())
    }

    fn facts(&self) -> UpdateFacts {
        let norm = if self.large_squares == 0.0 {
            self.squares.sqrt()
        } else {
            (self.large_squares + self.squares * LARGE_SCALE * LARGE_SCALE).sqrt() / LARGE_SCALE
        };
        UpdateFacts { norm, elements: self.elements, largest: self.largest }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Parts in memory.
    #[derive(Default)]
    pub struct MemoryParts(pub HashMap<String, Vec<u8>>);

    pub struct MemoryPart(Vec<u8>);

    impl Parts for MemoryParts {
        type Reader = MemoryPart;

        fn part(&self, id: &str) -> Result<MemoryPart> {
            let bytes = self.0.get(id).ok_or_else(|| Error::new(Code::PartUnknown, "no such part").with("part", id))?;
            Ok(MemoryPart(bytes.clone()))
        }
    }

    impl PartRead for MemoryPart {
        fn length(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&mut self, offset: u64, out: &mut [u8]) -> Result<()> {
            out.copy_from_slice(&self.0[offset as usize..][..out.len()]);
            Ok(())
        }
    }

    impl MemoryParts {
        /// Stores one tensor as a part of its own.
        pub fn put(&mut self, part: &str, npy: Vec<u8>, tensor: &str) -> TensorSource {
            let slices = vec![PartSlice { part: part.into(), offset: 0, length: npy.len() as u64 }];
            self.0.insert(part.into(), npy);
            TensorSource { name: tensor.into(), slices, dtype: None }
        }
    }

    pub fn npy(dtype: DType, shape: &[u64], values: &[f64]) -> Vec<u8> {
        let mut bytes = npy::write_header(dtype, shape);
        cast::encode(dtype, values, &mut bytes);
        bytes
    }

    pub fn spec(name: &str, dtype: DType, shape: &[u64]) -> TensorSpec {
        TensorSpec::new(name, dtype, shape.to_vec()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;
    use proptest::prelude::*;

    fn code<T>(result: Result<T>) -> Code {
        result.err().expect("refused").code
    }

    #[test]
    fn a_good_update_is_measured() {
        let mut parts = MemoryParts::default();
        let sources = [
            parts.put("1", npy(DType::F32, &[2], &[3.0, -4.0]), "b"),
            parts.put("2", npy(DType::I8, &[], &[12.0]), "a"),
        ];
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
                    let error =
                        validate(&parts, &[spec("w", dtype, &[20_005])], &[source], Limits::default()).unwrap_err();
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
}
