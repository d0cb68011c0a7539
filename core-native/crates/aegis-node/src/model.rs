//! Model files.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use aegis_core::model::{self, ModelReader, NamedNpy};
use aegis_core::tensor::DType;
use aegis_core::{Code, Error, Result};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use crate::bridge::{Promised, off_loop, on_loop, whole};
use crate::fold::{RawSource, to_numbers, to_sources};
use crate::intake::IntakeLog;
use crate::seal::DataKey;

#[napi(object)]
pub struct ModelTensor {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<f64>,
    pub offset: f64,
    pub length: f64,
}

#[napi(object)]
pub struct ModelInfo {
    pub sha256: String,
    pub bytes: f64,
    pub tensors: Vec<ModelTensor>,
}

#[napi(object, object_to_js = false)]
pub struct RawNamedNpy {
    pub name: String,
    pub npy: Buffer,
    pub dtype: Option<String>,
}

#[napi(catch_unwind)]
pub fn model_from_npz(
    npz: Buffer,
    path: String,
    key: &DataKey,
    max_bytes: Option<f64>,
) -> Promised<model::ModelInfo, ModelInfo> {
    let key = key.0.clone();
    off_loop(move || model::from_npz(&npz, &PathBuf::from(path), &key, at_most(max_bytes)?), model_info)
}

#[napi(catch_unwind)]
pub fn model_from_safetensors(
    bytes: Buffer,
    path: String,
    key: &DataKey,
    max_bytes: Option<f64>,
) -> Promised<model::ModelInfo, ModelInfo> {
    let key = key.0.clone();
    off_loop(move || model::from_safetensors(&bytes, &PathBuf::from(path), &key, at_most(max_bytes)?), model_info)
}

fn at_most(max_bytes: Option<f64>) -> Result<u64> {
    max_bytes.map_or(Ok(model::MAX_UNPACKED), |bytes| whole("maxBytes", bytes))
}

#[napi(catch_unwind)]
pub fn model_from_tensors(
    tensors: Vec<RawNamedNpy>,
    path: String,
    key: &DataKey,
) -> Promised<model::ModelInfo, ModelInfo> {
    let key = key.0.clone();
    off_loop(
        move || {
            let named =
                |raw: &'_ RawNamedNpy| -> Result<Option<DType>> { raw.dtype.as_deref().map(DType::parse).transpose() };
            let tensors = tensors
                .iter()
                .map(|raw| Ok(NamedNpy { name: &raw.name, npy: &raw.npy, dtype: named(raw)? }))
                .collect::<Result<Vec<_>>>()?;
            model::from_tensors(&tensors, &PathBuf::from(path), &key)
        },
        model_info,
    )
}

#[napi(catch_unwind)]
pub fn model_from_log(
    log: &IntakeLog,
    tensors: Vec<RawSource>,
    path: String,
    key: &DataKey,
) -> Promised<model::ModelInfo, ModelInfo> {
    let (log, key) = (Arc::clone(&log.0), key.0.clone());
    off_loop(move || model::from_parts(&*log, &to_sources(tensors)?, &PathBuf::from(path), &key), model_info)
}

#[napi(js_name = "ModelFile")]
pub struct ModelFile(Mutex<Option<Arc<ModelReader>>>);

#[napi]
impl ModelFile {
    #[napi(catch_unwind)]
    pub fn open(path: String, key: &DataKey) -> Promised<ModelReader, ModelFile> {
        let key = key.0.clone();
        off_loop(
            move || ModelReader::open(&PathBuf::from(path), &key),
            |reader| ModelFile(Mutex::new(Some(Arc::new(reader)))),
        )
    }

    #[napi(catch_unwind)]
    pub fn info(&self) -> napi::Result<ModelInfo> {
        on_loop(|| Ok(model_info(self.reader()?.info().clone())))
    }

    #[napi(catch_unwind)]
    pub fn read(&self, offset: f64, length: f64) -> Promised<Vec<u8>, Buffer> {
        let reader = self.reader();
        off_loop(move || reader?.read(whole("offset", offset)?, whole("length", length)?), Buffer::from)
    }

    #[napi(catch_unwind)]
    pub fn export_npz(&self, path: String) -> Promised<()> {
        let reader = self.reader();
        off_loop(move || model::export_npz(&*reader?, &PathBuf::from(path)), |()| ())
    }

    #[napi(catch_unwind)]
    pub fn export_safetensors(&self, path: String) -> Promised<()> {
        let reader = self.reader();
        off_loop(move || model::export_safetensors(&*reader?, &PathBuf::from(path)), |()| ())
    }

    /// The file is closed once reads under way have ended.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn reader(&self) -> Result<Arc<ModelReader>> {
        let reader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reader.clone().ok_or_else(|| Error::new(Code::Argument, "the model file is closed"))
    }
}

pub fn model_info(info: model::ModelInfo) -> ModelInfo {
    let tensor = |tensor: model::ModelTensor| ModelTensor {
        name: tensor.name,
        dtype: tensor.dtype.as_str().into(),
        shape: to_numbers(&tensor.shape),
        offset: tensor.offset as f64,
        length: tensor.length as f64,
    };
    ModelInfo { sha256: info.sha256, bytes: info.bytes as f64, tensors: info.tensors.into_iter().map(tensor).collect() }
}
