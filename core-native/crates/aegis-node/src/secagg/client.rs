//! A node's side.

use std::sync::{Arc, Mutex};

use aegis_core::privacy::noise::Drbg;
use aegis_core::secagg::client::{Client, Floors};
use aegis_core::secagg::messages::{Terms, from_json, to_json};
use aegis_core::secagg::quantise::{Contribution, Rounding};
use aegis_core::secagg::refusal::Refusal;
use aegis_core::secagg::residues::Residues;
use aegis_core::secagg::signing;
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;

use super::{SecaggGrid, lock, node, small};
use crate::bridge::{Promised, off_loop, on_loop, whole};

#[napi(js_name = "SigningKey")]
pub struct SigningKey(Arc<signing::SigningKey>);

#[napi]
impl SigningKey {
    #[napi(catch_unwind)]
    pub fn from_pkcs8(der: Buffer) -> napi::Result<SigningKey> {
        on_loop(|| Ok(SigningKey(Arc::new(signing::SigningKey::from_pkcs8(&der)?))))
    }

    #[napi(catch_unwind)]
    pub fn public_pem(&self) -> String {
        self.0.public_pem()
    }
}

#[napi(object, object_to_js = false)]
pub struct RawContribution {
    pub tensors: Vec<Buffer>,
    /// What the update started from; its difference from that is what counts then.
    pub start: Option<Vec<Buffer>>,
    pub metrics: Vec<f64>,
    pub weight: f64,
}

#[napi(js_name = "SecaggClient")]
pub struct SecaggClient(Arc<Mutex<Client>>);

impl SecaggClient {
    fn holding(client: Client) -> Self {
        Self(Arc::new(Mutex::new(client)))
    }
}

#[napi]
impl SecaggClient {
    #[napi(catch_unwind)]
    pub fn advertise(
        node_id: String,
        terms: String,
        floors: String,
        key: &SigningKey,
        expires: f64,
    ) -> napi::Result<SecaggClient> {
        on_loop(|| {
            let (terms, floors): (Terms, Floors) = (from_json(&terms)?, from_json(&floors)?);
            let expires = whole("expires", expires)?;
            Ok(Self::holding(Client::advertise(node(&node_id)?, terms, floors, &key.0, expires)?))
        })
    }

    #[napi(catch_unwind)]
    pub fn lost(node_id: String, terms: String, floors: String) -> napi::Result<SecaggClient> {
        on_loop(|| Ok(Self::holding(Client::lost(node(&node_id)?, from_json(&terms)?, from_json(&floors)?))))
    }

    #[napi(catch_unwind)]
    pub fn restore(saved: Buffer) -> napi::Result<SecaggClient> {
        on_loop(|| Ok(Self::holding(Client::restore(&saved)?)))
    }

    /// Secrets among it: the caller seals it and wipes the buffer.
    #[napi(catch_unwind)]
    pub fn save(&self) -> Buffer {
        lock(&self.0).save().to_vec().into()
    }

    #[napi(catch_unwind)]
    pub fn stage(&self) -> Option<u32> {
        lock(&self.0).stage().map(u32::from)
    }

    #[napi(catch_unwind)]
    pub fn ended(&self) -> Option<String> {
        lock(&self.0).ended().map(|reason| reason.as_str().to_string())
    }

    #[napi(catch_unwind)]
    pub fn advert(&self) -> Option<String> {
        lock(&self.0).advert().map(to_json)
    }

    #[napi(catch_unwind)]
    pub fn abort(&self) {
        lock(&self.0).abort();
    }

    #[napi(catch_unwind)]
    pub fn share_keys(&self, request: String, now: f64) -> Promised<String> {
        let client = Arc::clone(&self.0);
        off_loop(
            move || Ok(to_json(&lock(&client).share_keys(from_json(&request)?, whole("now", now)?)?)),
            |answer| answer,
        )
    }

    /// Quantises an update and masks it; the packed vector.
    #[napi(catch_unwind)]
    pub fn mask_input(
        &self,
        request: String,
        grid: &SecaggGrid,
        update: RawContribution,
        threads: f64,
    ) -> Promised<Vec<u8>, Buffer> {
        let (client, grid) = (Arc::clone(&self.0), Arc::clone(&grid.0));
        off_loop(
            move || {
                let request = from_json(&request)?;
                let threads = small("threads", threads)? as usize;
                let start = update.start.as_deref().map(views);
                let input = Contribution {
                    tensors: &views(&update.tensors),
                    start: start.as_deref(),
                    metrics: &update.metrics,
                    weight: whole("weight", update.weight)?,
                };
                let bits = lock(&client).terms().bits;
                let vector = grid.quantise(bits, &input, Rounding::Unbiased, &mut Drbg::new())?;
                let masked: Residues = lock(&client).mask_input(&request, vector, threads)?;
                Ok(masked.pack())
            },
            Buffer::from,
        )
    }

    #[napi(catch_unwind)]
    pub fn confirm_survivors(&self, request: String, key: &SigningKey) -> Promised<String> {
        let (client, key) = (Arc::clone(&self.0), Arc::clone(&key.0));
        off_loop(move || Ok(to_json(&lock(&client).confirm_survivors(&from_json(&request)?, &key)?)), |answer| answer)
    }

    #[napi(catch_unwind)]
    pub fn unmask(&self, request: String) -> Promised<String> {
        let client = Arc::clone(&self.0);
        off_loop(move || Ok(to_json(&lock(&client).unmask(&from_json(&request)?)?)), |answer| answer)
    }
}

fn views(tensors: &[Buffer]) -> Vec<&[u8]> {
    tensors.iter().map(|tensor| &tensor[..]).collect()
}

/// Every refusal there is, so that the typed face can be held against them.
#[napi(catch_unwind)]
pub fn secagg_refusals() -> Vec<String> {
    Refusal::ALL.iter().map(|refusal| refusal.as_str().to_string()).collect()
}
