//! Tensors, updates and the fold.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use aegis_core::tensor::range::value_range;
use aegis_core::tensor::{DType, TensorSpec, npy};
use aegis_core::{Code, Error, Result, fold, update};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use crate::bridge::{Promised, off_loop, on_loop, whole};
use crate::intake::IntakeLog;
use crate::memory;
use crate::model::{ModelInfo, model_info};
use crate::seal::DataKey;

#[napi(object)]
pub struct RawSpec {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<f64>,
}

#[napi(object)]
pub struct RawSlice {
    pub part: String,
    pub offset: f64,
    pub length: f64,
}

#[napi(object)]
pub struct RawSource {
    pub name: String,
    pub slices: Vec<RawSlice>,
    pub dtype: Option<String>,
}

#[napi(object)]
pub struct NpyHeader {
    pub dtype: String,
    pub shape: Vec<f64>,
    pub fortran_order: bool,
    pub data_offset: f64,
}

#[napi(object)]
pub struct UpdateFacts {
    pub norm: f64,
    pub elements: f64,
}

#[napi(catch_unwind)]
pub fn read_npy_header(bytes: Buffer) -> napi::Result<NpyHeader> {
    on_loop(|| {
        let header = npy::parse_header(&bytes)?;
        Ok(NpyHeader {
            dtype: header.descr.as_str().into(),
            shape: to_numbers(&header.shape),
            fortran_order: header.fortran_order,
            data_offset: header.data_offset as f64,
        })
    })
}

/// The elements of an npy file in C order; null where the file has them so already, behind its header.
#[napi(catch_unwind)]
pub fn npy_reordered(npy: Buffer, spec: RawSpec) -> Promised<Option<Vec<u8>>, Option<Buffer>> {
    off_loop(
        move || match npy::elements(&npy, &to_spec(spec)?)? {
            Cow::Borrowed(_) => Ok(None),
            Cow::Owned(ordered) => Ok(Some(ordered)),
        },
        |ordered| ordered.map(Buffer::from),
    )
}

/// Least and greatest value of an npy file; null where it has no elements.
#[napi(catch_unwind)]
pub fn npy_value_range(npy: Buffer, dtype: Option<String>) -> Promised<Option<(f64, f64)>, Option<Vec<f64>>> {
    off_loop(
        move || value_range(&npy, dtype.as_deref().map(DType::parse).transpose()?),
        |range| range.map(|(least, greatest)| vec![least, greatest]),
    )
}

/// Holds the sums until `close`: they are large, and the collector of JavaScript cannot see them.
#[napi(js_name = "Fold")]
pub struct Fold(RwLock<Option<Arc<fold::Fold>>>);

impl Fold {
    fn open(&self) -> Result<Arc<fold::Fold>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.clone().ok_or_else(|| Error::new(Code::Argument, "the fold is closed"))
    }
}

#[napi]
impl Fold {
    #[napi(catch_unwind)]
    pub fn create(specs: Vec<RawSpec>) -> napi::Result<Fold> {
        memory::give_back();
        on_loop(|| {
            let specs = specs.into_iter().map(to_spec).collect::<Result<_>>()?;
            Ok(Fold(RwLock::new(Some(Arc::new(fold::Fold::new(specs)?)))))
        })
    }

    #[napi(catch_unwind)]
    pub fn check(
        &self,
        log: &IntakeLog,
        tensors: Vec<RawSource>,
        max_norm: Option<f64>,
    ) -> Promised<update::UpdateFacts, UpdateFacts> {
        let (fold, log) = (self.open(), Arc::clone(&log.0));
        off_loop(
            move || fold?.check(&*log, &to_sources(tensors)?, update::Limits { max_norm }),
            |facts| UpdateFacts { norm: facts.norm, elements: facts.elements as f64 },
        )
    }

    #[napi(catch_unwind)]
    pub fn add(&self, log: &IntakeLog, tensors: Vec<RawSource>, weight: f64) -> Promised<()> {
        let (fold, log) = (self.open(), Arc::clone(&log.0));
        off_loop(move || fold?.add(&*log, &to_sources(tensors)?, weight), |()| ())
    }

    #[napi(catch_unwind)]
    pub fn count(&self) -> napi::Result<f64> {
        on_loop(|| Ok(self.open()?.count() as f64))
    }

    #[napi(catch_unwind)]
    pub fn total_weight(&self) -> napi::Result<f64> {
        on_loop(|| Ok(self.open()?.total_weight()))
    }

    #[napi(catch_unwind)]
    pub fn write_model(&self, path: String, key: &DataKey) -> Promised<aegis_core::model::ModelInfo, ModelInfo> {
        let (fold, key) = (self.open(), key.0.clone());
        off_loop(move || fold?.write_model(&PathBuf::from(path), &key), model_info)
    }

    /// Gives the sums' memory back, after calls under way. Everything but `close` is refused afterwards.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).take();
        memory::give_back();
    }
}

pub fn to_numbers(shape: &[u64]) -> Vec<f64> {
    shape.iter().map(|&axis| axis as f64).collect()
}

pub fn to_spec(raw: RawSpec) -> Result<TensorSpec> {
    let shape = raw.shape.into_iter().map(|axis| whole("shape", axis)).collect::<Result<_>>()?;
    let dtype = DType::parse(&raw.dtype).map_err(|error| error.with("tensor", &raw.name))?;
    TensorSpec::new(raw.name, dtype, shape)
}

pub fn to_slices(raw: Vec<RawSlice>) -> Result<Vec<update::PartSlice>> {
    let slice = |raw: RawSlice| {
        let (offset, length) = (whole("offset", raw.offset)?, whole("length", raw.length)?);
        Ok(update::PartSlice { part: raw.part, offset, length })
    };
    raw.into_iter().map(slice).collect()
}

pub fn to_sources(raw: Vec<RawSource>) -> Result<Vec<update::TensorSource>> {
    let source = |raw: RawSource| {
        Ok(update::TensorSource {
            name: raw.name,
            slices: to_slices(raw.slices)?,
            dtype: raw.dtype.as_deref().map(DType::parse).transpose()?,
        })
    };
    raw.into_iter().map(source).collect()
}
