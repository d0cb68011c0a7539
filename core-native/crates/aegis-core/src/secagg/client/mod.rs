//! A node's side of the protocol: one round per file, in the order of the protocol.
//!
//! | round | the server asks | the node answers | and forgets |
//! |---|---|---|---|
//! | [`r0_advertise_keys`] | — | signed public keys | |
//! | [`r1_share_keys`] | the roster | sealed shares of its two secrets | |
//! | [`r2_masked_input`] | the shares of others, the model | the masked vector | its keys and its seed |
//! | [`r3_confirm_survivors`] | who delivered | a signature over them and the model | |
//! | [`r4_unmask`] | whose masks to open, a quorum of signatures | shares, one kind for each node | the shares |
//!
//! The machine does no I/O, reads no clock and keeps no secret longer than a later round needs it. A request is answered once: the same
//! again gets the same answer, another one ends the round. Whatever a server may not ask ends it too ([`Refusal::is_final`]); strays
//! change nothing. [`Client::save`] gives the state to journal *before* an answer leaves; a state that cannot be restored is
//! [`Refusal::StateLost`], never a fresh start.

mod floors;
mod r0_advertise_keys;
mod r1_share_keys;
mod r2_masked_input;
mod r3_confirm_survivors;
mod r4_unmask;
mod saved;

use std::mem;

use zeroize::Zeroizing;

use super::messages::{
    Advert, Confirmation, Digest, OpenedShares, RosterRequest, SealedShares, ShareDelivery, SurvivorList, Terms,
    UnmaskRequest, request_digest,
};
use super::refusal::Refusal;
use super::residues::Residues;
use super::signing::SigningKey;
use crate::error::{Error, Result};
pub use floors::Floors;
use r0_advertise_keys::Advertised;
use r1_share_keys::Shared;
use r2_masked_input::Masked;
use r3_confirm_survivors::Confirmed;
use r4_unmask::Unmasked;

/// One node in one round.
#[derive(Debug)]
pub struct Client {
    context: Context,
    stage: Stage,
}

/// What every round knows.
#[derive(Debug)]
struct Context {
    node: u64,
    terms: Terms,
    /// Of the terms.
    digest: Digest,
    floors: Floors,
}

/// Named by what the node has done.
#[derive(Debug)]
enum Stage {
    Advertised(Advertised),
    Shared(Shared),
    Masked(Masked),
    Confirmed(Confirmed),
    Unmasked(Unmasked),
    /// Nothing secret is left.
    Ended(Refusal),
}

impl Stage {
    /// The number of the round answered last, and the identity of its request.
    fn answered(&self) -> Option<(u8, Digest)> {
        match self {
            Self::Advertised(_) => Some((0, [0; 32])),
            Self::Shared(shared) => Some((1, shared.request)),
            Self::Masked(masked) => Some((2, masked.request)),
            Self::Confirmed(confirmed) => Some((3, confirmed.request)),
            Self::Unmasked(unmasked) => Some((4, unmasked.request)),
            Self::Ended(_) => None,
        }
    }
}

impl Client {
    /// Begins a round with fresh keys. The advert is to be published until `expires` (seconds since 1970).
    pub fn advertise(node: u64, terms: Terms, floors: Floors, signer: &SigningKey, expires: u64) -> Result<Self> {
        let context = Context { node, digest: terms.digest(), terms, floors };
        let stage = Stage::Advertised(Advertised::begin(&context, signer, expires)?);
        Ok(Self { context, stage })
    }

    /// A round of which the journal knows that it was begun, and nothing else.
    pub fn lost(node: u64, terms: Terms, floors: Floors) -> Self {
        let context = Context { node, digest: terms.digest(), terms, floors };
        Self { context, stage: Stage::Ended(Refusal::StateLost) }
    }

    pub fn node(&self) -> u64 {
        self.context.node
    }

    pub fn terms(&self) -> &Terms {
        &self.context.terms
    }

    /// The advert, for as long as the roster has not come.
    pub fn advert(&self) -> Option<&Advert> {
        match &self.stage {
            Stage::Advertised(advertised) => Some(&advertised.advert),
            _ => None,
        }
    }

    /// Why the round is over for this node, if it is.
    pub fn ended(&self) -> Option<Refusal> {
        match self.stage {
            Stage::Ended(reason) => Some(reason),
            _ => None,
        }
    }

    /// The number of the round answered last; none when the round has ended early.
    pub fn stage(&self) -> Option<u8> {
        self.stage.answered().map(|(number, _)| number)
    }

    /// Round 1. `now` (seconds since 1970) is what adverts must not have expired at.
    pub fn share_keys(&mut self, request: RosterRequest, now: u64) -> Result<SealedShares> {
        let identity = request_digest(&request);
        match self.turn(1, &request.terms, &identity)? {
            Stage::Advertised(stage) => {
                let next = stage.share_keys(&self.context, request.adverts, identity, now);
                self.advance(next, Stage::Shared, |shared| shared.answer.clone())
            }
            stage => self.again(stage, |stage| match stage {
                Stage::Shared(shared) => Some(shared.answer.clone()),
                _ => None,
            }),
        }
    }

    /// Round 2: masks the vector, on as many threads as asked for. It is refused, and nothing changed, if it is not as long and wide as
    /// the terms say. The answer is too large to keep: asked a second time the machine says [`Refusal::AnsweredBefore`].
    pub fn mask_input(&mut self, request: &ShareDelivery, vector: Residues, threads: usize) -> Result<Residues> {
        if vector.bits() != self.context.terms.bits || vector.len() as u64 != self.context.terms.length {
            return Err(Refusal::VectorMismatch.into());
        }
        let identity = request_digest(request);
        match self.turn(2, &request.terms, &identity)? {
            Stage::Shared(stage) => match stage.mask_input(&self.context, request, identity, vector, threads) {
                Ok((masked, vector)) => {
                    self.stage = Stage::Masked(masked);
                    Ok(vector)
                }
                Err(error) => Err(self.end(error)),
            },
            stage => self.again(stage, |_| None),
        }
    }

    /// Round 3.
    pub fn confirm_survivors(&mut self, request: &SurvivorList, signer: &SigningKey) -> Result<Confirmation> {
        let identity = request_digest(request);
        match self.turn(3, &request.terms, &identity)? {
            Stage::Masked(stage) => {
                let next = stage.confirm(&self.context, &request.survivors, identity, signer);
                self.advance(next, Stage::Confirmed, |confirmed| confirmed.answer.clone())
            }
            stage => self.again(stage, |stage| match stage {
                Stage::Confirmed(confirmed) => Some(confirmed.answer.clone()),
                _ => None,
            }),
        }
    }

    /// Round 4: the last one.
    pub fn unmask(&mut self, request: &UnmaskRequest) -> Result<OpenedShares> {
        let identity = request_digest(request);
        match self.turn(4, &request.terms, &identity)? {
            Stage::Confirmed(stage) => {
                let next = stage.unmask(&self.context, request, identity);
                self.advance(next, Stage::Unmasked, |unmasked| unmasked.answer.clone())
            }
            stage => self.again(stage, |stage| match stage {
                Stage::Unmasked(unmasked) => Some(unmasked.answer.clone()),
                _ => None,
            }),
        }
    }

    /// Ends the round for this node: the caller's own reason, a policy or a deadline. Wipes what is secret.
    pub fn abort(&mut self) {
        if self.ended().is_none() {
            self.stage = Stage::Ended(Refusal::Ended);
        }
    }

    /// Everything there is, secrets among it: to be sealed and journalled before the answer leaves.
    pub fn save(&self) -> Zeroizing<Vec<u8>> {
        saved::encode(self)
    }

    /// What [`Self::save`] gave. [`Refusal::StateLost`] if it is not that, whatever else it is.
    pub fn restore(bytes: &[u8]) -> Result<Self> {
        saved::decode(bytes).ok_or_else(|| Refusal::StateLost.into())
    }

    /// Takes the stage out for a new request of round `number`, or for the same one again; everything else is refused here.
    fn turn(&mut self, number: u8, terms: &Digest, request: &Digest) -> Result<Stage> {
        if let Stage::Ended(reason) = self.stage {
            return Err(Error::from(Refusal::Ended).with("cause", reason.as_str()));
        }
        if *terms != self.context.digest {
            return Err(Refusal::OtherRound.into());
        }
        let (answered, known) = self.stage.answered().unwrap_or_default();
        if number < answered {
            return Err(Refusal::GoingBack.into());
        }
        if number > answered + 1 {
            return Err(Refusal::OutOfOrder.into());
        }
        if number == answered && *request != known {
            return Err(self.end(Refusal::SecondRequest.into()));
        }
        Ok(mem::replace(&mut self.stage, Stage::Ended(Refusal::Ended)))
    }

    fn advance<S, A>(&mut self, next: Result<S>, stage: fn(S) -> Stage, answer: fn(&S) -> A) -> Result<A> {
        match next {
            Ok(next) => {
                let answer = answer(&next);
                self.stage = stage(next);
                Ok(answer)
            }
            Err(error) => Err(self.end(error)),
        }
    }

    /// The request answered last has come again.
    fn again<A>(&mut self, stage: Stage, answer: fn(&Stage) -> Option<A>) -> Result<A> {
        self.stage = stage;
        answer(&self.stage).ok_or_else(|| Refusal::AnsweredBefore.into())
    }

    fn end(&mut self, error: Error) -> Error {
        self.stage = Stage::Ended(Refusal::of(&error).unwrap_or(Refusal::Ended));
        error
    }
}

#[cfg(test)]
mod tests;
