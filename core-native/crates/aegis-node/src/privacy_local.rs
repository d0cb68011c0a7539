//! Local privacy of a trained model.

use std::sync::Arc;

use aegis_core::privacy::accounting::event::Relation;
use aegis_core::privacy::local_update::{self, Trained};
use aegis_core::privacy::privatize::Privatizer;
use aegis_core::tensor::DType;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use crate::bridge::{Promised, off_loop, on_loop};

#[napi(object)]
pub struct RawTrained {
    pub name: String,
    pub dtype: String,
    pub came: Buffer,
    pub goes: Buffer,
}

#[napi(object)]
pub struct NoisedUpdate {
    pub tensors: Vec<Buffer>,
    pub norm: f64,
    pub clipped: bool,
}

#[napi(js_name = "LocalNoise")]
pub struct LocalNoise(Arc<Privatizer>);

#[napi]
impl LocalNoise {
    #[napi(catch_unwind)]
    pub fn of_sigma(clip: f64, sigma: f64) -> napi::Result<LocalNoise> {
        on_loop(|| Privatizer::new(clip, sigma).map(|privatizer| LocalNoise(Arc::new(privatizer))))
    }

    #[napi(catch_unwind)]
    pub fn calibrated(clip: f64, epsilon: f64, delta: f64) -> napi::Result<LocalNoise> {
        on_loop(|| {
            Privatizer::calibrated(clip, epsilon, delta, Relation::ReplaceOne)
                .map(|privatizer| LocalNoise(Arc::new(privatizer)))
        })
    }

    #[napi(catch_unwind)]
    pub fn sigma(&self) -> napi::Result<f64> {
        on_loop(|| Ok(self.0.sigma()))
    }

    #[napi(catch_unwind)]
    pub fn apply(&self, tensors: Vec<RawTrained>) -> Promised<local_update::Noised, NoisedUpdate> {
        let privatizer = Arc::clone(&self.0);
        off_loop(
            move || {
                let tensors = tensors
                    .iter()
                    .map(|RawTrained { name, dtype, came, goes }| {
                        let dtype = DType::parse(dtype).map_err(|error| error.with("tensor", name))?;
                        Ok(Trained { name, dtype, came, goes })
                    })
                    .collect::<aegis_core::Result<Vec<_>>>()?;
                local_update::noise_trained(&privatizer, &tensors)
            },
            |done| NoisedUpdate {
                tensors: done.tensors.into_iter().map(Buffer::from).collect(),
                norm: done.norm,
                clipped: done.clipped,
            },
        )
    }
}
