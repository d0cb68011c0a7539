//! The arithmetic, cryptography and storage of Aegis: one implementation for every service and every language.
//!
//! Read in this order: [`tensor`] (what a model is made of), [`seal`] (how bytes rest), [`intake`] (how updates arrive),
//! [`update`] (what is accepted), [`fold`] (how updates become a mean), [`model`] (how the mean is kept), [`privacy`] (what is
//! added so that nobody is told apart, and what that costs), [`secagg`] (how a sum is opened and nothing else).

#![deny(unsafe_code)] // allowed where it stands, with its reason

pub mod durable;
pub mod error;
pub mod fold;
pub mod hash;
pub mod intake;
pub mod model;
pub mod privacy;
pub mod seal;
pub mod secagg;
pub mod signature;
pub mod tensor;
pub mod update;
mod vectors;

pub use error::{Code, Error, Result};

/// Bytes from the operating system's generator, through aws-lc's own.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Fails only if the operating system has no entropy source; nothing here could go on safely without one.
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}
