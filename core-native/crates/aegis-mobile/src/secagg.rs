//! Secure aggregation: a node's rounds. Messages cross as their JSON, vectors as bytes. The servers' arithmetic is not a phone's business.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aegis_core::privacy::noise::Drbg;
use aegis_core::secagg::client::{Client, Floors};
use aegis_core::secagg::messages::{Terms, from_json, to_json};
use aegis_core::secagg::plan::Plan;
use aegis_core::secagg::quantise::{self, Contribution, Rounding};
use aegis_core::secagg::signing;
use aegis_core::tensor::{DType, TensorSpec};

use crate::bridge::{CoreException, guarded};

/// A node's certified key, Ed25519 or P-256, out of PKCS#8 (DER).
#[derive(uniffi::Object)]
pub struct SigningKey(signing::SigningKey);

#[uniffi::export]
impl SigningKey {
    #[uniffi::constructor]
    pub fn of_pkcs8(der: Vec<u8>) -> Result<Arc<Self>, CoreException> {
        guarded(|| Ok(Arc::new(Self(signing::SigningKey::from_pkcs8(&der)?))))
    }

    pub fn public_pem(&self) -> String {
        self.0.public_pem()
    }
}

/// What every request of a round names.
#[uniffi::export]
pub fn secagg_terms_digest(terms: String) -> Result<String, CoreException> {
    guarded(|| Ok(aegis_core::hash::to_hex(&from_json::<Terms>(&terms)?.digest())))
}

/// What the terms name a plan by: what this node was asked, so that no other node of the round was asked anything else.
#[uniffi::export]
pub fn secagg_plan_digest(plan: String) -> Result<String, CoreException> {
    guarded(|| Ok(aegis_core::hash::to_hex(&from_json::<Plan>(&plan)?.digest())))
}

#[derive(uniffi::Record)]
pub struct TensorForm {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<u64>,
}

/// Which values a round sums, and how they become integers. Options as JSON.
#[derive(uniffi::Object)]
pub struct SecaggGrid(quantise::Grid);

#[uniffi::export]
impl SecaggGrid {
    #[uniffi::constructor]
    pub fn new(tensors: Vec<TensorForm>, options: String) -> Result<Arc<Self>, CoreException> {
        guarded(|| {
            let spec = |TensorForm { name, dtype, shape }| TensorSpec::new(name, DType::parse(&dtype)?, shape);
            let specs = tensors.into_iter().map(spec).collect::<aegis_core::Result<_>>()?;
            Ok(Arc::new(Self(quantise::Grid::new(specs, from_json(&options)?)?)))
        })
    }

    pub fn length(&self) -> u64 {
        self.0.length() as u64
    }

    /// The modulus of a cohort and its arithmetic, as JSON.
    pub fn modulus(&self, cohort: u64, noise: u64) -> Result<String, CoreException> {
        guarded(|| Ok(to_json(&self.0.modulus(cohort, noise)?)))
    }

    /// What the noise of so many honest nodes amounts to, as JSON.
    pub fn noise(&self, honest: u64) -> Result<String, CoreException> {
        guarded(|| Ok(to_json(&self.0.noise(honest)?)))
    }
}

/// One node in one round. Every request is answered once: the same again gets the same answer, another one ends the round. Keep what
/// [`SecaggClient::save`] gives, sealed, before an answer leaves.
#[derive(uniffi::Object)]
pub struct SecaggClient(Mutex<Client>);

#[uniffi::export]
impl SecaggClient {
    /// Begins a round with fresh keys; the advert holds until `expires` (seconds since 1970).
    #[uniffi::constructor]
    pub fn advertise(
        node: u64,
        terms: String,
        floors: String,
        key: Arc<SigningKey>,
        expires: u64,
    ) -> Result<Arc<Self>, CoreException> {
        guarded(|| {
            let (terms, floors): (Terms, Floors) = (from_json(&terms)?, from_json(&floors)?);
            Ok(Arc::new(Self(Mutex::new(Client::advertise(node, terms, floors, &key.0, expires)?))))
        })
    }

    #[uniffi::constructor]
    pub fn restore(saved: Vec<u8>) -> Result<Arc<Self>, CoreException> {
        guarded(|| Ok(Arc::new(Self(Mutex::new(Client::restore(&saved)?)))))
    }

    /// The state with its secrets: to be sealed.
    pub fn save(&self) -> Vec<u8> {
        self.client().save().to_vec()
    }

    /// The round answered last, 0 to 4; absent once the round has ended early.
    pub fn stage(&self) -> Option<u8> {
        self.client().stage()
    }

    /// Why the round has ended, if it has.
    pub fn ended(&self) -> Option<String> {
        self.client().ended().map(|reason| reason.as_str().to_string())
    }

    pub fn advert(&self) -> Option<String> {
        self.client().advert().map(to_json)
    }

    /// Ends the round and wipes what is secret.
    pub fn abort(&self) {
        self.client().abort();
    }

    pub fn share_keys(&self, request: String, now: u64) -> Result<String, CoreException> {
        guarded(|| Ok(to_json(&self.client().share_keys(from_json(&request)?, now)?)))
    }

    /// The update as integers under its masks, packed: little-endian elements of each tensor, in the grid's order.
    pub fn mask_input(
        &self,
        request: String,
        grid: Arc<SecaggGrid>,
        tensors: Vec<Vec<u8>>,
        metrics: Vec<f64>,
        weight: u64,
    ) -> Result<Vec<u8>, CoreException> {
        guarded(|| {
            let request = from_json(&request)?;
            let tensors: Vec<&[u8]> = tensors.iter().map(Vec::as_slice).collect();
            let input = Contribution { tensors: &tensors, start: None, metrics: &metrics, weight };
            let bits = self.client().terms().bits;
            let vector = grid.0.quantise(bits, &input, Rounding::Unbiased, &mut Drbg::new())?;
            Ok(self.client().mask_input(&request, vector, 1)?.pack())
        })
    }

    pub fn confirm_survivors(&self, request: String, key: Arc<SigningKey>) -> Result<String, CoreException> {
        guarded(|| Ok(to_json(&self.client().confirm_survivors(&from_json(&request)?, &key.0)?)))
    }

    pub fn unmask(&self, request: String) -> Result<String, CoreException> {
        guarded(|| Ok(to_json(&self.client().unmask(&from_json(&request)?)?)))
    }
}

impl SecaggClient {
    /// A poisoned machine is still in a state it chose: every transition replaces the stage whole.
    fn client(&self) -> MutexGuard<'_, Client> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
