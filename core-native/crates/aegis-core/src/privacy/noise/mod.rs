//! Noise: on whole numbers and exact wherever a guarantee is claimed.
//!
//! | sampler | distribution | for |
//! |---|---|---|
//! | [`DiscreteGaussian`] | P(k) ∝ exp(−k² / 2σ²), exactly | central and local privacy |
//! | [`DiscreteLaplace`] | P(k) ∝ exp(−∣k∣ / s), exactly | counts under pure ε |
//! | [`Skellam`] | difference of two Poisson variables, exactly | noise that many add up and that keeps its form |
//! | [`FixedTripGaussian`] | the discrete Gaussian within a statistical distance of 2^-115 | adversaries on the same processor |
//! | [`ContinuousGaussian`] | a float's idea of a normal variable | no guarantee: simulation, benchmarks |
//!
//! Floats never carry a guarantee: the gaps between them tell noise from value (Mironov 2012, "On significance of the least
//! significant bits for differential privacy"; Casacuberta et al. 2022, arXiv 2207.10635). All bits come from a [`Drbg`].
//!
//! The fast samplers take as long as the drawn number needs, which tells a program on the same core something about it (Jin et
//! al. 2021, arXiv 2112.05307); [`FixedTripGaussian`] touches the same memory in the same order for every draw.

mod continuous;
mod drbg;
#[cfg(test)]
pub(crate) mod fit;
mod fixed_trip;
mod shape;
mod table;
#[cfg(test)]
mod tests;

pub use continuous::ContinuousGaussian;
pub use drbg::Drbg;
pub use fixed_trip::FixedTripGaussian;
use shape::{Gaussian, Laplace, Poisson};
use table::Table;

use crate::error::{Code, Error, Result};

/// Below this nearly every draw is 0, and no useful noise.
pub const LEAST_SCALE: f64 = 1.0 / 1024.0;
/// Sums of noise and 2^19 values of 2^40 stay inside an i64 up to here.
pub const GREATEST_SCALE: f64 = (1u64 << 52) as f64;
/// Poisson's table is made by walking through some 16 deviations.
pub const GREATEST_VARIANCE: f64 = (1u64 << 25) as f64;

/// The exact discrete Gaussian (Canonne, Kamath & Steinke 2020, arXiv 2004.00010, Definition 1), for σ from 2^-10 to 2^52.
///
/// Added to every entry of a vector of integers with L2 sensitivity Δ it gives Δ²/2σ²-concentrated differential privacy (Theorem 14 there).
pub struct DiscreteGaussian {
    table: Table<Gaussian>,
    sigma: f64,
}

impl DiscreteGaussian {
    /// [`Code::Argument`] for a σ outside of the range. Makes a table: some 50 µs.
    pub fn new(sigma: f64) -> Result<Self> {
        within("sigma", sigma, LEAST_SCALE, GREATEST_SCALE)?;
        Ok(Self { table: Table::new(Gaussian::new(sigma)), sigma })
    }

    /// The parameter; the standard deviation differs from it by less than 10^-7 of it from σ = 1 up.
    pub fn sigma(&self) -> f64 {
        self.sigma
    }

    #[inline(always)]
    pub fn sample(&self, drbg: &mut Drbg) -> i64 {
        self.table.sample(drbg)
    }

    pub fn fill(&self, drbg: &mut Drbg, out: &mut [i64]) {
        self.table.fill(drbg, out);
    }
}

/// The exact discrete Laplace (two-sided geometric) distribution, for scales from 2^-10 to 2^52.
///
/// Added to an integer of sensitivity Δ it gives Δ/s-differential privacy (Ghosh, Roughgarden & Sundararajan 2009).
pub struct DiscreteLaplace(Table<Laplace>);

impl DiscreteLaplace {
    pub fn new(scale: f64) -> Result<Self> {
        within("scale", scale, LEAST_SCALE, GREATEST_SCALE)?;
        Ok(Self(Table::new(Laplace::new(scale))))
    }

    pub fn sample(&self, drbg: &mut Drbg) -> i64 {
        self.0.sample(drbg)
    }

    pub fn fill(&self, drbg: &mut Drbg, out: &mut [i64]) {
        self.0.fill(drbg, out);
    }
}

/// The exact symmetric Skellam distribution, for variances from 2^-10 to 2^25 (Agarwal, Kairouz & Liu 2021, arXiv 2110.04995).
///
/// Sums of independent ones are Skellam again, with the sum of the variances.
pub struct Skellam(Table<Poisson>);

impl Skellam {
    pub fn new(variance: f64) -> Result<Self> {
        within("variance", variance, LEAST_SCALE, GREATEST_VARIANCE)?;
        Ok(Self(Table::new(Poisson::new(variance / 2.0))))
    }

    pub fn sample(&self, drbg: &mut Drbg) -> i64 {
        self.0.sample(drbg) - self.0.sample(drbg)
    }

    pub fn fill(&self, drbg: &mut Drbg, out: &mut [i64]) {
        for slot in out {
            *slot = self.sample(drbg);
        }
    }
}

fn within(name: &'static str, value: f64, least: f64, greatest: f64) -> Result<()> {
    if (least..=greatest).contains(&value) {
        return Ok(());
    }
    Err(Error::new(Code::Argument, "the noise's parameter is outside of what can be drawn exactly")
        .with("argument", name)
        .with("got", value)
        .with("least", least)
        .with("greatest", greatest))
}
