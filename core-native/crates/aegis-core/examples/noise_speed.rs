//! How fast noise is drawn, on this machine: `cargo run --release -p aegis-core --example noise_speed`.
//!
//! Prints one JSON object: millions of samples per second of one core, best of short windows.

use std::hint::black_box;
use std::time::Instant;

use aegis_core::privacy::noise::{
    ContinuousGaussian, DiscreteGaussian, DiscreteLaplace, Drbg, FixedTripGaussian, Skellam,
};
use serde_json::{Map, Value, json};

const BATCH: usize = 1 << 16;
const WINDOWS: u32 = 30;

fn main() {
    let mut drbg = Drbg::new();
    let mut figures = Map::new();
    let mut floats = vec![0.0; BATCH];
    let continuous = ContinuousGaussian::new(1.0);
    figures.insert("continuous".into(), fastest(|| continuous.fill(&mut drbg, black_box(&mut floats))));
    let mut out = vec![0; BATCH];
    for sigma in [2.0, 20.0, 1e3, 1e5, 1e12] {
        let sampler = DiscreteGaussian::new(sigma).expect("in range");
        let figure = fastest(|| sampler.fill(&mut drbg, black_box(&mut out)));
        figures.insert(format!("discrete-gaussian-{sigma}"), figure);
    }
    let laplace = DiscreteLaplace::new(1e3).expect("in range");
    figures.insert("discrete-laplace-1000".into(), fastest(|| laplace.fill(&mut drbg, black_box(&mut out))));
    let skellam = Skellam::new(1e4).expect("in range");
    figures.insert("skellam-10000".into(), fastest(|| skellam.fill(&mut drbg, black_box(&mut out))));
    for sigma in [2.0, 16.0, 256.0] {
        let sampler = FixedTripGaussian::new(sigma).expect("in range");
        let figure =
            fastest(|| sampler.fill(&mut drbg, black_box(&mut out[..BATCH / 16]))).as_f64().unwrap_or(0.0) / 16.0;
        figures.insert(format!("fixed-trip-{sigma}"), json!(figure));
    }
    println!("{}", Value::Object(figures));
}

fn fastest(mut fill: impl FnMut()) -> Value {
    fill();
    let window = |_| {
        let began = Instant::now();
        fill();
        began.elapsed().as_secs_f64()
    };
    let least = (0..WINDOWS).map(window).fold(f64::INFINITY, f64::min);
    json!(BATCH as f64 / least / 1e6)
}
