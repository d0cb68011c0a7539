//! The secret that a run's tree noise is made from, and the record of what it was used for.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use super::{Node, TreeRound};
use crate::error::{AtPath, Code, Error, Result};
use crate::privacy::noise::Drbg;
use crate::random;
use crate::seal::{DataKey, open_file, seal_new_file};

/// Changes with every change to the bits that come from a secret; a secret of another version does not open.
pub const CONTEXT: &str = "aegis tree noise secret v1";
const USE_CONTEXT: &str = "aegis tree noise use v1";
const SALT: &[u8] = b"aegis tree noise v1";

const SECRET: usize = 32;
const SEED: usize = 48;

/// 256 bits from the operating system, and the numbers that they are for. Wiped when it goes.
pub struct TreeSecret {
    secret: Zeroizing<[u8; SECRET]>,
}

impl TreeSecret {
    /// The secret of the round's run; made, if this is the run's first leaf and there is none.
    ///
    /// `bound` (the clip) and `noise_multiplier` are those of the first round: noise of another size is not the noise that is in the model
    /// already ([`Code::Argument`]). [`Code::NoiseSecretLost`] where there is none any more; [`Code::SealBroken`] where it is not this key's, or of
    /// another version.
    pub fn of(round: &TreeRound<'_>, bound: f64, noise_multiplier: f64, key: &DataKey) -> Result<Self> {
        let path = round.secret;
        if !fs::exists(path).at(path)? {
            if round.tree != 0 || round.leaf != 1 {
                return Err(Error::new(
                    Code::NoiseSecretLost,
                    "the secret that the noise of the earlier rounds was made from is gone; new noise must not take its place, so the run cannot go on",
                )
                .with("path", path.display()));
            }
            let mut kept = Zeroizing::new(Vec::with_capacity(SECRET + 16));
            kept.extend_from_slice(&*Zeroizing::new(random::<SECRET>()));
            kept.extend_from_slice(&numbers(bound, noise_multiplier));
            // Somebody else may have been quicker: what is on the disk counts.
            seal_new_file(path, &kept, key, CONTEXT)?;
        }
        let kept = Zeroizing::new(open_file(path, key, CONTEXT)?);
        let Some((secret, kept_numbers)) = kept.split_first_chunk::<SECRET>() else {
            return Err(Error::new(Code::SealBroken, "not a secret of tree noise").with("path", path.display()));
        };
        if *kept_numbers != numbers(bound, noise_multiplier) {
            return Err(Error::new(
                Code::Argument,
                "all rounds of a run with tree noise have one clip and one noise multiplier",
            ));
        }
        Ok(Self { secret: Zeroizing::new(*secret) })
    }

    /// The bits of one node, from the first one on; the same every time.
    pub(super) fn bits_of(&self, tree: u64, node: Node) -> Drbg {
        let mut seed = Zeroizing::new([0; SEED]);
        let (level, index) = (node.level.to_le_bytes(), node.index.to_le_bytes());
        hkdf::Salt::new(hkdf::HKDF_SHA256, SALT)
            .extract(&*self.secret)
            .expand(&[&tree.to_le_bytes(), &level, &index], SeedLength)
            .and_then(|output| output.fill(&mut *seed))
            .expect("48 bytes are within what HKDF-SHA-256 gives");
        Drbg::keyed(&seed)
    }

    #[cfg(test)]
    pub(super) fn fixed(byte: u8) -> Self {
        Self { secret: Zeroizing::new([byte; SECRET]) }
    }
}

impl fmt::Debug for TreeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TreeSecret(…)")
    }
}

struct SeedLength;

impl hkdf::KeyType for SeedLength {
    fn len(&self) -> usize {
        SEED
    }
}

fn numbers(bound: f64, noise_multiplier: f64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&bound.to_le_bytes());
    bytes[8..].copy_from_slice(&noise_multiplier.to_le_bytes());
    bytes
}

/// Says for good that the noise of the round's leaf goes into the model at `path`; [`Code::NoiseUsed`] if it went into another one.
///
/// A model is known by the last two names of its path, so that a volume may be mounted elsewhere.
pub fn claim(round: &TreeRound<'_>, path: &Path, key: &DataKey) -> Result<()> {
    let mut record = round.secret.as_os_str().to_owned();
    record.push(format!(".{}-{}", round.tree, round.leaf));
    let record = PathBuf::from(record);
    let last = path.components().rev().take(2).collect::<Vec<_>>().into_iter().rev().collect::<PathBuf>();
    let name = last.as_os_str().as_encoded_bytes();
    if !fs::exists(&record).at(&record)? {
        seal_new_file(&record, name, key, USE_CONTEXT)?;
    }
    if open_file(&record, key, USE_CONTEXT)? == name {
        return Ok(());
    }
    Err(Error::new(
        Code::NoiseUsed,
        "the noise of this round is in another sum already; with two of them it could be taken off",
    )
    .with("tree", round.tree)
    .with("leaf", round.leaf))
}
