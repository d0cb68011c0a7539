//! The Kotlin and Swift binding of aegis-core: it converts arguments and results. It computes nothing.
//!
//! Arrays come and go as bytes, little-endian elements in C order; messages of secure aggregation as their JSON.

mod accounting;
mod bridge;
mod privatize;
mod secagg;

uniffi::setup_scaffolding!("aegis");
