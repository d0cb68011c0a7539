//! The end of a private fold: noise, once, into a sealed file.

use std::fs;
use std::path::{Path, PathBuf};

use super::{PrivateFold, Start};
use crate::error::{AtPath, Code, Error, Result};
use crate::model::{ModelInfo, ModelReader, ModelWriter};
use crate::privacy::noise::{DiscreteGaussian, Drbg};
use crate::privacy::tree::{self, Increment, TreeRound, TreeSecret};
use crate::seal::{DataKey, open_file, seal_new_file};
use crate::tensor::cast::{self, BLOCK};

const BITS_CONTEXT: &str = "aegis noised sum of bits v1";

/// A sum of one bit an update — whether it was clipped, say, for adaptive clipping — that leaves with its own noise.
#[derive(Clone, Copy, Debug)]
pub struct Bits {
    /// An update moves it by at most 1.
    pub sum: i64,
    /// σ over 1. Above 0.
    pub noise_multiplier: f64,
}

/// How to end a private fold.
pub struct Finish<'a> {
    /// σ over the bound. Above 0.
    pub noise_multiplier: f64,
    /// What the sum is divided by: the expected number of updates, or of their weights as parts of the greatest; fixed before the round.
    pub denominator: f64,
    pub bits: Option<Bits>,
    /// The noise is that of a tree over the rounds instead of fresh noise; not with `bits`. See [`crate::privacy::tree`].
    pub tree: Option<TreeRound<'a>>,
    /// The sealed model file. One path is one release: the caller names it after run, round and attempt.
    pub path: &'a Path,
    pub key: &'a DataKey,
}

/// What left the fold, and nothing more.
#[derive(Clone, Debug, PartialEq)]
pub struct Noised {
    pub model: ModelInfo,
    pub bits: Option<i64>,
    /// Whether the model was there already, from an earlier finish.
    pub found: bool,
}

impl PrivateFold {
    /// Adds the noise and writes the model, unless the path has one already: then that one is the answer, whatever is asked for now.
    ///
    /// A finish that was interrupted left nothing, or the noised bits alone, which is used again. Without any update the model is the start model
    /// with noise: that nobody answered is nobody's business either. [`Code::Argument`] for a noise multiplier or denominator that makes no
    /// sense; [`Code::SealBroken`] if what is at the path is not this key's; with tree noise those of [`TreeSecret::of`] and [`Code::NoiseUsed`].
    pub fn finish(&self, how: &Finish<'_>) -> Result<Noised> {
        self.finish_with(how, &mut Drbg::new())
    }

    /// Only tests bring their own randomness.
    pub(super) fn finish_with(&self, how: &Finish<'_>, drbg: &mut Drbg) -> Result<Noised> {
        let state = self.state();
        state.refuse_if_broken()?;
        if !(how.denominator > 0.0 && how.denominator.is_finite()) {
            return Err(Error::new(Code::Argument, "the denominator is a number above 0").with("got", how.denominator));
        }
        // Rounded up: never less noise than was granted. A tree of discrete noise is accounted for as continuous with a hair less.
        let sigma = (how.noise_multiplier * self.bound.steps()).next_up().next_up();
        let fresh =
            DiscreteGaussian::new(sigma).map_err(|error| error.with("noise-multiplier", how.noise_multiplier))?;
        if how.tree.is_some() && how.bits.is_some() {
            return Err(Error::new(Code::Argument, "a sum of bits has no tree: its noise is drawn afresh"));
        }
        how.tree.as_ref().map_or(Ok(()), TreeRound::check)?;
        if let Some(found) = Self::found(how.path, how.key)? {
            return Ok(found);
        }
        let bits = how.bits.map(|bits| noised_bits(bits, how, drbg)).transpose()?;
        let mut noise = match &how.tree {
            None => Noise::Fresh(fresh, drbg),
            Some(round) => {
                let secret =
                    TreeSecret::of(round, self.bound.steps() * self.bound.step(), how.noise_multiplier, how.key)?;
                tree::claim(round, how.path, how.key)?;
                Noise::Tree(Increment::new(&secret, round.tree, round.leaf, sigma)?)
            }
        };
        let mut writer = ModelWriter::create(how.path, how.key)?;
        let factor = self.bound.step() / how.denominator;
        for (start, sums) in self.start.iter().zip(&state.sums) {
            writer.begin(start.spec.name(), start.spec.dtype(), start.spec.shape())?;
            if start.spec.dtype().is_float() {
                write_noised(start, sums, factor, &mut noise, &mut writer)?;
            } else {
                writer.payload(start.payload())?;
            }
        }
        match writer.finish_new()? {
            Some(model) => Ok(Noised { model, bits, found: false }),
            // Somebody else's finish was quicker: its noise is the one that counts, and ours was seen by nobody.
            None => Self::found(how.path, how.key)?.ok_or_else(|| {
                Error::new(Code::Io, "the noised model was there and is gone").with("path", how.path.display())
            }),
        }
    }

    /// What an earlier finish left at this path, if it came to its end. Needs no sum.
    pub fn found(path: &Path, key: &DataKey) -> Result<Option<Noised>> {
        if !fs::exists(path).at(path)? {
            return Ok(None);
        }
        let model = ModelReader::open(path, key)?.info().clone();
        let beside = beside(path);
        let bits = if fs::exists(&beside).at(&beside)? { Some(read_bits(&beside, key)?) } else { None };
        Ok(Some(Noised { model, bits, found: true }))
    }
}

enum Noise<'a> {
    Fresh(DiscreteGaussian, &'a mut Drbg),
    Tree(Increment),
}

impl Noise<'_> {
    /// Adds the next elements' noise.
    fn add_to(&mut self, totals: &mut [i128]) {
        match self {
            Noise::Fresh(noise, drbg) => {
                let mut drawn = [0; BLOCK];
                let drawn = &mut drawn[..totals.len()];
                noise.fill(drbg, drawn);
                totals.iter_mut().zip(&*drawn).for_each(|(total, &noise)| *total += i128::from(noise));
            }
            Noise::Tree(increment) => increment.add_to(totals),
        }
    }
}

fn write_noised(
    start: &Start,
    sums: &[i64],
    factor: f64,
    noise: &mut Noise<'_>,
    writer: &mut ModelWriter,
) -> Result<()> {
    let dtype = start.spec.dtype();
    let (mut values, mut totals) = ([0.0; BLOCK], [0; BLOCK]);
    let mut bytes = Vec::with_capacity(BLOCK * dtype.size());
    for (block, sums) in sums.chunks(BLOCK).enumerate() {
        let (values, totals) = (&mut values[..sums.len()], &mut totals[..sums.len()]);
        start.decode(block * BLOCK, values);
        totals.iter_mut().zip(sums).for_each(|(total, &sum)| *total = i128::from(sum));
        noise.add_to(totals);
        values.iter_mut().zip(&*totals).for_each(|(value, &total)| *value += total as f64 * factor);
        bytes.clear();
        cast::encode_finite(dtype, values, &mut bytes);
        writer.payload(&bytes)?;
    }
    Ok(())
}

/// The sum of bits with its own noise, drawn once for the path.
fn noised_bits(bits: Bits, how: &Finish<'_>, drbg: &mut Drbg) -> Result<i64> {
    let noise = DiscreteGaussian::new(bits.noise_multiplier)
        .map_err(|error| error.with("bit-noise-multiplier", bits.noise_multiplier))?;
    let path = beside(how.path);
    if !fs::exists(&path).at(&path)? {
        let noised = bits.sum + noise.sample(drbg);
        seal_new_file(&path, &noised.to_le_bytes(), how.key, BITS_CONTEXT)?;
    }
    // What is on the disk counts, not what was drawn: somebody else may have been quicker.
    read_bits(&path, how.key)
}

fn read_bits(path: &Path, key: &DataKey) -> Result<i64> {
    let kept = open_file(path, key, BITS_CONTEXT)?;
    let bytes =
        kept.try_into().map_err(|_| Error::new(Code::SealBroken, "not a sum of bits").with("path", path.display()))?;
    Ok(i64::from_le_bytes(bytes))
}

/// Where the bits of a model file are kept: `<model file>.bits`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".bits");
    name.into()
}
