//! prio's exact discrete Gaussian: prints millions of samples per second for each σ as JSON, best of short windows.

use std::hint::black_box;
use std::time::Instant;

use prio::dp::Rational;
use prio::dp::distributions::DiscreteGaussian;
use rand::distr::Distribution;

const BATCH: u32 = 5_000;
const WINDOWS: u32 = 5;

fn main() {
    let mut rng = rand::rng();
    let figures: Vec<String> = [2u32, 20, 1_000, 100_000]
        .into_iter()
        .map(|sigma| {
            let sampler = DiscreteGaussian::new(
                Rational::from_unsigned(sigma, 1u32).expect("one is not zero"),
            )
            .expect("a positive σ");
            let window = |_| {
                let began = Instant::now();
                (0..BATCH).for_each(|_| drop(black_box(sampler.sample(&mut rng))));
                began.elapsed().as_secs_f64()
            };
            let least = (0..WINDOWS).map(window).fold(f64::INFINITY, f64::min);
            format!(
                "\"discrete-gaussian-{sigma}\":{}",
                f64::from(BATCH) / least / 1e6
            )
        })
        .collect();
    println!("{{{}}}", figures.join(","));
}
