//! Flower's own SecAgg+: the sum of a compatible round. Secrets are put together inside and never cross.

use std::sync::{Arc, Mutex};

use aegis_core::secagg::flower::quantise::Setup;
use aegis_core::secagg::flower::sum::{Dropped, Means, Sum};
use aegis_core::tensor::DType;
use aegis_core::{Code, Error, Result};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use super::{lock, node};
use crate::bridge::{Promised, off_loop, on_loop, whole};
use crate::memory;

#[napi(object)]
pub struct RawFlowerSetup {
    pub clipping_range: f64,
    pub target_range: f64,
    pub mod_range: f64,
    pub max_weight: f64,
}

fn setup(raw: &RawFlowerSetup) -> Result<Setup> {
    let setup = Setup {
        clipping_range: raw.clipping_range,
        target_range: whole("targetRange", raw.target_range)?,
        mod_range: whole("modRange", raw.mod_range)?,
        max_weight: raw.max_weight,
    };
    setup.check()?;
    Ok(setup)
}

#[napi(object)]
pub struct RawFlowerPeer {
    pub node: String,
    pub public_key: Buffer,
}

/// Holds the sum until it is opened or closed, as a masked sum does.
#[napi(js_name = "FlowerSum")]
pub struct FlowerSum(Arc<Mutex<Option<Sum>>>);

#[napi]
impl FlowerSum {
    #[napi(catch_unwind)]
    pub fn create(raw: RawFlowerSetup, shapes: Vec<Vec<f64>>) -> napi::Result<FlowerSum> {
        memory::give_back();
        on_loop(|| {
            let shape = |shape: Vec<f64>| shape.into_iter().map(|axis| whole("shape", axis)).collect();
            let shapes = shapes.into_iter().map(shape).collect::<Result<Vec<_>>>()?;
            Ok(FlowerSum(Arc::new(Mutex::new(Some(Sum::new(setup(&raw)?, &shapes)?)))))
        })
    }

    #[napi(catch_unwind)]
    pub fn add(&self, arrays: Vec<Buffer>) -> Promised<()> {
        let sum = Arc::clone(&self.0);
        off_loop(move || lock(&sum).as_mut().ok_or_else(gone)?.add(&slices(&arrays)), |()| ())
    }

    #[napi(catch_unwind)]
    pub fn count(&self) -> napi::Result<f64> {
        on_loop(|| Ok(lock(&self.0).as_ref().ok_or_else(gone)?.count() as f64))
    }

    #[napi(catch_unwind)]
    pub fn remove_private(&self, shares: Vec<Buffer>) -> Promised<()> {
        let sum = Arc::clone(&self.0);
        off_loop(move || lock(&sum).as_mut().ok_or_else(gone)?.remove_private(&slices(&shares)), |()| ())
    }

    #[napi(catch_unwind)]
    pub fn remove_pairs(
        &self,
        dropped: RawFlowerPeer,
        shares: Vec<Buffer>,
        delivered: Vec<RawFlowerPeer>,
    ) -> Promised<()> {
        let sum = Arc::clone(&self.0);
        off_loop(
            move || {
                let shares = slices(&shares);
                let peers = delivered.iter().map(|peer| Ok((node(&peer.node)?, &peer.public_key[..])));
                let peers = peers.collect::<Result<Vec<_>>>()?;
                let dropped = Dropped { node: node(&dropped.node)?, public_key: &dropped.public_key, shares: &shares };
                lock(&sum).as_mut().ok_or_else(gone)?.remove_pairs(&dropped, &peers)
            },
            |()| (),
        )
    }

    #[napi(catch_unwind)]
    pub fn open(&self) -> Promised<FlowerMeans, FlowerMeans> {
        let sum = Arc::clone(&self.0);
        off_loop(
            move || {
                let sum = lock(&sum).take().ok_or_else(gone)?;
                Ok(FlowerMeans(Arc::new(Mutex::new(Some(sum.open()?)))))
            },
            |means| means,
        )
    }

    /// As that of a masked sum.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        lock(&self.0).take();
        memory::give_back();
    }
}

#[napi(js_name = "FlowerMeans")]
pub struct FlowerMeans(Arc<Mutex<Option<Means>>>);

#[napi]
impl FlowerMeans {
    #[napi(catch_unwind)]
    pub fn weight(&self) -> napi::Result<f64> {
        on_loop(|| Ok(lock(&self.0).as_ref().ok_or_else(gone)?.weight() as f64))
    }

    #[napi(catch_unwind)]
    pub fn array(&self, index: f64, dtype: Option<String>) -> Promised<Vec<u8>, Buffer> {
        let means = Arc::clone(&self.0);
        off_loop(
            move || {
                let dtype = dtype.as_deref().map_or(Ok(DType::F64), DType::parse)?;
                lock(&means).as_ref().ok_or_else(gone)?.array_as(whole("index", index)? as usize, dtype)
            },
            Buffer::from,
        )
    }

    /// As that of a masked sum.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        lock(&self.0).take();
        memory::give_back();
    }
}

fn slices(buffers: &[Buffer]) -> Vec<&[u8]> {
    buffers.iter().map(|buffer| &buffer[..]).collect()
}

fn gone() -> Error {
    Error::new(Code::Argument, "the sum was opened, and opens once, or closed")
}
