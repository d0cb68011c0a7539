//! Differential privacy: the noise, what it is added to, and what a release costs.
//!
//! [`noise`] draws it, exactly; [`clip`] bounds what it hides; [`privatize`] does both to one update where it was made ([`local_update`]: to a
//! trained model), [`fold`] to the sum of
//! many, afresh in every round or as part of a [`tree`] over all of them. [`crate::fold`] is the sum without. [`accounting`] draws nothing and touches no model's values.

pub mod accounting;
pub mod clip;
pub mod fold;
pub mod local_update;
pub mod noise;
pub mod privatize;
pub mod tree;
