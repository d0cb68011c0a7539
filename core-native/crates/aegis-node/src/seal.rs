//! Keys and sealed files.

use std::path::Path;

use aegis_core::error::{Code, Error};
use aegis_core::seal;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use crate::bridge::{Promised, off_loop, on_loop};

#[napi(js_name = "DataKey")]
pub struct DataKey(pub(crate) seal::DataKey);

#[napi]
impl DataKey {
    #[napi(catch_unwind)]
    pub fn generate() -> napi::Result<DataKey> {
        on_loop(|| Ok(DataKey(seal::DataKey::generate())))
    }

    /// The key that somebody else made; the caller wipes what it came in.
    #[napi(catch_unwind)]
    pub fn from_bytes(bytes: Buffer) -> napi::Result<DataKey> {
        on_loop(|| {
            let bytes: &[u8; 32] = bytes
                .as_ref()
                .try_into()
                .map_err(|_| Error::new(Code::Argument, "a data key has 32 bytes").with("length", bytes.len()))?;
            Ok(DataKey(seal::DataKey::from_bytes(bytes)))
        })
    }
}

#[napi(js_name = "KeyFile")]
pub struct KeyFile(seal::KeyFile);

#[napi]
impl KeyFile {
    #[napi(catch_unwind)]
    pub fn open(path: String, create: bool) -> napi::Result<KeyFile> {
        on_loop(|| seal::KeyFile::open(Path::new(&path), create).map(KeyFile))
    }

    #[napi(catch_unwind)]
    pub fn wrap(&self, key: &DataKey, context: String) -> napi::Result<Buffer> {
        on_loop(|| Ok(self.0.wrap(&key.0, &context).into()))
    }

    #[napi(catch_unwind)]
    pub fn unwrap(&self, wrapped: Buffer, context: String) -> napi::Result<DataKey> {
        on_loop(|| self.0.unwrap(&wrapped, &context).map(DataKey))
    }
}

#[napi(catch_unwind)]
pub fn seal_file(path: String, bytes: Buffer, key: &DataKey, context: String) -> Promised<()> {
    let key = key.0.clone();
    off_loop(move || seal::seal_file(Path::new(&path), &bytes, &key, &context), |()| ())
}

#[napi(catch_unwind)]
pub fn open_file(path: String, key: &DataKey, context: String) -> Promised<Vec<u8>, Buffer> {
    let key = key.0.clone();
    off_loop(move || seal::open_file(Path::new(&path), &key, &context), Buffer::from)
}
