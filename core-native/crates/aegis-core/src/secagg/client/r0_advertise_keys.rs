//! Round 0: two fresh public keys, signed with the node's certified key over the round's terms.

use super::Context;
use crate::error::Result;
use crate::secagg::keys::KeyPair;
use crate::secagg::messages::Advert;
use crate::secagg::signing::SigningKey;

#[derive(Debug)]
pub(super) struct Advertised {
    /// Seals shares.
    pub channel: KeyPair,
    /// Gives pairwise masks.
    pub mask: KeyPair,
    pub advert: Advert,
}

impl Advertised {
    pub fn begin(context: &Context, signer: &SigningKey, expires: u64) -> Result<Self> {
        let (channel, mask) = (KeyPair::generate(), KeyPair::generate());
        let (channel_key, mask_key) = (*channel.public(), *mask.public());
        let mut advert = Advert { node: context.node, channel_key, mask_key, expires, signature: Vec::new() };
        advert.signature = signer.sign(&advert.signed(&context.digest))?;
        Ok(Self { channel, mask, advert })
    }
}
