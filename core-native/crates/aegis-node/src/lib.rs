//! The Node.js binding of aegis-core: it converts arguments, moves work off the event loop and converts results. It computes nothing.
//!
//! What JavaScript imports is `npm/index.ts`; the names here are its private business.

// Under cfg(test), which `--all-targets` sets, the macros register nothing and every export looks unused.
#![cfg_attr(test, allow(dead_code))]

mod bridge;
mod fold;
mod intake;
mod memory;
mod model;
mod privacy_accounting;
mod privacy_filter;
mod privacy_fold;
mod privacy_local;
mod seal;
mod secagg;
mod signature;
mod socket;
mod test_hooks;
