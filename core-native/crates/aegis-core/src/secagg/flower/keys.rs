//! What two Flower nodes share: HKDF-SHA256 of an ECDH over P-384, as text in URL-safe base64.

use aws_lc_rs::agreement::{self, ECDH_P384, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use crate::error::{Code, Error, Result};
use crate::signature::{P384_PREFIX, decode_base64, decode_pem, encode_base64};

/// A node's private key of its masks, as its shares give it: PKCS#8 in PEM.
pub struct MaskKey(PrivateKey);

impl MaskKey {
    /// [`Code::SecaggShares`] if these bytes, which were put together from shares, are no such key.
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        let wrong = || Error::new(Code::SecaggShares, "the shares give no P-384 private key");
        let der = decode_private(pem).ok_or_else(wrong)?;
        PrivateKey::from_private_key_der(&ECDH_P384, &der).map(Self).map_err(|_| wrong())
    }

    /// Whether the node advertised this key. Shares carry no check of their own.
    pub fn is_of(&self, public_pem: &[u8]) -> Result<bool> {
        let own = self.0.compute_public_key().map_err(|_| unusable())?;
        Ok(own.as_ref() == &decode_point(public_pem)?[..])
    }

    /// The seed of the pairwise mask with the owner of a public key, 44 ASCII bytes. [`Code::SignatureKey`] if that is none.
    pub fn shared_with(&self, public_pem: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let point = decode_point(public_pem)?;
        let mut key = Zeroizing::new([0; 32]);
        agreement::agree(&self.0, UnparsedPublicKey::new(&ECDH_P384, &point), unusable(), |shared| {
            // no salt is a salt of zeros (RFC 5869, section 2.2)
            hkdf::Salt::new(hkdf::HKDF_SHA256, &[0; 32])
                .extract(shared)
                .expand(&[], hkdf::HKDF_SHA256)
                .and_then(|output| output.fill(&mut *key))
                .map_err(|_| unusable())
        })?;
        let mut text = Zeroizing::new(encode_base64(&*key).into_bytes());
        for byte in text.iter_mut() {
            match byte {
                b'+' => *byte = b'-',
                b'/' => *byte = b'_',
                _ => (),
            }
        }
        Ok(text)
    }
}

fn unusable() -> Error {
    Error::new(Code::SignatureKey, "the public key is not an uncompressed P-384 key")
}

/// Whether its point is on the curve is seen when it is used.
fn decode_point(public_pem: &[u8]) -> Result<Vec<u8>> {
    let der = decode_pem(public_pem).ok_or_else(unusable)?;
    der.strip_prefix(&P384_PREFIX).map(<[u8]>::to_vec).ok_or_else(unusable)
}

fn decode_private(pem: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(pem).ok()?.trim();
    let body = text.strip_prefix("-----BEGIN PRIVATE KEY-----")?.strip_suffix("-----END PRIVATE KEY-----")?;
    decode_base64(body.bytes().filter(|byte| !byte.is_ascii_whitespace())).map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secagg::testing::flower_vectors;

    #[test]
    fn both_ends_get_the_key_that_flower_gets() {
        let case = flower_vectors("secaggplus_share_keys");
        let text = |name: &str| case[name].as_str().unwrap().as_bytes().to_vec();
        for (own, peer) in [("a", "b"), ("b", "a")] {
            let key = MaskKey::from_pem(&text(&format!("private_key_{own}_pem"))).unwrap();
            assert_eq!(*key.shared_with(&text(&format!("public_key_{peer}_pem"))).unwrap(), text("shared_key"));
            assert!(key.is_of(&text(&format!("public_key_{own}_pem"))).unwrap());
            assert!(!key.is_of(&text(&format!("public_key_{peer}_pem"))).unwrap());
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let case = flower_vectors("secaggplus_share_keys");
        let (private, public) = (&case["private_key_a_pem"], &case["public_key_b_pem"]);
        let (private, public) = (private.as_str().unwrap(), public.as_str().unwrap());
        let code = |private: &str, public: &str| {
            let key = MaskKey::from_pem(private.as_bytes());
            key.and_then(|key| key.shared_with(public.as_bytes())).unwrap_err().code
        };
        assert_eq!(code("", public), Code::SecaggShares);
        assert_eq!(code(&private.replace("MIG2", "MIG3"), public), Code::SecaggShares);
        assert_eq!(code(private, private), Code::SignatureKey);
        assert_eq!(code(private, ""), Code::SignatureKey);
    }
}
