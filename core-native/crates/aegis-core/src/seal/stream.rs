//! Writing a sealed object front to back, reading it anywhere.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use aws_lc_rs::aead::Aad;

use super::spare::SpareBuffer;
use super::{
    DataKey, HEADER_BYTES, ObjectKey, PREFIX_BYTES, SALT_BYTES, SEGMENT_BYTES, TAG_BYTES, locate, plain_length,
};
use crate::error::{Code, Error, Result};
use crate::random;

/// Something that can be read at any offset: a file, or bytes in memory.
pub trait ReadAt {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, out, offset)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let end = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(out.len())?));
        let from = end.and_then(|range| self.get(range)).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(out, offset)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        (**self).read_exact_at(out, offset)
    }
}

/// Seals what is written to it into `out`, holding back one segment. Without [`Sealer::finish`] the object stays unreadable.
pub struct Sealer<W: Write> {
    out: W,
    key: ObjectKey,
    /// Plaintext of the segment being filled; `room` is what fits into it.
    segment: SpareBuffer,
    room: usize,
    number: u32,
}

impl<W: Write> Sealer<W> {
    pub fn new(mut out: W, key: &DataKey, context: &[u8]) -> io::Result<Self> {
        let salt = random::<SALT_BYTES>();
        let prefix = random::<PREFIX_BYTES>();
        out.write_all(&[HEADER_BYTES as u8])?;
        out.write_all(&salt)?;
        out.write_all(&prefix)?;
        Ok(Self {
            out,
            key: ObjectKey::derive(key, &salt, prefix, context),
            segment: SpareBuffer::empty(),
            room: SEGMENT_BYTES - HEADER_BYTES - TAG_BYTES,
            number: 0,
        })
    }

    /// Seals the last segment and hands the writer back, not flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.emit(true)?;
        Ok(self.out)
    }

    fn emit(&mut self, last: bool) -> io::Result<()> {
        let nonce = self.key.nonce(self.number, last);
        let tag = self
            .key
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut self.segment[..])
            .map_err(|_| io::Error::other("AES-GCM refused a segment"))?;
        self.out.write_all(&self.segment)?;
        self.out.write_all(tag.as_ref())?;
        self.segment.clear();
        self.room = SEGMENT_BYTES - TAG_BYTES;
        if !last {
            // 4 PiB in one object; a repeated nonce must be impossible, not unlikely.
            self.number = self.number.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
        }
        Ok(())
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full segment waits for the next byte: only then is it known not to be the last.
        if self.segment.len() == self.room && !bytes.is_empty() {
            self.emit(false)?;
        }
        let taken = bytes.len().min(self.room - self.segment.len());
        self.segment.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Does nothing: a segment cannot be sealed early.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a sealed object that starts at `base` of a source. Opens, and so checks, only the segments a read touches, and keeps
/// the last one opened: sequential reads open each segment once. Memory: one segment.
pub struct Opener<R: ReadAt> {
    source: R,
    base: u64,
    sealed: u64,
    plain: u64,
    key: ObjectKey,
    /// Its first `filled` bytes are the segment opened last.
    segment: SpareBuffer,
    filled: usize,
    opened: Option<u64>,
}

impl<R: ReadAt> Opener<R> {
    pub fn new(source: R, base: u64, sealed: u64, key: &DataKey, context: &[u8]) -> Result<Self> {
        let plain = plain_length(sealed).ok_or_else(|| broken("impossible length").with("length", sealed))?;
        let mut header = [0; HEADER_BYTES];
        read_source(&source, &mut header, base)?;
        let [length, rest @ ..] = header;
        if usize::from(length) != HEADER_BYTES {
            return Err(broken("unknown header"));
        }
        let (mut salt, mut prefix) = ([0; SALT_BYTES], [0; PREFIX_BYTES]);
        salt.copy_from_slice(&rest[..SALT_BYTES]);
        prefix.copy_from_slice(&rest[SALT_BYTES..]);
        let key = ObjectKey::derive(key, &salt, prefix, context);
        Ok(Self { source, base, sealed, plain, key, segment: SpareBuffer::take(), filled: 0, opened: None })
    }

    /// Plaintext length of the object.
    pub fn length(&self) -> u64 {
        self.plain
    }

    /// Fills `out` from plaintext offset `offset`; [`Code::SliceOutOfRange`] beyond the end.
    pub fn read_at(&mut self, mut offset: u64, mut out: &mut [u8]) -> Result<()> {
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > self.plain) {
            return Err(Error::new(Code::SliceOutOfRange, "the slice ends beyond the object")
                .with("offset", offset)
                .with("length", out.len())
                .with("available", self.plain));
        }
        while !out.is_empty() {
            let (number, skip) = locate(offset);
            self.open(number)?;
            let part = &self.segment[skip..self.filled];
            let taken = part.len().min(out.len());
            out[..taken].copy_from_slice(&part[..taken]);
            out = &mut out[taken..];
            offset += taken as u64;
        }
        Ok(())
    }

    /// Opens every segment once, the last one included, so that truncation cannot hide.
    pub fn verify(&mut self) -> Result<()> {
        (0..self.segments()).try_for_each(|number| self.open(number))
    }

    fn segments(&self) -> u64 {
        self.sealed.div_ceil(SEGMENT_BYTES as u64)
    }

    fn open(&mut self, number: u64) -> Result<()> {
        if self.opened == Some(number) {
            return Ok(());
        }
        self.opened = None; // whatever fails below leaves no half-opened segment behind
        let start = if number == 0 { HEADER_BYTES as u64 } else { number * SEGMENT_BYTES as u64 };
        let end = ((number + 1) * SEGMENT_BYTES as u64).min(self.sealed);
        let last = number + 1 == self.segments();
        let length = (end - start) as usize;
        if self.segment.len() < length {
            self.segment.resize(length, 0);
        }
        let sealed = &mut self.segment[..length];
        read_source(&self.source, sealed, self.base + start)?;
        let short = u32::try_from(number).map_err(|_| broken("too many segments"))?;
        let nonce = self.key.nonce(short, last);
        self.filled = self
            .key
            .key
            .open_in_place(nonce, Aad::empty(), sealed)
            .map_err(|_| broken("a segment does not authenticate").with("segment", number))?
            .len();
        self.opened = Some(number);
        Ok(())
    }
}

fn broken(reason: &str) -> Error {
    Error::new(Code::SealBroken, "the sealed bytes are damaged, or of another key or context").with("reason", reason)
}

fn read_source(source: &impl ReadAt, out: &mut [u8], offset: u64) -> Result<()> {
    source.read_exact_at(out, offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => broken("truncated"),
        _ => Error::new(Code::Io, error.to_string()).with("kind", format!("{:?}", error.kind())),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{FIRST_PLAIN, REST_PLAIN, sealed_length};
    use super::*;
    use proptest::prelude::*;

    const CONTEXT: &[u8] = b"test context";

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
    }

    fn seal(key: &DataKey, bytes: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(Vec::new(), key, CONTEXT).unwrap();
        sealer.write_all(bytes).unwrap();
        sealer.finish().unwrap()
    }

    fn open(key: &DataKey, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>> {
        let mut opener = Opener::new(sealed, 0, sealed.len() as u64, key, context)?;
        let mut out = vec![0; opener.length() as usize];
        opener.verify()?;
        opener.read_at(0, &mut out)?;
        Ok(out)
    }

    fn assert_broken(key: &DataKey, sealed: &[u8], context: &[u8]) {
        assert_eq!(open(key, sealed, context).unwrap_err().code, Code::SealBroken);
    }

    #[test]
    fn every_border_length_comes_back() {
        let key = DataKey::generate();
        let (first, rest) = (FIRST_PLAIN as usize, REST_PLAIN as usize);
        for length in [0, 1, first - 1, first, first + 1, first + rest - 1, first + rest, first + rest + 1, 3 * rest] {
            let bytes = pattern(length);
            let sealed = seal(&key, &bytes);
            assert_eq!(sealed.len() as u64, sealed_length(length as u64));
            assert!(open(&key, &sealed, CONTEXT).unwrap() == bytes, "length {length}");
        }
    }

    #[test]
    fn truncation_reordering_swapping_and_extension_are_broken() {
        let key = DataKey::generate();
        let sealed = seal(&key, &pattern(3 * SEGMENT_BYTES));
        let other = seal(&key, &pattern(3 * SEGMENT_BYTES));
        let segment = |bytes: &[u8], number: usize| {
            bytes[number * SEGMENT_BYTES..((number + 1) * SEGMENT_BYTES).min(bytes.len())].to_vec()
        };
        for length in [0, 1, 39, 40, 55, 56, SEGMENT_BYTES, 2 * SEGMENT_BYTES, 3 * SEGMENT_BYTES, sealed.len() - 1] {
            assert_broken(&key, &sealed[..length], CONTEXT);
        }
        let [a, b, c, d] = [0, 1, 2, 3].map(|number| segment(&sealed, number));
        assert_broken(&key, &[a.clone(), c.clone(), b.clone(), d.clone()].concat(), CONTEXT);
        assert_broken(&key, &[a.clone(), segment(&other, 1), c.clone(), d.clone()].concat(), CONTEXT);
        assert_broken(&key, &[a, b, c, d, vec![0; 17]].concat(), CONTEXT);
    }

    #[test]
    fn wrong_context_wrong_key_and_flipped_bits_are_broken() {
        let key = DataKey::generate();
        let sealed = seal(&key, b"a small object");
        assert_broken(&key, &sealed, b"other context");
        assert_broken(&DataKey::generate(), &sealed, CONTEXT);
        for position in 0..sealed.len() {
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[position] ^= 1 << bit;
                assert_broken(&key, &flipped, CONTEXT);
            }
        }
    }

    #[test]
    fn reading_beyond_the_end_is_out_of_range() {
        let key = DataKey::generate();
        let sealed = seal(&key, b"12345");
        let mut opener = Opener::new(&sealed[..], 0, sealed.len() as u64, &key, CONTEXT).unwrap();
        for (offset, length) in [(0, 6), (5, 1), (6, 0), (u64::MAX, 2)] {
            assert_eq!(opener.read_at(offset, &mut vec![0; length]).unwrap_err().code, Code::SliceOutOfRange);
        }
        opener.read_at(5, &mut []).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn random_access_agrees_with_the_plaintext(
            length in 0usize..3 * SEGMENT_BYTES,
            reads in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..6),
        ) {
            let key = DataKey::generate();
            let bytes = pattern(length);
            // Preceded and followed by foreign bytes, as inside a log.
            let sealed = [b"before".to_vec(), seal(&key, &bytes), b"after".to_vec()].concat();
            let mut opener = Opener::new(&sealed[..], 6, sealed_length(length as u64), &key, CONTEXT).unwrap();
            for (from, to) in reads {
                let (a, b) = (from.index(length + 1), to.index(length + 1));
                let range = a.min(b)..a.max(b);
                let mut out = vec![0; range.len()];
                opener.read_at(range.start as u64, &mut out).unwrap();
                prop_assert!(out == bytes[range]);
            }
        }

        #[test]
        fn arbitrary_bytes_never_open(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(open(&DataKey::generate(), &bytes, CONTEXT).unwrap_err().code, Code::SealBroken);
        }
    }
}
