//! What one round adds to the noise of its tree.

use super::{TreeSecret, change};
use crate::error::Result;
use crate::privacy::noise::{DiscreteGaussian, Drbg};
use crate::tensor::cast::BLOCK;

/// N_t − N_{t−1}, element by element from the first one on: the noise of the node that comes into the cover, less that of the nodes whose
/// place it takes — two nodes a round, taken over all rounds.
pub struct Increment {
    noise: DiscreteGaussian,
    comes: Drbg,
    goes: Vec<Drbg>,
}

impl Increment {
    /// `sigma`: of one node, in steps. `leaf` ≥ 1.
    pub fn new(secret: &TreeSecret, tree: u64, leaf: u64, sigma: f64) -> Result<Self> {
        let (comes, goes) = change(leaf);
        Ok(Self {
            noise: DiscreteGaussian::new(sigma)?,
            comes: secret.bits_of(tree, comes),
            goes: goes.into_iter().map(|node| secret.bits_of(tree, node)).collect(),
        })
    }

    /// Adds the next elements' noise. 33 nodes of at most 2^52 · 400 each are far inside an i128.
    pub fn add_to(&mut self, totals: &mut [i128]) {
        let mut drawn = [0; BLOCK];
        for totals in totals.chunks_mut(BLOCK) {
            let drawn = &mut drawn[..totals.len()];
            self.noise.fill(&mut self.comes, drawn);
            totals.iter_mut().zip(&*drawn).for_each(|(total, &noise)| *total += i128::from(noise));
            for goes in &mut self.goes {
                self.noise.fill(goes, drawn);
                totals.iter_mut().zip(&*drawn).for_each(|(total, &noise)| *total -= i128::from(noise));
            }
        }
    }
}
