//! Differential privacy: the noise, and what it is added to.
//!
//! [`noise`] draws it, exactly; [`crate::fold`] is the sum without it.

pub mod noise;
