//! A client's state as bytes: a JSON part with what is public, its length before it, and the secrets behind it.
//!
//! The caller seals it. Secrets are kept apart so that they are copied into wiped memory only.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::r0_advertise_keys::Advertised;
use super::r1_share_keys::Shared;
use super::r2_masked_input::Masked;
use super::r3_confirm_survivors::Confirmed;
use super::r4_unmask::Unmasked;
use super::{Client, Context, Floors, Stage};
use crate::secagg::keys::KeyPair;
use crate::secagg::keystream::{SEED_BYTES, Seed};
use crate::secagg::messages::{Advert, CertifiedAdvert, Confirmation, Digest, OpenedShares, SealedShares, Terms, hex};
use crate::secagg::refusal::Refusal;
use crate::secagg::roster::Roster;
use crate::secagg::sealing::SharePair;
use crate::secagg::shamir::{SHARE_BYTES, Share};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Public {
    version: u32,
    node: u64,
    terms: Terms,
    floors: Floors,
    stage: SavedStage,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum SavedStage {
    /// Secrets: channel key, mask key.
    Advertised {
        advert: Advert,
    },
    /// Secrets: channel key, mask key, seed, its own two shares.
    Shared {
        roster: Vec<CertifiedAdvert>,
        request: Hex,
        answer: SealedShares,
    },
    /// Secrets: two shares for each position received.
    Masked {
        roster: Vec<CertifiedAdvert>,
        request: Hex,
        model: Hex,
        received: Vec<usize>,
    },
    /// Secrets: the same.
    Confirmed {
        roster: Vec<CertifiedAdvert>,
        request: Hex,
        received: Vec<usize>,
        survivors: Vec<u64>,
        answer: Confirmation,
    },
    Unmasked {
        request: Hex,
        answer: OpenedShares,
    },
    Ended {
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Hex(#[serde(with = "hex")] Digest);

pub(super) fn encode(client: &Client) -> Zeroizing<Vec<u8>> {
    let mut secrets = Zeroizing::new(Vec::new());
    let stage = match &client.stage {
        Stage::Advertised(Advertised { channel, mask, advert }) => {
            secrets.reserve_exact(2 * SEED_BYTES);
            secrets.extend_from_slice(&**channel.secret());
            secrets.extend_from_slice(&**mask.secret());
            SavedStage::Advertised { advert: advert.clone() }
        }
        Stage::Shared(Shared { channel, mask, seed, kept, roster, request, answer }) => {
            secrets.reserve_exact(3 * SEED_BYTES + 2 * SHARE_BYTES);
            secrets.extend_from_slice(&**channel.secret());
            secrets.extend_from_slice(&**mask.secret());
            secrets.extend_from_slice(&**seed);
            put_pair(kept, &mut secrets);
            SavedStage::Shared { roster: roster.adverts().to_vec(), request: Hex(*request), answer: answer.clone() }
        }
        Stage::Masked(Masked { roster, model, received, request }) => SavedStage::Masked {
            roster: roster.adverts().to_vec(),
            request: Hex(*request),
            model: Hex(*model),
            received: put_shares(received, &mut secrets),
        },
        Stage::Confirmed(Confirmed { roster, received, survivors, request, answer }) => SavedStage::Confirmed {
            roster: roster.adverts().to_vec(),
            request: Hex(*request),
            received: put_shares(received, &mut secrets),
            survivors: survivors.clone(),
            answer: answer.clone(),
        },
        Stage::Unmasked(Unmasked { request, answer }) => {
            SavedStage::Unmasked { request: Hex(*request), answer: answer.clone() }
        }
        Stage::Ended(reason) => SavedStage::Ended { reason: reason.as_str().into() },
    };
    let Context { node, terms, floors, .. } = &client.context;
    let public = Public { version: VERSION, node: *node, terms: terms.clone(), floors: *floors, stage };
    let public = serde_json::to_vec(&public).expect("a state has string keys and no failing field");
    // exactly as long as needed: growing would leave copies of secrets behind
    let mut out = Zeroizing::new(Vec::with_capacity(4 + public.len() + secrets.len()));
    out.extend_from_slice(&(public.len() as u32).to_le_bytes());
    out.extend_from_slice(&public);
    out.extend_from_slice(&secrets);
    out
}

pub(super) fn decode(bytes: &[u8]) -> Option<Client> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (public, mut secrets) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let Public { version, node, terms, floors, stage } = serde_json::from_slice(public).ok()?;
    if version != VERSION {
        return None;
    }
    let seed = |secrets: &mut &[u8]| take::<SEED_BYTES>(secrets).map(|bytes| Seed::new(*bytes));
    let stage = match stage {
        SavedStage::Advertised { advert } => Stage::Advertised(Advertised {
            channel: KeyPair::from_secret(seed(&mut secrets)?),
            mask: KeyPair::from_secret(seed(&mut secrets)?),
            advert,
        }),
        SavedStage::Shared { roster, request, answer } => Stage::Shared(Shared {
            channel: KeyPair::from_secret(seed(&mut secrets)?),
            mask: KeyPair::from_secret(seed(&mut secrets)?),
            seed: seed(&mut secrets)?,
            kept: take_pair(&mut secrets)?,
            roster: Roster::known(&terms, roster)?,
            request: request.0,
            answer,
        }),
        SavedStage::Masked { roster, request, model, received } => {
            let roster = Roster::known(&terms, roster)?;
            let received = take_shares(&roster, received, &mut secrets)?;
            Stage::Masked(Masked { roster, model: model.0, received, request: request.0 })
        }
        SavedStage::Confirmed { roster, request, received, survivors, answer } => {
            let roster = Roster::known(&terms, roster)?;
            let received = take_shares(&roster, received, &mut secrets)?;
            Stage::Confirmed(Confirmed { roster, received, survivors, request: request.0, answer })
        }
        SavedStage::Unmasked { request, answer } => Stage::Unmasked(Unmasked { request: request.0, answer }),
        SavedStage::Ended { reason } => {
            Stage::Ended(Refusal::ALL.into_iter().find(|refusal| refusal.as_str() == reason)?)
        }
    };
    let context = Context { node, digest: terms.digest(), terms, floors };
    secrets.is_empty().then_some(Client { context, stage })
}

fn put_shares(received: &[(usize, SharePair)], secrets: &mut Vec<u8>) -> Vec<usize> {
    secrets.reserve_exact(received.len() * 2 * SHARE_BYTES);
    received.iter().for_each(|(_, pair)| put_pair(pair, secrets));
    received.iter().map(|(at, _)| *at).collect()
}

fn put_pair(pair: &SharePair, secrets: &mut Vec<u8>) {
    secrets.extend_from_slice(&*pair.seed.to_bytes());
    secrets.extend_from_slice(&*pair.key.to_bytes());
}

fn take_shares(roster: &Roster, received: Vec<usize>, secrets: &mut &[u8]) -> Option<Vec<(usize, SharePair)>> {
    let pair = |at: usize| Some((at, take_pair(secrets)?));
    let ascending = received.is_sorted() && received.last().is_none_or(|&at| at < roster.len());
    if ascending { received.into_iter().map(pair).collect() } else { None }
}

fn take_pair(secrets: &mut &[u8]) -> Option<SharePair> {
    let mut share = || Share::from_bytes(take::<SHARE_BYTES>(secrets)?);
    Some(SharePair { seed: share()?, key: share()? })
}

fn take<'a, const N: usize>(secrets: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, rest) = secrets.split_first_chunk()?;
    *secrets = rest;
    Some(first)
}
