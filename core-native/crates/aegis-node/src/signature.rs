//! Hashes and signatures.

use aegis_core::hash::{sha256, to_hex};
use aegis_core::signature::KeyCache;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use crate::bridge::{Promised, off_loop, on_loop};

/// As many nodes as sign at the same time in a large cohort; a key with its table takes about 13 KiB.
static KEYS: KeyCache = KeyCache::new(2048);

#[napi(catch_unwind)]
pub fn sha256_hex(pieces: Vec<Buffer>) -> Promised<String> {
    off_loop(move || Ok(to_hex(&sha256(&pieces))), |hex| hex)
}

#[napi(catch_unwind)]
pub fn sha256_hex_sync(pieces: Vec<Buffer>) -> napi::Result<String> {
    on_loop(|| Ok(to_hex(&sha256(&pieces))))
}

#[napi(catch_unwind)]
pub fn verify_ecdsa(public_key_pem: Buffer, message: Buffer, signature_der: Buffer) -> Promised<bool> {
    off_loop(move || KEYS.verify(&public_key_pem, &message, &signature_der), |valid| valid)
}

#[napi(catch_unwind)]
pub fn verify_ecdsa_sync(public_key_pem: Buffer, message: Buffer, signature_der: Buffer) -> napi::Result<bool> {
    on_loop(|| KEYS.verify(&public_key_pem, &message, &signature_der))
}
