//! The server's arithmetic of Flower's own SecAgg+ (`secaggplus_mod`, flwr 1.22 … 1.41), for apps that use it unmodified.
//!
//! **Weak.** Masks come from MT19937 seeded with 32 bits ([`mask`]), so that every mask can be enumerated by trial; public keys are not
//! signed; the server may name one node active and dead. It keeps an honest operator from seeing single updates by accident, and nothing
//! more. `docs/secure-aggregation.md` says what a run in this mode does not protect against; nothing here is used by Aegis's own protocol.
//!
//! Bit-exact with Flower except where Flower is wrong: arrays without dimensions are rescaled like all others.

pub mod field;
pub mod keys;
pub mod mask;
pub mod quantise;
pub mod shamir;
pub mod sum;
