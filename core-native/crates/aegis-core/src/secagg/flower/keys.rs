//! What two Flower nodes share: HKDF-SHA256 of an ECDH over P-384, as text in URL-safe base64.

use aws_lc_rs::agreement::{self, ECDH_P384, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use crate::error::{Code, Error, Result};
use crate::signature::{P384_PREFIX, decode_base64, decode_pem, encode_base64};

/// The seed of a pairwise mask, 44 ASCII bytes, of a dropped node's private key (PKCS#8) and a neighbour's public key, both in PEM.
/// [`Code::SecaggShares`] if the private key, which was put together from shares, is none; [`Code::SignatureKey`] for the public one.
pub fn shared_key(private_pem: &[u8], public_pem: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let wrong = || Error::new(Code::SecaggShares, "the shares give no P-384 private key");
    let private = PrivateKey::from_private_key_der(&ECDH_P384, &decode_private(private_pem).ok_or_else(wrong)?);
    let private = private.map_err(|_| wrong())?;
    let unusable = || Error::new(Code::SignatureKey, "the public key is not an uncompressed P-384 key");
    let public = decode_pem(public_pem).ok_or_else(unusable)?;
    let point = public.strip_prefix(&P384_PREFIX).ok_or_else(unusable)?;
    let mut key = Zeroizing::new([0; 32]);
    agreement::agree(&private, UnparsedPublicKey::new(&ECDH_P384, point), unusable(), |shared| {
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
            let key = shared_key(&text(&format!("private_key_{own}_pem")), &text(&format!("public_key_{peer}_pem")));
            assert_eq!(*key.unwrap(), text("shared_key"));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let case = flower_vectors("secaggplus_share_keys");
        let (private, public) = (&case["private_key_a_pem"], &case["public_key_b_pem"]);
        let (private, public) = (private.as_str().unwrap(), public.as_str().unwrap());
        let code = |private: &str, public: &str| shared_key(private.as_bytes(), public.as_bytes()).unwrap_err().code;
        assert_eq!(code("", public), Code::SecaggShares);
        assert_eq!(code(&private.replace("MIG2", "MIG3"), public), Code::SecaggShares);
        assert_eq!(code(private, private), Code::SignatureKey);
        assert_eq!(code(private, ""), Code::SignatureKey);
    }
}
