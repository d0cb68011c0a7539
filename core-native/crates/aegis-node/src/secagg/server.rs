//! The servers' sides: secrets into one total mask, masked vectors into one sum.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aegis_core::secagg::messages::{CertifiedAdvert, Terms, from_json};
use aegis_core::secagg::quantise;
use aegis_core::secagg::roster::Roster;
use aegis_core::secagg::server::{masked_sum, removal};
use aegis_core::{Code, Error, Result, hash, model};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use super::{SecaggGrid, lock, nodes, small};
use crate::bridge::{Promised, off_loop, on_loop, whole};
use crate::fold::{RawSlice, to_slices};
use crate::intake::IntakeLog;
use crate::memory;
use crate::model::{ModelFile, ModelInfo, model_info};
use crate::seal::DataKey;

#[napi(js_name = "MaskRemoval")]
pub struct MaskRemoval {
    terms: Terms,
    removal: Arc<Mutex<removal::Removal>>,
}

#[napi]
impl MaskRemoval {
    /// Verifies the roster: some 50 µs a node, on the event loop.
    #[napi(catch_unwind)]
    pub fn create(
        terms: String,
        adverts: String,
        now: f64,
        model: String,
        survivors: Vec<String>,
        dropped: Vec<String>,
    ) -> napi::Result<MaskRemoval> {
        on_loop(|| {
            let terms: Terms = from_json(&terms)?;
            let adverts: Vec<CertifiedAdvert> = from_json(&adverts)?;
            let roster = Roster::new(&terms, adverts, whole("now", now)?)?;
            let (survivors, dropped) = (nodes(&survivors)?, nodes(&dropped)?);
            let model = hash::parse_sha256_hex(&model)?;
            let removal = removal::Removal::new(roster, model, &survivors, &dropped)?;
            Ok(MaskRemoval { terms, removal: Arc::new(Mutex::new(removal)) })
        })
    }

    #[napi(catch_unwind)]
    pub fn take(&self, opened: String) -> napi::Result<()> {
        on_loop(|| lock(&self.removal).take(&from_json(&opened)?))
    }

    #[napi(catch_unwind)]
    pub fn check(&self, opened: String) -> napi::Result<()> {
        on_loop(|| lock(&self.removal).check(&from_json(&opened)?))
    }

    #[napi(catch_unwind)]
    pub fn is_possible(&self) -> bool {
        lock(&self.removal).is_possible()
    }

    /// Packed.
    #[napi(catch_unwind)]
    pub fn total_mask(&self, threads: f64) -> Promised<Vec<u8>, Buffer> {
        let (terms, removal) = (self.terms.clone(), Arc::clone(&self.removal));
        off_loop(
            move || Ok(lock(&removal).total_mask(&terms, small("threads", threads)? as usize)?.pack()),
            Buffer::from,
        )
    }
}

/// Holds the sum until it is opened or closed: it is large, and the collector of JavaScript cannot see it.
#[napi(js_name = "MaskedSum")]
pub struct MaskedSum(Arc<Mutex<Option<masked_sum::MaskedSum>>>);

#[napi]
impl MaskedSum {
    #[napi(catch_unwind)]
    pub fn create(terms: String) -> napi::Result<MaskedSum> {
        memory::give_back();
        on_loop(|| {
            let sum = masked_sum::MaskedSum::new(&from_json::<Terms>(&terms)?)?;
            Ok(MaskedSum(Arc::new(Mutex::new(Some(sum)))))
        })
    }

    #[napi(catch_unwind)]
    pub fn add(&self, packed: Buffer) -> Promised<()> {
        let sum = Arc::clone(&self.0);
        off_loop(move || lock(&sum).as_mut().ok_or_else(gone)?.add(&packed), |()| ())
    }

    #[napi(catch_unwind)]
    pub fn check_slices(&self, log: &IntakeLog, slices: Vec<RawSlice>) -> Promised<()> {
        let (sum, log) = (Arc::clone(&self.0), Arc::clone(&log.0));
        off_loop(move || lock(&sum).as_ref().ok_or_else(gone)?.check_slices(&*log, &to_slices(slices)?), |()| ())
    }

    #[napi(catch_unwind)]
    pub fn add_slices(&self, log: &IntakeLog, slices: Vec<RawSlice>) -> Promised<()> {
        let (sum, log) = (Arc::clone(&self.0), Arc::clone(&log.0));
        off_loop(move || lock(&sum).as_mut().ok_or_else(gone)?.add_slices(&*log, &to_slices(slices)?), |()| ())
    }

    #[napi(catch_unwind)]
    pub fn count(&self) -> napi::Result<f64> {
        on_loop(|| Ok(lock(&self.0).as_ref().ok_or_else(gone)?.count() as f64))
    }

    /// With a divisor, tensors are divided by that and not by the weight of who came.
    #[napi(catch_unwind)]
    pub fn open(
        &self,
        grid: &SecaggGrid,
        survivors: f64,
        noise: f64,
        total_mask: Buffer,
        divisor: Option<f64>,
    ) -> Promised<OpenedSum, OpenedSum> {
        let (sum, grid) = (Arc::clone(&self.0), Arc::clone(&grid.0));
        off_loop(
            move || {
                let (survivors, noise) = (whole("survivors", survivors)?, whole("noise", noise)?);
                let sum = lock(&sum).take().ok_or_else(gone)?;
                let sum = sum.open(&grid, survivors, noise, &total_mask)?;
                let sum = match divisor {
                    Some(divisor) => sum.over(divisor)?,
                    None => sum,
                };
                Ok(OpenedSum { sum: Mutex::new(Some(Arc::new(sum))), grid })
            },
            |opened| opened,
        )
    }

    /// Gives the memory back, after calls under way. Everything but `close` is refused afterwards.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        lock(&self.0).take();
        memory::give_back();
    }
}

#[napi(js_name = "OpenedSum")]
pub struct OpenedSum {
    sum: Mutex<Option<Arc<quantise::OpenedSum>>>,
    grid: Arc<quantise::Grid>,
}

impl OpenedSum {
    fn sum(&self) -> Result<Arc<quantise::OpenedSum>> {
        lock(&self.sum).clone().ok_or_else(gone)
    }
}

#[napi]
impl OpenedSum {
    #[napi(catch_unwind)]
    pub fn survivors(&self) -> napi::Result<f64> {
        on_loop(|| Ok(self.sum()?.survivors() as f64))
    }

    #[napi(catch_unwind)]
    pub fn weight(&self) -> napi::Result<f64> {
        on_loop(|| Ok(self.sum()?.weight() as f64))
    }

    #[napi(catch_unwind)]
    pub fn metric(&self, index: f64) -> napi::Result<f64> {
        on_loop(|| Ok(self.sum()?.metric(&self.grid, place(index, self.grid.metrics())?)))
    }

    #[napi(catch_unwind)]
    pub fn tensor(&self, index: f64) -> napi::Result<Buffer> {
        on_loop(|| Ok(self.sum()?.tensor(&self.grid, place(index, self.grid.tensors())?).into()))
    }

    #[napi(catch_unwind)]
    pub fn write_model(&self, start: &ModelFile, path: String, key: &DataKey) -> Promised<model::ModelInfo, ModelInfo> {
        let (sum, grid, start, key) = (self.sum(), Arc::clone(&self.grid), start.reader(), key.0.clone());
        off_loop(move || sum?.write_model(&grid, &*start?, &PathBuf::from(path), &key), model_info)
    }

    /// As that of a masked sum.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        lock(&self.sum).take();
        memory::give_back();
    }
}

fn place(index: f64, count: usize) -> Result<usize> {
    let index = whole("index", index)? as usize;
    if index < count { Ok(index) } else { Err(Error::new(Code::Argument, "there is no such tensor or metric")) }
}

fn gone() -> Error {
    Error::new(Code::Argument, "the sum was opened, and opens once, or closed")
}
