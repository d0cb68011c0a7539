//! The servers' arithmetic, split so that neither server alone can open an input: the secagg service works on secrets and never meets a
//! masked vector ([`removal`]), the aggregator works on masked vectors and never meets a secret ([`masked_sum`]).

pub mod masked_sum;
pub mod removal;
