//! SHA-256 over pieces, as if they were one buffer.

use aws_lc_rs::digest::{Context, SHA256};
use std::fmt::Write as _;

use crate::error::{Code, Error, Result};

#[derive(Clone)]
pub struct Sha256(Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Sha256 {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Hashes a length-prefixed field, so that ("ab","c") and ("a","bc") differ.
    pub fn field(&mut self, bytes: &[u8]) {
        self.update(&(bytes.len() as u64).to_le_bytes());
        self.update(bytes);
    }

    pub fn finish(self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        out
    }
}

pub fn sha256<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> [u8; 32] {
    let mut hash = Sha256::default();
    for piece in pieces {
        hash.update(piece.as_ref());
    }
    hash.finish()
}

pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}"); // writing to a String cannot fail
        out
    })
}

/// A SHA-256 in hexadecimal, either case. Anything else is [`Code::Argument`].
pub fn parse_sha256_hex(text: &str) -> Result<[u8; 32]> {
    let wrong = || Error::new(Code::Argument, "a SHA-256 is 64 hexadecimal digits").with("length", text.len());
    if text.len() != 64 {
        return Err(wrong());
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |c: u8| (c as char).to_digit(16).ok_or_else(wrong);
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hash_like_one_buffer() {
        // FIPS 180-4, example "abc".
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(to_hex(&sha256(["a", "", "bc"])), expected);
        assert_eq!(parse_sha256_hex(&expected.to_uppercase()).unwrap(), sha256(["abc"]));
    }

    #[test]
    fn a_digest_that_is_not_hexadecimal_is_an_argument_error() {
        for text in ["", "ab", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(parse_sha256_hex(text).unwrap_err().code, Code::Argument);
        }
    }
}
