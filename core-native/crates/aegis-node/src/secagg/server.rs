//! The servers' sides: secrets into one total mask, masked vectors into one sum.

use std::sync::{Arc, Mutex};

use aegis_core::secagg::messages::{CertifiedAdvert, Terms, from_json};
use aegis_core::secagg::quantise;
use aegis_core::secagg::residues::Residues;
use aegis_core::secagg::roster::Roster;
use aegis_core::secagg::server::{masked_sum, removal};
use aegis_core::{Code, Error, Result, hash};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use super::{SecaggGrid, lock, nodes, small};
use crate::bridge::{Promised, off_loop, on_loop, whole};
use crate::intake::IntakeLog;

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

#[napi(js_name = "MaskedSum")]
pub struct MaskedSum {
    terms: Terms,
    /// Gone once it is open.
    sum: Arc<Mutex<Option<masked_sum::MaskedSum>>>,
}

#[napi]
impl MaskedSum {
    #[napi(catch_unwind)]
    pub fn create(terms: String) -> napi::Result<MaskedSum> {
        on_loop(|| {
            let terms: Terms = from_json(&terms)?;
            let sum = masked_sum::MaskedSum::new(&terms)?;
            Ok(MaskedSum { terms, sum: Arc::new(Mutex::new(Some(sum))) })
        })
    }

    #[napi(catch_unwind)]
    pub fn add(&self, packed: Buffer) -> Promised<()> {
        let sum = Arc::clone(&self.sum);
        off_loop(move || lock(&sum).as_mut().ok_or_else(opened_already)?.add(&packed), |()| ())
    }

    #[napi(catch_unwind)]
    pub fn add_part(&self, log: &IntakeLog, part: String) -> Promised<()> {
        let (sum, log) = (Arc::clone(&self.sum), Arc::clone(&log.0));
        off_loop(move || lock(&sum).as_mut().ok_or_else(opened_already)?.add_part(&*log, &part), |()| ())
    }

    #[napi(catch_unwind)]
    pub fn count(&self) -> napi::Result<f64> {
        on_loop(|| Ok(lock(&self.sum).as_ref().ok_or_else(opened_already)?.count() as f64))
    }

    #[napi(catch_unwind)]
    pub fn open(
        &self,
        grid: &SecaggGrid,
        survivors: f64,
        noise: f64,
        total_mask: Buffer,
    ) -> Promised<OpenedSum, OpenedSum> {
        let (sum, grid, terms) = (Arc::clone(&self.sum), Arc::clone(&grid.0), self.terms.clone());
        off_loop(
            move || {
                let length = usize::try_from(terms.length).unwrap_or(usize::MAX);
                let total = Residues::unpack(terms.bits, length, &total_mask)?;
                let (survivors, noise) = (whole("survivors", survivors)?, whole("noise", noise)?);
                let sum = lock(&sum).take().ok_or_else(opened_already)?;
                Ok(OpenedSum { sum: sum.open(&grid, survivors, noise, &total)?, grid })
            },
            |opened| opened,
        )
    }
}

#[napi(js_name = "OpenedSum")]
pub struct OpenedSum {
    sum: quantise::OpenedSum,
    grid: Arc<quantise::Grid>,
}

#[napi]
impl OpenedSum {
    #[napi(catch_unwind)]
    pub fn survivors(&self) -> f64 {
        self.sum.survivors() as f64
    }

    #[napi(catch_unwind)]
    pub fn weight(&self) -> f64 {
        self.sum.weight() as f64
    }

    #[napi(catch_unwind)]
    pub fn metric(&self, index: f64) -> napi::Result<f64> {
        on_loop(|| Ok(self.sum.metric(&self.grid, place(index, self.grid.metrics())?)))
    }

    #[napi(catch_unwind)]
    pub fn tensor(&self, index: f64) -> napi::Result<Buffer> {
        on_loop(|| Ok(self.sum.tensor(&self.grid, place(index, self.grid.tensors())?).into()))
    }
}

fn place(index: f64, count: usize) -> Result<usize> {
    let index = whole("index", index)? as usize;
    if index < count { Ok(index) } else { Err(Error::new(Code::Argument, "there is no such tensor or metric")) }
}

fn opened_already() -> Error {
    Error::new(Code::Argument, "the sum was opened, and opens once")
}
