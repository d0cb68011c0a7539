//! numpy's `.npy` format (NEP 1; versions 1.0, 2.0, 3.0): header in, header out. Payloads are never copied here.
//!
//! Little-endian only: a big-endian descr is refused as NPY_UNSUPPORTED_DTYPE, it does not occur on any client we serve.
//! A bool payload holds bytes 0 and 1 only, as numpy writes it; others are refused where payloads are read (`update`, `model`).

use std::borrow::Cow;

use super::{DType, FortranWalk, TensorSpec, count_elements, show_shape};
use crate::error::{Code, Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Bytes that tell how long the header is, in every version.
pub const PREFIX_BYTES: usize = 12;
/// Longest header dictionary accepted; 64 dimensions take less than 2 KiB.
pub const MAX_HEADER: usize = 64 << 10;
/// numpy aligns the payload to this.
const ALIGN: usize = 64;
/// Room numpy leaves for the growing axis, so that an array can be appended to in place.
const GROWTH_DIGITS: usize = 21;

/// The element type a header names. numpy writes bfloat16 arrays as anonymous two-byte records (`V2`): which they are
/// only a spec can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descr {
    Known(DType),
    Void2,
}

impl Descr {
    pub fn as_str(self) -> &'static str {
        match self {
            Descr::Known(dtype) => dtype.as_str(),
            Descr::Void2 => "<V2",
        }
    }

    pub fn size(self) -> usize {
        match self {
            Descr::Known(dtype) => dtype.size(),
            Descr::Void2 => 2,
        }
    }

    /// The element type, given what the spec says.
    pub fn is(self, expected: DType) -> bool {
        match self {
            Descr::Known(dtype) => dtype == expected,
            Descr::Void2 => expected == DType::BF16,
        }
    }

    /// The element type where no spec exists, but perhaps a hint, which must be right.
    pub fn resolve(self, hint: Option<DType>) -> Result<DType> {
        match (self, hint) {
            (_, Some(hint)) if self.is(hint) => Ok(hint),
            (_, Some(hint)) => Err(Error::new(Code::TensorDtype, "the tensor has another element type than said")
                .with("expected", hint.as_str())
                .with("got", self.as_str())),
            (Descr::Known(dtype), None) => Ok(dtype),
            (Descr::Void2, None) => Err(unsupported("<V2").with("hint", "say bfloat16 if that is what it holds")),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpyHeader {
    pub descr: Descr,
    pub shape: Vec<u64>,
    pub fortran_order: bool,
    /// Where the payload starts.
    pub data_offset: usize,
    pub elements: u64,
}

impl NpyHeader {
    pub fn payload_bytes(&self) -> u64 {
        self.elements * self.descr.size() as u64
    }

    /// [`Code::NpySizeMismatch`] unless a file of `file_bytes` holds exactly this header and its payload.
    pub fn check_size(&self, file_bytes: u64) -> Result<()> {
        let expected = self.data_offset as u64 + self.payload_bytes();
        if file_bytes == expected {
            return Ok(());
        }
        Err(Error::new(Code::NpySizeMismatch, "the payload is not what shape and dtype declare")
            .with("expected", expected)
            .with("got", file_bytes))
    }
}

/// The elements of a whole file in C order, which is how most files have them already. It must be of the shape and the element type of
/// `spec`.
pub fn elements<'a>(file: &'a [u8], spec: &TensorSpec) -> Result<Cow<'a, [u8]>> {
    let header = parse_header(file)?;
    header.check_size(file.len() as u64)?;
    if !header.descr.is(spec.dtype()) {
        return Err(Error::new(Code::TensorDtype, "the tensor has another element type than the model")
            .with("tensor", spec.name())
            .with("expected", spec.dtype().as_str())
            .with("got", header.descr.as_str()));
    }
    if header.shape != spec.shape() {
        return Err(Error::new(Code::TensorShape, "the tensor has another shape than the model")
            .with("tensor", spec.name())
            .with("expected", show_shape(spec.shape()))
            .with("got", show_shape(&header.shape)));
    }
    let payload = &file[header.data_offset..];
    // one axis longer than 1 has one order; numpy marks some such arrays Fortran all the same
    if !header.fortran_order || header.shape.iter().filter(|&&axis| axis > 1).count() <= 1 {
        return Ok(Cow::Borrowed(payload));
    }
    let size = spec.dtype().size();
    let mut ordered = vec![0; payload.len()];
    for (element, at) in payload.chunks_exact(size).zip(FortranWalk::new(&header.shape)) {
        ordered[at as usize * size..][..size].copy_from_slice(element);
    }
    Ok(Cow::Owned(ordered))
}

/// Length of everything before the payload, from the first [`PREFIX_BYTES`] of a file (a shorter file is malformed).
pub fn header_length(prefix: &[u8]) -> Result<usize> {
    let prefix: &[u8; PREFIX_BYTES] = prefix.first_chunk().ok_or_else(|| malformed("shorter than any npy file"))?;
    if !prefix.starts_with(MAGIC) {
        return Err(malformed("no npy magic"));
    }
    let (start, length) = match (prefix[6], prefix[7]) {
        (1, 0) => (10, usize::from(u16::from_le_bytes([prefix[8], prefix[9]]))),
        (2 | 3, 0) => (12, u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]) as usize),
        (major, minor) => return Err(malformed("unknown version").with("version", format!("{major}.{minor}"))),
    };
    if length > MAX_HEADER {
        return Err(malformed("header too long").with("length", length));
    }
    Ok(start + length)
}

/// Parses the header at the front of `bytes`, which may go on with the payload or end before it.
pub fn parse_header(bytes: &[u8]) -> Result<NpyHeader> {
    let data_offset = header_length(bytes)?;
    let header = bytes.get(..data_offset).ok_or_else(|| malformed("header cut off"))?;
    let dictionary = &header[if header[6] == 1 { 10 } else { 12 }..];
    // Version 1 and 2 are Latin-1, 3 is UTF-8: the same for every header we accept, since all of its tokens are ASCII.
    let text = std::str::from_utf8(dictionary).map_err(|_| malformed("header is not text"))?;
    let (descr, fortran_order, shape) = Parser { rest: text }.dictionary()?;
    let elements = count_elements(&shape)?;
    Ok(NpyHeader { descr: parse_descr(&descr)?, shape, fortran_order, data_offset, elements })
}

/// The version 1.0 header numpy itself writes for a C-ordered array, byte for byte.
pub fn write_header(dtype: DType, shape: &[u64]) -> Vec<u8> {
    let descr = if dtype == DType::BF16 { "<V2" } else { dtype.as_str() };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {}, }}", show_shape(shape));
    if let Some(growing) = shape.first() {
        let spare = GROWTH_DIGITS.saturating_sub(growing.to_string().len());
        text.extend(std::iter::repeat_n(' ', spare));
    }
    let before = MAGIC.len() + 4;
    // An already aligned header still gets a full line of padding: numpy computes `64 - length % 64`.
    let padding = ALIGN - (before + text.len() + 1) % ALIGN;
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    let length = u16::try_from(text.len()).expect("64 dimensions fit a version 1.0 header");
    [&MAGIC[..], &[1, 0], &length.to_le_bytes(), text.as_bytes()].concat()
}

fn malformed(reason: &str) -> Error {
    Error::new(Code::NpyMalformed, "not a valid npy file").with("reason", reason)
}

fn unsupported(descr: &str) -> Error {
    let shown: String = descr.chars().take(32).collect();
    Error::new(Code::NpyUnsupportedDtype, "this element type is not supported").with("dtype", shown)
}

fn parse_descr(descr: &str) -> Result<Descr> {
    if descr.trim_start_matches(['|', '<', '>', '=']) == "O" {
        return Err(Error::new(Code::NpyObjectDtype, "object arrays hold code, not numbers").with("dtype", descr));
    }
    match descr {
        "<V2" | "|V2" => return Ok(Descr::Void2),
        // One byte has no order; older writers put any mark.
        "<i1" | "=i1" => return Ok(Descr::Known(DType::I8)),
        "<u1" | "=u1" => return Ok(Descr::Known(DType::U8)),
        "<b1" | "=b1" => return Ok(Descr::Known(DType::Bool)),
        _ => {}
    }
    DType::parse(descr).map(Descr::Known).map_err(|_| unsupported(descr))
}

/// The one Python literal a header is: `{'descr': …, 'fortran_order': …, 'shape': …}`, keys in any order.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn dictionary(mut self) -> Result<(String, bool, Vec<u64>)> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.accept('}') {
            let key = self.string()?;
            self.expect(':')?;
            let repeated = match key {
                "descr" => descr.replace(self.descr()?).is_some(),
                "fortran_order" => fortran.replace(self.boolean()?).is_some(),
                "shape" => shape.replace(self.shape()?).is_some(),
                _ => return Err(malformed("unknown header key")),
            };
            if repeated {
                return Err(malformed("repeated header key"));
            }
            if !self.accept(',') {
                self.expect('}')?;
                break;
            }
        }
        // Python takes blanks on a last line that does not end for an indent.
        if !self.rest.trim_end_matches('\n').trim_matches(' ').is_empty() {
            return Err(malformed("bytes after the header"));
        }
        match (descr, fortran, shape) {
            (Some(descr), Some(fortran), Some(shape)) => Ok((descr, fortran, shape)),
            _ => Err(malformed("missing header key")),
        }
    }

    /// A string, or the list of fields of a structured type, which is refused by its own code.
    fn descr(&mut self) -> Result<String> {
        self.skip_blanks();
        if self.rest.starts_with('[') || self.rest.starts_with('(') {
            let holds_objects = ["'|O'", "'O'", "\"|O\"", "\"O\""].iter().any(|mark| self.rest.contains(mark));
            return Err(if holds_objects {
                Error::new(Code::NpyObjectDtype, "object arrays hold code, not numbers")
            } else {
                unsupported("structured")
            });
        }
        self.string().map(str::to_string)
    }

    fn boolean(&mut self) -> Result<bool> {
        self.skip_blanks();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(malformed("fortran_order is not a bool"))
    }

    fn shape(&mut self) -> Result<Vec<u64>> {
        let mut axes = Vec::new();
        self.expect('(')?;
        while !self.accept(')') {
            axes.push(self.integer()?);
            if !self.accept(',') {
                self.expect(')')?;
                if axes.len() == 1 {
                    return Err(malformed("the shape is not a tuple")); // `(3)` is a number in Python
                }
                break;
            }
        }
        Ok(axes)
    }

    fn integer(&mut self) -> Result<u64> {
        self.skip_blanks();
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        match digits.parse() {
            Ok(value) if digits.len() == 1 || !digits.starts_with('0') => Ok(value),
            Err(_) if !digits.is_empty() => {
                Err(Error::new(Code::TensorTooLarge, "an axis is longer than 64 bits can say"))
            }
            _ => Err(malformed("the shape holds something else than lengths")),
        }
    }

    /// No escapes: none of the strings a header may hold needs one.
    fn string(&mut self) -> Result<&'a str> {
        self.skip_blanks();
        let wrong = || malformed("a string was expected");
        let quote = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or_else(wrong)?;
        let (text, rest) = self.rest[1..].split_once(quote).ok_or_else(wrong)?;
        self.rest = rest;
        Ok(text)
    }

    fn expect(&mut self, token: char) -> Result<()> {
        if self.accept(token) { Ok(()) } else { Err(malformed("unexpected text in the header")) }
    }

    fn accept(&mut self, token: char) -> bool {
        self.skip_blanks();
        let accepted = self.rest.strip_prefix(token);
        self.rest = accepted.unwrap_or(self.rest);
        accepted.is_some()
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\n']);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn elements_come_in_c_order() {
        let spec = |dtype, shape: &[u64]| TensorSpec::new("w", dtype, shape.to_vec()).unwrap();
        let mut plain = write_header(DType::U16, &[2, 3]);
        plain.extend([0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0]);
        let inside = elements(&plain, &spec(DType::U16, &[2, 3])).unwrap();
        assert!(matches!(inside, Cow::Borrowed([0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0])));
        let text = String::from_utf8_lossy(&plain[10..128]).replace("'fortran_order': False", "'fortran_order': True ");
        let mut fortran = [&plain[..10], text.as_bytes()].concat();
        fortran.extend([0, 0, 3, 0, 1, 0, 4, 0, 2, 0, 5, 0]);
        assert_eq!(elements(&fortran, &spec(DType::U16, &[2, 3])).unwrap(), inside);
        let code = |dtype, shape: &[u64], bytes: &[u8]| elements(bytes, &spec(dtype, shape)).unwrap_err().code;
        assert_eq!(code(DType::I16, &[2, 3], &plain), Code::TensorDtype);
        assert_eq!(code(DType::U16, &[3, 2], &plain), Code::TensorShape);
        assert_eq!(code(DType::U16, &[2, 3], &plain[..plain.len() - 1]), Code::NpySizeMismatch);
        assert_eq!(code(DType::U16, &[2, 3], &plain[1..]), Code::NpyMalformed);
    }

    fn with_dictionary(version: u8, text: &str) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &[version, 0]].concat();
        match version {
            1 => bytes.extend((text.len() as u16).to_le_bytes()),
            _ => bytes.extend((text.len() as u32).to_le_bytes()),
        }
        bytes.extend(text.as_bytes());
        bytes
    }

    fn code(text: &str) -> Code {
        parse_header(&with_dictionary(1, text)).unwrap_err().code
    }

    #[test]
    fn all_versions_and_key_orders_parse() {
        for (version, offset) in [(1, 10), (2, 12), (3, 12)] {
            let text = "{\"shape\": (2, 3), 'fortran_order':True,'descr': '<f4'}  \n";
            let header = parse_header(&with_dictionary(version, text)).unwrap();
            assert_eq!(
                header,
                NpyHeader {
                    descr: Descr::Known(DType::F32),
                    shape: vec![2, 3],
                    fortran_order: true,
                    data_offset: offset + text.len(),
                    elements: 6,
                }
            );
        }
    }

    #[test]
    fn bad_dictionaries_are_named() {
        use Code::*;
        let whole =
            |descr: &str, shape: &str| format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}");
        for (text, expected) in [
            (whole("'|O'", "()"), NpyObjectDtype),
            (whole("[('a', '|O')]", "()"), NpyObjectDtype),
            (whole("[('a', '<f4')]", "()"), NpyUnsupportedDtype),
            (whole("'>f4'", "()"), NpyUnsupportedDtype),
            (whole("'=f4'", "()"), NpyUnsupportedDtype),
            (whole("'<c8'", "()"), NpyUnsupportedDtype),
            (whole("'<U5'", "()"), NpyUnsupportedDtype),
            (whole("''", "()"), NpyUnsupportedDtype),
            (whole("'<f4'", "(3)"), NpyMalformed),
            (whole("'<f4'", "(-3,)"), NpyMalformed),
            (whole("'<f4'", "(3,,)"), NpyMalformed),
            (whole("'<f4'", "(03,)"), NpyMalformed),
            (whole("'<f4'", "(1.5,)"), NpyMalformed),
            (whole("'<f4'", "[3]"), NpyMalformed),
            (whole("'<f4'", "(1099511627776,)"), TensorTooLarge),
            (whole("'<f4'", "(4294967296, 4294967296, 4294967296)"), TensorTooLarge),
            (whole("'<f4'", "(99999999999999999999999,)"), TensorTooLarge),
            (whole("'<f4'", "()") + "x", NpyMalformed),
            ("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}".into(), NpyMalformed),
            ("{'descr': '<f4', 'fortran_order': False}".into(), NpyMalformed),
            ("{'descr': '<f4', 'fortran_order': 0, 'shape': ()}".into(), NpyMalformed),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}".into(), NpyMalformed),
            ("".into(), NpyMalformed),
            ("{".into(), NpyMalformed),
        ] {
            assert_eq!(code(&text), expected, "{text}");
        }
    }

    #[test]
    fn prefixes_and_long_headers_are_malformed() {
        let good = write_header(DType::F32, &[3]);
        for end in 0..good.len() {
            assert_eq!(parse_header(&good[..end]).unwrap_err().code, Code::NpyMalformed);
        }
        let mut long = with_dictionary(2, "{}");
        long[8..12].copy_from_slice(&(MAX_HEADER as u32 + 1).to_le_bytes());
        assert_eq!(parse_header(&long).unwrap_err().fact("reason"), Some("header too long"));
        let indented = with_dictionary(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }  \n  ");
        assert_eq!(parse_header(&indented).unwrap_err().fact("reason"), Some("bytes after the header"));
        let mut other = good;
        other[6] = 4;
        assert_eq!(parse_header(&other).unwrap_err().fact("version"), Some("4.0"));
    }

    #[test]
    fn sizes_must_agree_exactly() {
        let header = parse_header(&write_header(DType::I16, &[5])).unwrap();
        header.check_size(128 + 10).unwrap();
        for size in [0, 137, 139, u64::MAX] {
            assert_eq!(header.check_size(size).unwrap_err().code, Code::NpySizeMismatch);
        }
    }

    #[test]
    fn two_byte_records_are_bfloat16_only_where_a_spec_says_so() {
        let header = parse_header(&write_header(DType::BF16, &[2])).unwrap();
        assert_eq!(header.descr, Descr::Void2);
        assert!(header.descr.is(DType::BF16) && !header.descr.is(DType::F16));
        assert_eq!(header.descr.resolve(None).unwrap_err().code, Code::NpyUnsupportedDtype);
    }

    proptest! {
        #[test]
        fn written_headers_parse_back(
            index in 0..DType::ALL.len(),
            shape in proptest::collection::vec(0u64..20, 0..8),
        ) {
            let dtype = DType::ALL[index];
            let bytes = write_header(dtype, &shape);
            prop_assert_eq!(bytes.len() % ALIGN, 0);
            let header = parse_header(&bytes).unwrap();
            prop_assert!(header.descr.is(dtype) && !header.fortran_order);
            prop_assert_eq!(header.data_offset, bytes.len());
            prop_assert_eq!(header.shape, shape);
        }

        #[test]
        fn mutated_headers_never_panic(
            shape in proptest::collection::vec(any::<u64>(), 0..5),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        ) {
            let mut bytes = write_header(DType::F32, &shape);
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = parse_header(&bytes);
        }

        #[test]
        fn arbitrary_headers_never_panic(version in 0u8..5, text in "\\PC{0,80}") {
            let _ = parse_header(&with_dictionary(version, &text));
        }
    }
}
