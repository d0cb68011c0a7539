//! Shamir's sharing as PyCryptodome does it for Flower: each 16-byte block of the padded secret by a polynomial of its own.
//!
//! A share is its index (u32, little-endian) and 16 bytes for each block. Shares carry no check: a wrong one gives a wrong secret, or bad
//! padding.

use zeroize::Zeroizing;

use super::field::{inverse, multiply, multiply_by_index};
use crate::error::{Code, Error, Result};
use crate::random;

const BLOCK: usize = 16;
/// Bytes of a share before its blocks.
const INDEX: usize = 4;

/// Shares with the indices 1 to `count`. [`Code::Argument`] unless 1 ≤ threshold ≤ count ≤ 65,536.
pub fn split(secret: &[u8], threshold: usize, count: usize) -> Result<Vec<Zeroizing<Vec<u8>>>> {
    if threshold == 0 || threshold > count || count > 1 << 16 {
        return Err(Error::new(Code::Argument, "a threshold is from 1 to the number of shares, at most 65536"));
    }
    let padding = BLOCK - secret.len() % BLOCK;
    let mut padded = Zeroizing::new(Vec::with_capacity(secret.len() + padding));
    padded.extend_from_slice(secret);
    padded.resize(secret.len() + padding, padding as u8);
    let length = INDEX + padded.len();
    let empty = |index: u32| {
        let mut share = Zeroizing::new(Vec::with_capacity(length));
        share.extend_from_slice(&index.to_le_bytes());
        share
    };
    let mut shares: Vec<_> = (1..=count as u32).map(empty).collect();
    for block in padded.as_chunks::<BLOCK>().0 {
        // highest power first, the block last
        let mut polynomial: Zeroizing<Vec<u128>> = Zeroizing::new(vec![0; threshold]);
        polynomial.iter_mut().for_each(|coefficient| *coefficient = u128::from_be_bytes(random()));
        polynomial[threshold - 1] = u128::from_be_bytes(*block);
        for (index, share) in (1..).zip(&mut shares) {
            let value = polynomial.iter().fold(0, |value, coefficient| multiply_by_index(value, index) ^ coefficient);
            share.extend_from_slice(&value.to_be_bytes());
        }
    }
    Ok(shares)
}

/// The secret of at least a threshold of shares. [`Code::SecaggShares`] if they are of different lengths, or what they give is not padded
/// as a secret is.
pub fn combine(shares: &[&[u8]]) -> Result<Zeroizing<Vec<u8>>> {
    let wrong = |what: &str| Error::new(Code::SecaggShares, what);
    let length = shares.first().map_or(0, |share| share.len());
    if length < INDEX + BLOCK
        || !(length - INDEX).is_multiple_of(BLOCK)
        || shares.iter().any(|share| share.len() != length)
    {
        return Err(wrong("shares have a wrong or different length"));
    }
    let indices: Vec<u32> =
        shares.iter().filter_map(|share| share.first_chunk().map(|index| u32::from_le_bytes(*index))).collect();
    let mut sorted = indices.clone();
    sorted.sort_unstable();
    if sorted[0] == 0 || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(wrong("two shares have one index, or one has none"));
    }
    let weights: Vec<u128> = indices.iter().map(|&own| weight(&indices, own)).collect();
    let mut padded = Zeroizing::new(Vec::with_capacity(length - INDEX));
    for at in (INDEX..length).step_by(BLOCK) {
        let term = |(share, &weight): (&&[u8], &u128)| {
            let block = share[at..].first_chunk().map_or(0, |block| u128::from_be_bytes(*block));
            multiply(block, weight)
        };
        let block = shares.iter().zip(&weights).map(term).fold(0, |sum, term| sum ^ term);
        padded.extend_from_slice(&block.to_be_bytes());
    }
    let padding = usize::from(padded[padded.len() - 1]);
    if !(1..=BLOCK).contains(&padding)
        || padded[padded.len() - padding..].iter().any(|&byte| usize::from(byte) != padding)
    {
        return Err(wrong("wrong or too few shares: what they give is no padded secret"));
    }
    let kept = padded.len() - padding;
    padded.truncate(kept);
    Ok(padded)
}

/// Lagrange's weight at zero.
fn weight(indices: &[u32], own: u32) -> u128 {
    let others = indices.iter().filter(|&&index| index != own);
    let (above, below) = others.fold((1, 1), |(above, below), &index| {
        (multiply_by_index(above, index), multiply_by_index(below, index ^ own))
    });
    multiply(above, inverse(below))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secagg::testing::{flower_vectors, hex};

    fn strings(value: &serde_json::Value) -> Vec<Vec<u8>> {
        value.as_array().unwrap().iter().map(|text| hex(text.as_str().unwrap())).collect()
    }

    #[test]
    fn shares_that_flower_made_give_its_secrets() {
        for case in flower_vectors("shamir")["cases"].as_array().unwrap() {
            let shares = strings(&case["shares_hex"]);
            for indices in case["combinations_that_work"].as_array().unwrap() {
                let chosen = indices.as_array().unwrap().iter().map(|index| index.as_u64().unwrap() as usize - 1);
                let chosen: Vec<&[u8]> = chosen.map(|at| &shares[at][..]).collect();
                assert_eq!(*combine(&chosen).unwrap(), hex(case["secret_hex"].as_str().unwrap()), "{}", case["name"]);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_threshold_gives_the_secret(
            secret in proptest::collection::vec(any::<u8>(), 0..80),
            (count, threshold) in (1usize..12).prop_flat_map(|count| (Just(count), 1..=count)),
        ) {
            let shares = split(&secret, threshold, count).unwrap();
            let last: Vec<&[u8]> = shares[count - threshold..].iter().map(|share| &share[..]).collect();
            prop_assert_eq!(&**combine(&last).unwrap(), &secret[..]);
        }

        #[test]
        fn arbitrary_shares_never_panic(shares in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..5)) {
            let _ = combine(&shares.iter().map(|share| &share[..]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn wrong_shares_are_refused() {
        let shares = split(&[7; 20], 3, 4).unwrap();
        let code = |shares: &[&[u8]]| combine(shares).unwrap_err().code;
        assert_eq!(code(&[]), Code::SecaggShares);
        assert_eq!(code(&[&shares[0], &shares[0], &shares[1]]), Code::SecaggShares);
        assert_eq!(code(&[&shares[0], &shares[1][..20]]), Code::SecaggShares);
        assert_eq!(code(&[&shares[0][..19], &shares[1][..19]]), Code::SecaggShares);
        for (threshold, count) in [(0, 1), (2, 1), (1, 0), (1, (1 << 16) + 1)] {
            assert_eq!(split(&[1], threshold, count).unwrap_err().code, Code::Argument);
        }
    }
}
