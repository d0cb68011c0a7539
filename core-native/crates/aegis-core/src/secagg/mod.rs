//! Secure aggregation: nodes mask their updates so that only the sum of enough of them can be opened, by nobody's trust in a server.
//!
//! The protocol is that of Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning" (CCS 2017), with its
//! protections against a malicious server, on the sparse graph of Bell et al. (CCS 2020) for larger cohorts. `docs/secure-aggregation.md`
//! has the threat model and every format.
//!
//! Read in this order: [`parameters`] (who masks with whom), [`field`] and [`shamir`] (how secrets are shared), [`keys`] and [`sealing`] (with
//! whom), [`keystream`] and [`residues`] (masks and what they hide), [`quantise`] (updates as integers), [`messages`], [`plan`] and [`roster`] (what
//! travels), [`client`] (a node's rounds), [`server`] (how a sum is opened). [`flower`] is apart: the weak
//! protocol of Flower's own clients.

pub mod client;
pub mod field;
pub mod flower;
pub mod keys;
pub mod keystream;
pub mod masks;
pub mod messages;
mod packing;
pub mod parameters;
pub mod plan;
pub mod quantise;
pub mod refusal;
pub mod residues;
pub mod roster;
pub mod sealing;
pub mod server;
pub mod shamir;
pub mod signing;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testing;
