//! Differential privacy: the noise, what it is added to, and what a release costs.
//!
//! [`noise`] draws it, exactly; [`clip`] bounds what it hides; [`privatize`] does both to one update where it was made, [`fold`] to the sum of
//! many. [`crate::fold`] is the sum without. [`accounting`] draws nothing and touches no model's values.

pub mod accounting;
pub mod clip;
pub mod fold;
pub mod noise;
pub mod privatize;
