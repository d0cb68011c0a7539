//! The fold for central differential privacy.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aegis_core::privacy::fold;
use aegis_core::privacy::tree::TreeRound;
use aegis_core::{Code, Error, Result};
use napi_derive::napi;

use crate::bridge::{Promised, off_loop, on_loop, whole};
use crate::fold::{RawSource, to_sources};
use crate::intake::IntakeLog;
use crate::memory;
use crate::model::{ModelFile, ModelInfo, model_info};
use crate::seal::DataKey;

#[napi(object)]
pub struct AddedPrivately {
    pub norm: f64,
    pub clipped: bool,
    pub weight: f64,
}

#[napi(object)]
pub struct RawBits {
    pub sum: f64,
    pub noise_multiplier: f64,
}

#[napi(object)]
pub struct RawTreeRound {
    pub secret: String,
    pub tree: f64,
    pub leaf: f64,
}

#[napi(object)]
pub struct RawFinish {
    pub noise_multiplier: f64,
    pub denominator: f64,
    pub bits: Option<RawBits>,
    pub tree: Option<RawTreeRound>,
    pub path: String,
}

#[napi(object)]
pub struct Noised {
    pub model: ModelInfo,
    pub bits: Option<f64>,
    pub found: bool,
}

/// Holds the sums until `close`, as `Fold` does.
#[napi(js_name = "PrivateFold")]
pub struct PrivateFold(RwLock<Option<Arc<fold::PrivateFold>>>);

impl PrivateFold {
    fn held(&self) -> Result<Arc<fold::PrivateFold>> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.clone().ok_or_else(|| Error::new(Code::Argument, "the fold is closed"))
    }
}

#[napi]
impl PrivateFold {
    #[napi(catch_unwind)]
    pub fn open(model: &ModelFile, clip: f64, weight_max: f64) -> Promised<fold::PrivateFold, PrivateFold> {
        memory::give_back();
        let reader = model.reader();
        off_loop(
            move || fold::PrivateFold::open(&*reader?, clip, weight_max),
            |fold| PrivateFold(RwLock::new(Some(Arc::new(fold)))),
        )
    }

    #[napi(catch_unwind)]
    pub fn found(path: String, key: &DataKey) -> Promised<Option<fold::Noised>, Option<Noised>> {
        let key = key.0.clone();
        off_loop(move || fold::PrivateFold::found(&PathBuf::from(path), &key), |found| found.map(noised))
    }

    #[napi(catch_unwind)]
    pub fn add(&self, log: &IntakeLog, tensors: Vec<RawSource>, weight: f64) -> Promised<fold::Added, AddedPrivately> {
        let (fold, log) = (self.held(), Arc::clone(&log.0));
        off_loop(
            move || fold?.add(&*log, &to_sources(tensors)?, weight),
            |added| AddedPrivately { norm: added.norm, clipped: added.clipped, weight: added.weight },
        )
    }

    #[napi(catch_unwind)]
    pub fn count(&self) -> napi::Result<f64> {
        on_loop(|| Ok(self.held()?.count() as f64))
    }

    #[napi(catch_unwind)]
    pub fn finish(&self, how: RawFinish, key: &DataKey) -> Promised<fold::Noised, Noised> {
        let (fold, key) = (self.held(), key.0.clone());
        off_loop(
            move || {
                let secret = how.tree.as_ref().map(|tree| PathBuf::from(&tree.secret)).unwrap_or_default();
                let tree = how.tree.as_ref().map(|raw| to_tree(raw, &secret)).transpose()?;
                fold?.finish(&fold::Finish {
                    noise_multiplier: how.noise_multiplier,
                    denominator: how.denominator,
                    bits: how.bits.map(to_bits).transpose()?,
                    tree,
                    path: &PathBuf::from(how.path),
                    key: &key,
                })
            },
            noised,
        )
    }

    /// Gives the sums' memory back, after calls under way. Everything but `close` is refused afterwards.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).take();
        memory::give_back();
    }
}

fn to_bits(raw: RawBits) -> Result<fold::Bits> {
    Ok(fold::Bits { sum: whole("bits", raw.sum)? as i64, noise_multiplier: raw.noise_multiplier })
}

fn to_tree<'a>(raw: &RawTreeRound, secret: &'a Path) -> Result<TreeRound<'a>> {
    Ok(TreeRound { secret, tree: whole("tree", raw.tree)?, leaf: whole("leaf", raw.leaf)? })
}

fn noised(noised: fold::Noised) -> Noised {
    Noised { model: model_info(noised.model), bits: noised.bits.map(|bits| bits as f64), found: noised.found }
}
