//! Noise of a binary tree over the rounds, for DP-FTRL (Kairouz, McMahan, Song, Thakkar, Thakurta & Xu 2021, "Practical and private (deep)
//! learning without sampling or shuffling", arXiv 2103.00039, section 4 and appendix B; the tree is that of Dwork, Naor, Pitassi & Rothblum 2010).
//!
//! Round t of a tree is its leaf t, from 1. A node of level l covers 2^l leaves, from a multiple of 2^l on, and has noise of its own: an exact
//! discrete Gaussian of σ = z · bound, in steps of the fold's grid, for every element. What is released of rounds 1 … t is S_t + N_t: the sum of all
//! clipped updates so far, and the noise of the nodes that cover 1 … t, one for each 1 among t's bits. A round adds to the model what is new:
//! its own sum and N_t − N_{t−1} ([`Increment`]), so that the noise in a model is that of few nodes, however many rounds it took.
//!
//! **Cost.** A leaf lies under at most ⌈log₂(n + 1)⌉ of the nodes that covers of a tree of n leaves are made of, so one update moves the vector of all node
//! sums by at most bound · √⌈log₂(n + 1)⌉. All that is released is made of the noised node sums and nothing else: one Gaussian mechanism under zero-out,
//! with that sensitivity. A unit that is in k trees, **once in each**, costs k times its square: the accounting's `tree` event with k epochs. Twice in one
//! tree costs more than that, because both updates are in the same nodes near the root; who selects must not do it.
//!
//! **Discrete.** Accounted as continuous noise of variance σ² − 5 ([`crate::privacy::accounting`]). The bound has 2^39 steps or more and the
//! accounting takes no multiplier below 2^-10, so 5 is less than 2^-55 of σ²; two units in σ's last place, by which it is rounded up, are more.
//!
//! **The same in every round.** N_{t−1} is needed again when round t takes it out, so the noise of a node is made again from a key: HKDF-SHA-256 of
//! the run's secret, with the tree's and the node's number, keys AES-256 in counter mode ([`Drbg`]). Therefore the noise is as good as that cipher — the
//! guarantee is computational, against who cannot tell its output from random bits — and as good as the secret is kept: who has it takes the noise off.
//! The secret is drawn once, by the operating system, sealed, and never drawn again: one that is lost ends the run ([`Code::NoiseSecretLost`]),
//! because new noise for old nodes is not what was accounted.
//!
//! **One leaf, one release.** Two sums with the same noise would tell their difference. Which model file a leaf's noise went into is sealed
//! before the file is written; for another one there is none ([`Code::NoiseUsed`]).
//!
//! **Versions.** The same bits come from the same sampler. A change to it that changes the bits must change [`secret::CONTEXT`] too, so that a run
//! under way ends instead of going on with other noise; a test keeps some bits.

mod increment;
mod secret;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use increment::Increment;
pub use secret::TreeSecret;
pub(super) use secret::claim;

use crate::error::{Code, Error, Result};

/// Leaves beyond are a mistake.
const MOST_LEAVES: u64 = 1 << 32;

/// A node covers the leaves index · 2^level + 1 to (index + 1) · 2^level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub level: u32,
    pub index: u64,
}

impl Node {
    /// The node of this level that ends with this leaf, a multiple of 2^level.
    const fn ending(level: u32, leaf: u64) -> Self {
        Self { level, index: (leaf >> level) - 1 }
    }
}

/// A round of a run with tree noise.
#[derive(Clone, Copy, Debug)]
pub struct TreeRound<'a> {
    /// Where the run's secret is kept, sealed. The first leaf of tree 0 makes it. Files named after it stand beside it.
    pub secret: &'a Path,
    /// Restarts before this one: each tree has noise of its own.
    pub tree: u64,
    /// From 1.
    pub leaf: u64,
}

impl TreeRound<'_> {
    pub(super) fn check(&self) -> Result<()> {
        if (1..=MOST_LEAVES).contains(&self.leaf) {
            return Ok(());
        }
        Err(Error::new(Code::Argument, "leaves of a tree are counted from 1 to 2^32").with("got", self.leaf))
    }
}

/// The nodes that cover the leaves 1 to `leaf`, none of them twice.
pub fn cover(leaf: u64) -> Vec<Node> {
    (0..u64::BITS)
        .filter(|&level| (leaf >> level) & 1 == 1)
        .map(|level| Node::ending(level, leaf >> level << level))
        .collect()
}

/// What tells the cover of `leaf` ≥ 1 from the one before: the node that comes in, and those that it takes the place of.
pub fn change(leaf: u64) -> (Node, Vec<Node>) {
    let level = leaf.trailing_zeros();
    let out = (0..level).map(|below| Node::ending(below, (leaf - 1) >> below << below)).collect();
    (Node::ending(level, leaf), out)
}
