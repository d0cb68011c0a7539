use num_bigint::BigUint;

use super::fit::{count, misfit, probabilities};
use super::shape::Shape;
use super::*;

const SAMPLES: usize = 1 << 20;
/// With 5 deviations one test in three million would fail on other bits; these bits are always the same.
const ENOUGH: f64 = 5.0;

fn drawn(number: usize, mut draw: impl FnMut() -> i64) -> Vec<i64> {
    (0..number).map(|_| draw()).collect()
}

/// Some 140 cells over 7 spreads, and all integers apart where there are few.
fn fits(samples: &[i64], spread: f64, centre: i64, relative: impl Fn(i64) -> f64) -> f64 {
    let width = ((spread / 10.0) as i64).max(1);
    let cells = ((14.0 * spread) as usize / width as usize).max(12) | 1;
    misfit(&count(samples, centre, width, cells), &probabilities(relative, centre, width, cells))
}

fn gaussian(sigma: f64) -> impl Fn(i64) -> f64 {
    move |value| (-(value as f64 / sigma).powi(2) / 2.0).exp()
}

#[test]
fn the_discrete_gaussian_fits_for_every_width_of_block() {
    for (number, sigma) in [0.01, 0.3, 0.7, 2.0, 5.5, 20.0, 63.9, 64.0, 1e3, 12_345.6, 1e5].into_iter().enumerate() {
        let mut drbg = Drbg::repeatable(number as u8);
        let sampler = DiscreteGaussian::new(sigma).unwrap();
        let samples = drawn(SAMPLES, || sampler.sample(&mut drbg));
        if sigma == 0.01 {
            assert!(samples.iter().all(|&sample| sample == 0));
            continue;
        }
        let misfit = fits(&samples, sigma, 0, gaussian(sigma));
        assert!(misfit < ENOUGH, "σ = {sigma}: {misfit} deviations");
    }
}

#[test]
fn wide_discrete_gaussians_fit_on_a_coarser_grid_and_have_even_low_bits() {
    for (number, sigma) in [3e6, 2f64.powi(40), 2f64.powi(52)].into_iter().enumerate() {
        let mut drbg = Drbg::repeatable(50 + number as u8);
        let sampler = DiscreteGaussian::new(sigma).unwrap();
        let samples = drawn(SAMPLES, || sampler.sample(&mut drbg));
        let unit = (sigma / 1000.0) as i64;
        let coarse: Vec<i64> = samples.iter().map(|sample| sample.div_euclid(unit)).collect();
        // A coarse cell [j, j + 1) has the mass of its middle, up to 10^-7 of it.
        let relative = |cell: i64| (-((cell as f64 + 0.5) * unit as f64 / sigma).powi(2) / 2.0).exp();
        assert!(fits(&coarse, 1000.0, 0, relative) < ENOUGH, "σ = {sigma}");
        for shift in [0, 8, 15] {
            let low: Vec<i64> = samples.iter().map(|sample| (sample >> shift) & 63).collect();
            assert!(misfit(&count(&low, 32, 1, 64), &[1.0 / 64.0; 64]) < ENOUGH, "bits {shift} of σ = {sigma}");
        }
    }
}

#[test]
fn the_discrete_laplace_fits() {
    for (number, scale) in [0.4, 1.0, 7.3, 22.0, 500.0, 40_000.0].into_iter().enumerate() {
        let mut drbg = Drbg::repeatable(20 + number as u8);
        let sampler = DiscreteLaplace::new(scale).unwrap();
        let samples = drawn(SAMPLES, || sampler.sample(&mut drbg));
        let misfit = fits(&samples, 2.0 * scale, 0, |value| (-(value.abs() as f64) / scale).exp());
        assert!(misfit < ENOUGH, "scale {scale}: {misfit} deviations");
    }
}

#[test]
fn skellam_fits_the_convolution_of_two_poissons() {
    for (number, variance) in [0.05f64, 1.0, 8.0, 200.0, 20_000.0].into_iter().enumerate() {
        let mut drbg = Drbg::repeatable(30 + number as u8);
        let sampler = Skellam::new(variance).unwrap();
        let samples = drawn(SAMPLES, || sampler.sample(&mut drbg));
        let mean = variance / 2.0;
        let reach = (10.0 * mean.sqrt() + 20.0) as i64;
        let first = (mean as i64 - reach).max(0);
        let mut log = vec![0.0f64; (2 * reach) as usize];
        for at in 1..log.len() {
            log[at] = log[at - 1] + mean.ln() - ((first + at as i64) as f64).ln();
        }
        let greatest = log.iter().copied().fold(f64::MIN, f64::max);
        let poisson: Vec<f64> = log.iter().map(|log| (log - greatest).exp()).collect();
        let relative = |difference: i64| -> f64 {
            let by = difference.unsigned_abs() as usize;
            if by >= poisson.len() { 0.0 } else { poisson[by..].iter().zip(&poisson).map(|(a, b)| a * b).sum() }
        };
        let misfit = fits(&samples, variance.sqrt(), 0, relative);
        assert!(misfit < ENOUGH, "variance {variance}: {misfit} deviations");
    }
}

#[test]
fn the_fixed_trip_sampler_fits() {
    for (number, sigma) in [0.3, 2.0, 16.0, 100.0].into_iter().enumerate() {
        let mut drbg = Drbg::repeatable(40 + number as u8);
        let sampler = FixedTripGaussian::new(sigma).unwrap();
        let samples = drawn(SAMPLES / 16, || sampler.sample(&mut drbg));
        assert!(fits(&samples, sigma, 0, gaussian(sigma)) < ENOUGH, "σ = {sigma}");
    }
}

#[test]
fn the_continuous_gaussian_fits() {
    let mut out = vec![0.0; SAMPLES];
    ContinuousGaussian::new(250.0).fill(&mut Drbg::repeatable(60), &mut out);
    let cells: Vec<i64> = out.iter().map(|value| value.floor() as i64).collect();
    assert!(fits(&cells, 250.0, 0, |cell| (-((cell as f64 + 0.5) / 250.0).powi(2) / 2.0).exp()) < ENOUGH);
}

/// A shape that ends early: a third of all draws come from the tails.
struct Short<S>(S);

impl<S: Shape> Shape for Short<S> {
    fn mode(&self) -> i64 {
        self.0.mode()
    }
    fn spread(&self) -> f64 {
        self.0.spread()
    }
    const REACH: f64 = 0.9;
    const GRAIN: f64 = S::GRAIN;
    fn relative(&self, value: i64) -> f64 {
        self.0.relative(value)
    }
    const SLACK: f64 = S::SLACK;
    fn bounds(&self, value: i64, bits: u64) -> (BigUint, BigUint) {
        self.0.bounds(value, bits)
    }
}

/// A shape whose f64 side is trusted with nothing: whole numbers decide what the table does not.
struct Doubted<S>(S);

impl<S: Shape> Shape for Doubted<S> {
    fn mode(&self) -> i64 {
        self.0.mode()
    }
    fn spread(&self) -> f64 {
        self.0.spread()
    }
    const REACH: f64 = 1.5;
    const GRAIN: f64 = 2.0;
    fn relative(&self, value: i64) -> f64 {
        self.0.relative(value)
    }
    const SLACK: f64 = 1e9;
    fn bounds(&self, value: i64, bits: u64) -> (BigUint, BigUint) {
        self.0.bounds(value, bits)
    }
}

#[test]
fn tails_that_are_reached_fit_too() {
    let mut drbg = Drbg::repeatable(70);
    for sigma in [0.8, 20.0, 900.0] {
        let table = Table::new(Short(Gaussian::new(sigma)));
        let samples = drawn(SAMPLES, || table.sample(&mut drbg));
        assert!(fits(&samples, sigma, 0, gaussian(sigma)) < ENOUGH, "σ = {sigma}");
        let table = Table::new(Short(Laplace::new(sigma)));
        let samples = drawn(SAMPLES, || table.sample(&mut drbg));
        let misfit = fits(&samples, 2.0 * sigma, 0, |value| (-(value.abs() as f64) / sigma).exp());
        assert!(misfit < ENOUGH, "scale {sigma}: {misfit}");
    }
    for mean in [0.7f64, 900.0] {
        let shape = Poisson::new(mean);
        let table = Table::new(Short(Poisson::new(mean)));
        let samples = drawn(SAMPLES, || table.sample(&mut drbg));
        assert!(samples.iter().all(|&sample| sample >= 0));
        assert!(fits(&samples, mean.sqrt(), mean as i64, |value| shape.relative(value)) < ENOUGH, "mean {mean}");
    }
}

#[test]
fn whole_numbers_decide_to_the_same_distribution() {
    let mut drbg = Drbg::repeatable(80);
    for sigma in [0.8, 40.0, 2000.0] {
        let table = Table::new(Doubted(Gaussian::new(sigma)));
        let samples = drawn(SAMPLES / 32, || table.sample(&mut drbg));
        assert!(fits(&samples, sigma, 0, gaussian(sigma)) < ENOUGH, "σ = {sigma}");
    }
    let shape = Poisson::new(300.0);
    let table = Table::new(Doubted(Poisson::new(300.0)));
    let samples = drawn(SAMPLES / 32, || table.sample(&mut drbg));
    assert!(fits(&samples, 300f64.sqrt(), 300, |value| shape.relative(value)) < ENOUGH);
}

#[test]
fn the_test_of_fit_notices_one_percent_and_a_cut_tail() {
    let mut drbg = Drbg::repeatable(90);
    let sampler = DiscreteGaussian::new(1000.0).unwrap();
    let mut samples = drawn(SAMPLES, || sampler.sample(&mut drbg));
    assert!(fits(&samples, 1000.0, 0, gaussian(1010.0)) > ENOUGH);
    samples.retain(|sample| sample.abs() < 3500);
    assert!(fits(&samples, 1000.0, 0, gaussian(1000.0)) > ENOUGH);
}

#[test]
fn parameters_that_cannot_be_drawn_exactly_are_refused() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-4, 1e16] {
        let refused = [
            DiscreteGaussian::new(bad).err(),
            DiscreteLaplace::new(bad).err(),
            Skellam::new(bad).err(),
            FixedTripGaussian::new(bad).err(),
        ];
        for error in refused {
            assert_eq!(error.expect("refused").code, Code::Argument, "{bad}");
        }
    }
    assert_eq!(FixedTripGaussian::new(257.0).err().unwrap().fact("greatest"), Some("256"));
}
