//! Normal variables in floating point, where nothing is promised.

use rand_distr::{Distribution, StandardNormal};

use super::drbg::Drbg;

/// A normal variable by the ziggurat method, from secure bits. **It carries no guarantee**: that a float was drawn, and which ones
/// can come out, tells about the value it is added to. For simulation and comparison.
pub struct ContinuousGaussian {
    sigma: f64,
}

impl ContinuousGaussian {
    pub fn new(sigma: f64) -> Self {
        Self { sigma }
    }

    pub fn fill(&self, drbg: &mut Drbg, out: &mut [f64]) {
        for slot in out {
            let unit: f64 = StandardNormal.sample(drbg);
            *slot = unit * self.sigma;
        }
    }
}
