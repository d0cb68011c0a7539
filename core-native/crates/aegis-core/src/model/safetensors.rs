//! The safetensors format (Hugging Face, version 0.3 and later): a JSON header and the tensors' bytes, without holes.
//!
//! `length u64 ‖ header {name: {dtype, shape, data_offsets: [begin, end]}, …, "__metadata__"?: {…}} ‖ data`

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::ModelTensor;
use crate::error::{Code, Error, Result};
use crate::tensor::{DType, TensorSpec, npy};

/// Longest header: some 100 bytes a tensor.
const MAX_HEADER: u64 = 16 << 20;

/// safetensors' names of our element types.
const NAMES: [(DType, &str); 13] = [
    (DType::F16, "F16"),
    (DType::BF16, "BF16"),
    (DType::F32, "F32"),
    (DType::F64, "F64"),
    (DType::I8, "I8"),
    (DType::I16, "I16"),
    (DType::I32, "I32"),
    (DType::I64, "I64"),
    (DType::U8, "U8"),
    (DType::U16, "U16"),
    (DType::U32, "U32"),
    (DType::U64, "U64"),
    (DType::Bool, "BOOL"),
];

pub struct Layout<'a> {
    /// In the order of the header.
    pub tensors: Vec<LaidOut>,
    pub data: &'a [u8],
}

pub struct LaidOut {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<u64>,
    pub range: Range<usize>,
}

/// Checks everything the format promises: no duplicate names, sizes as shapes say, data covered exactly once.
pub fn parse(bytes: &[u8]) -> Result<Layout<'_>> {
    let (length, rest) = bytes.split_first_chunk().ok_or_else(|| malformed("shorter than its length field"))?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER || length > rest.len() as u64 {
        return Err(malformed("header too long").with("length", length));
    }
    let (header, data) = rest.split_at(length as usize);
    let Header(entries) = serde_json::from_slice(header).map_err(|error| {
        let duplicate = error.to_string().contains(DUPLICATE);
        if duplicate {
            Error::new(Code::TensorDuplicate, "the file has a tensor twice")
        } else {
            malformed("header is not what the format says")
        }
    })?;
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        tensors.push(entry.lay_out(name, data.len() as u64)?);
    }
    let mut ranges: Vec<_> = tensors.iter().map(|tensor| tensor.range.clone()).collect();
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let end = ranges.iter().try_fold(0, |end, range| (range.start == end).then_some(range.end));
    if end != Some(data.len()) {
        return Err(malformed("the tensors do not cover the data exactly once"));
    }
    Ok(Layout { tensors, data })
}

/// Length field and header for a model's tensors in their order, padded with blanks to a multiple of 8.
pub fn write_header(tensors: &[ModelTensor]) -> Vec<u8> {
    let mut text = String::from("{");
    let mut begin = 0;
    for (position, tensor) in tensors.iter().enumerate() {
        let (_, dtype) = NAMES[NAMES.iter().position(|(dtype, _)| *dtype == tensor.dtype).expect("all are named")];
        let end = begin + payload_bytes(tensor);
        let name = serde_json::Value::from(tensor.name.as_str());
        let shape = serde_json::Value::from(tensor.shape.as_slice());
        let comma = if position == 0 { "" } else { "," };
        text += &format!(r#"{comma}{name}:{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#);
        begin = end;
    }
    text.push('}');
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// The part of a tensor's npy file behind its header.
pub fn payload_bytes(tensor: &ModelTensor) -> u64 {
    tensor.length - npy::write_header(tensor.dtype, &tensor.shape).len() as u64
}

fn malformed(reason: &str) -> Error {
    Error::new(Code::SafetensorsMalformed, "not a valid safetensors file").with("reason", reason)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl Entry {
    fn lay_out(self, name: String, available: u64) -> Result<LaidOut> {
        let dtype = NAMES.iter().find(|(_, known)| *known == self.dtype).map(|(dtype, _)| *dtype).ok_or_else(|| {
            Error::new(Code::NpyUnsupportedDtype, "this element type is not supported")
                .with("tensor", &name)
                .with("dtype", self.dtype.chars().take(32).collect::<String>())
        })?;
        let spec = TensorSpec::new(name, dtype, self.shape)?;
        let [begin, end] = self.data_offsets;
        if begin > end || end > available || end - begin != spec.payload_bytes() {
            return Err(malformed("data_offsets do not fit shape and dtype").with("tensor", spec.name()));
        }
        let range = begin as usize..end as usize;
        Ok(LaidOut { name: spec.name().into(), dtype, shape: spec.shape().into(), range })
    }
}

const DUPLICATE: &str = "tensor name repeated";

/// A JSON object whose order matters and whose keys may not repeat, neither of which a map type would keep.
struct Header(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
                let mut entries = Vec::new();
                let mut names = std::collections::HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        return Err(serde::de::Error::custom(DUPLICATE));
                    }
                    if name == "__metadata__" {
                        map.next_value::<std::collections::HashMap<String, String>>()?;
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
