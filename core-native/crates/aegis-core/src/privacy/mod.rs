//! Differential privacy: the noise, and what it is added to.
//!
//! [`noise`] draws it, exactly; [`clip`] bounds what it hides; [`privatize`] does both to one update where it was made, [`fold`] to the sum of
//! many. [`crate::fold`] is the sum without.

pub mod clip;
pub mod fold;
pub mod noise;
pub mod privatize;
