//! Shamir's secret sharing (Shamir 1979, "How to share a secret") of 32-byte secrets over the field of 2^61 − 1 elements.
//!
//! A secret is cut into five limbs of 52 bits, each shared by a polynomial of its own whose coefficients are uniform over the
//! whole field, zero included: fewer than `threshold` shares are independent of the secret. The points are public, the
//! values are handled in time that does not depend on them. A sixth limb is shared like the others, 52 bits of the secret's SHA-256: a
//! wrong share among those that are combined gives something else, and is noticed but with probability 2^-52.

use zeroize::{Zeroize, Zeroizing};

use super::field::{Element, PRIME};
use super::keystream::Seed;
use crate::error::{Code, Error, Result};
use crate::hash::sha256;
use crate::privacy::noise::Drbg;

const LIMBS: usize = 6;
/// Of the limbs, those that hold the secret.
const SECRET_LIMBS: usize = 5;
const LIMB_BITS: usize = 52;
/// Six elements, little-endian.
pub const SHARE_BYTES: usize = LIMBS * 8;
/// Most shares of one secret; a node's point is its place in the roster, from 1.
pub const MAX_SHARES: usize = 1 << 16;

/// The values of the six polynomials at one point.
#[derive(Clone)]
pub struct Share(Zeroizing<[Element; LIMBS]>);

impl Share {
    /// `None` if a limb is no element of the field.
    pub fn from_bytes(bytes: &[u8; SHARE_BYTES]) -> Option<Self> {
        let mut limbs = Zeroizing::new([Element::ZERO; LIMBS]);
        for (limb, word) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *limb = Element::new(u64::from_le_bytes(*word))?;
        }
        Some(Self(limbs))
    }

    pub fn to_bytes(&self) -> Zeroizing<[u8; SHARE_BYTES]> {
        let mut bytes = Zeroizing::new([0; SHARE_BYTES]);
        for (word, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0.iter()) {
            *word = limb.value().to_le_bytes();
        }
        bytes
    }
}

/// One share for each point, of which any `threshold` give the secret back. [`Code::Argument`] unless
/// 1 ≤ threshold ≤ points ≤ 65,536 and the points are distinct and not zero.
pub fn split(secret: &[u8; 32], threshold: usize, points: &[u32]) -> Result<Vec<Share>> {
    let mut drbg = Drbg::new();
    split_with(secret, threshold, points, || drbg.word())
}

/// [`split`] with the chance given, for known answers.
pub(crate) fn split_with(
    secret: &[u8; 32],
    threshold: usize,
    points: &[u32],
    mut word: impl FnMut() -> u64,
) -> Result<Vec<Share>> {
    if threshold == 0 || threshold > points.len() || points.len() > MAX_SHARES {
        return Err(Error::new(Code::Argument, "a threshold is from 1 to the number of shares, at most 65536")
            .with("threshold", threshold)
            .with("shares", points.len()));
    }
    let points = elements(points)?;
    // highest power first, the secret last: the order of Horner's rule
    let mut polynomial = Zeroizing::new(vec![[Element::ZERO; LIMBS]; threshold]);
    let (constant, coefficients) = polynomial.split_last_mut().expect("a threshold is at least 1");
    coefficients.iter_mut().flatten().for_each(|coefficient| *coefficient = uniform(&mut word));
    *constant = to_limbs(secret);
    Ok(points.iter().map(|&x| Share(Zeroizing::new(evaluate(&polynomial, x)))).collect())
}

fn evaluate(polynomial: &[[Element; LIMBS]], x: Element) -> [Element; LIMBS] {
    let mut value = [Element::ZERO; LIMBS];
    for coefficients in polynomial {
        for (value, &coefficient) in value.iter_mut().zip(coefficients) {
            *value = value.mul_add(x, coefficient);
        }
    }
    value
}

/// Puts shares of any secret back together that were made for the same points: the weights are computed once.
pub struct Combiner {
    weights: Vec<Element>,
}

impl Combiner {
    /// Lagrange's weights at zero. [`Code::Argument`] unless the points are distinct and not zero.
    pub fn new(points: &[u32]) -> Result<Self> {
        let points = elements(points)?;
        let product = |skipped: usize, term: &dyn Fn(Element) -> Element| {
            let others = points.iter().enumerate().filter(|(position, _)| *position != skipped);
            others.fold(Element::ONE, |product, (_, &x)| product * term(x))
        };
        let weight =
            |(position, &own): (usize, &Element)| product(position, &|x| x) * product(position, &|x| x - own).inverse();
        Ok(Self { weights: points.iter().enumerate().map(weight).collect() })
    }

    /// The secret, from one share for each point in the order of the points. [`Code::SecaggShares`] if what they give is no
    /// secret: a share is wrong, or there are fewer than the threshold.
    pub fn combine(&self, shares: &[&Share]) -> Result<Seed> {
        assert_eq!(shares.len(), self.weights.len(), "one share for each point");
        let mut limbs = Zeroizing::new([Element::ZERO; LIMBS]);
        for (share, &weight) in shares.iter().zip(&self.weights) {
            for (limb, &value) in limbs.iter_mut().zip(share.0.iter()) {
                *limb = *limb + value * weight;
            }
        }
        from_limbs(&limbs).ok_or_else(|| Error::new(Code::SecaggShares, "the shares give no secret: one is wrong"))
    }
}

fn elements(points: &[u32]) -> Result<Vec<Element>> {
    let mut sorted = points.to_vec();
    sorted.sort_unstable();
    if sorted.first() == Some(&0) || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::new(Code::Argument, "the points of shares are distinct and not zero"));
    }
    Ok(points.iter().filter_map(|&x| Element::new(u64::from(x))).collect())
}

/// Uniform over the whole field, zero included.
fn uniform(mut word: impl FnMut() -> u64) -> Element {
    loop {
        // The one value rejected says nothing about those that are kept.
        if let Some(element) = Element::new(word() & PRIME) {
            return element;
        }
    }
}

/// What tells a secret from the sum of wrong shares.
fn check(secret: &[u8; 32]) -> Element {
    let mut digest = sha256([&b"aegis secagg share check v1"[..], secret]);
    let word = digest.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    digest.zeroize();
    Element::new(word & ((1 << LIMB_BITS) - 1)).expect("52 bits are below the prime")
}

fn to_limbs(secret: &[u8; 32]) -> [Element; LIMBS] {
    let mut words = [0; 5];
    for (word, bytes) in words.iter_mut().zip(secret.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let limbs = std::array::from_fn(|limb| {
        if limb == SECRET_LIMBS {
            return check(secret);
        }
        let (word, shift) = (limb * LIMB_BITS / 64, limb * LIMB_BITS % 64);
        let bits = (u128::from(words[word + 1]) << 64 | u128::from(words[word])) >> shift;
        Element::new(bits as u64 & ((1 << LIMB_BITS) - 1)).expect("52 bits are below the prime")
    });
    words.zeroize();
    limbs
}

fn from_limbs(limbs: &[Element; LIMBS]) -> Option<Seed> {
    let mut words = Zeroizing::new([0u64; 5]);
    for (limb, element) in limbs[..SECRET_LIMBS].iter().enumerate() {
        let (word, shift) = (limb * LIMB_BITS / 64, limb * LIMB_BITS % 64);
        let wide = u128::from(element.value()) << shift;
        words[word] |= wide as u64;
        words[word + 1] |= (wide >> 64) as u64;
    }
    let fits = limbs[..SECRET_LIMBS].iter().all(|limb| limb.value() >> LIMB_BITS == 0) && words[4] == 0;
    let mut secret = Seed::default();
    for (bytes, word) in secret.as_chunks_mut::<8>().0.iter_mut().zip(words.iter()) {
        *bytes = word.to_le_bytes();
    }
    (fits && check(&secret) == limbs[SECRET_LIMBS]).then_some(secret)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::secagg::keystream::Draws;
    use crate::secagg::testing::{Vector, vectors};

    fn combine(points: &[u32], shares: &[Share], chosen: &[usize]) -> Result<Seed> {
        let points: Vec<u32> = chosen.iter().map(|&position| points[position]).collect();
        Combiner::new(&points)?.combine(&chosen.iter().map(|&position| &shares[position]).collect::<Vec<_>>())
    }

    #[test]
    fn shares_are_those_of_the_vectors() {
        for case in vectors("shamir")["cases"].as_array().unwrap() {
            let points: Vec<u32> =
                case["points"].as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect();
            let threshold = case["threshold"].as_u64().unwrap() as usize;
            let mut draws = Draws::new(&case.bytes("coefficients_seed"));
            let shares = split_with(&case.bytes("secret"), threshold, &points, || draws.next_u64()).unwrap();
            for (share, expected) in shares.iter().zip(case["shares"].as_array().unwrap()) {
                assert_eq!(crate::hash::to_hex(&*share.to_bytes()), expected.as_str().unwrap());
            }
            let last: Vec<usize> = (points.len() - threshold..points.len()).collect();
            assert_eq!(*combine(&points, &shares, &last).unwrap(), case.bytes::<32>("secret"));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_threshold_of_shares_gives_the_secret(
            secret: [u8; 32],
            (count, threshold) in (1usize..40).prop_flat_map(|count| (Just(count), 1..=count)),
            order in Just((0..40usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let points: Vec<u32> = (0..count as u32).map(|position| 1 + 7 * position).collect();
            let shares = split(&secret, threshold, &points).unwrap();
            let chosen: Vec<usize> = order.into_iter().filter(|&position| position < count).take(threshold).collect();
            prop_assert_eq!(*combine(&points, &shares, &chosen).unwrap(), secret);
            let bytes = Share::from_bytes(&shares[0].to_bytes()).unwrap().to_bytes();
            prop_assert_eq!(bytes, shares[0].to_bytes());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: [u8; SHARE_BYTES]) {
            if let Some(share) = Share::from_bytes(&bytes) {
                prop_assert_eq!(*share.to_bytes(), bytes);
                let _ = Combiner::new(&[5]).unwrap().combine(&[&share]);
            }
        }
    }

    #[test]
    fn a_thousand_nodes_share() {
        let points: Vec<u32> = (1..=1000).collect();
        let shares = split(&[255; 32], 667, &points).unwrap();
        let chosen: Vec<usize> = (333..1000).collect();
        assert_eq!(*combine(&points, &shares, &chosen).unwrap(), [255; 32]);
    }

    #[test]
    fn one_share_short_or_wrong_gives_nothing() {
        let points: Vec<u32> = (1..=9).collect();
        let mut shares = split(&[1; 32], 5, &points).unwrap();
        let too_few = combine(&points, &shares, &[0, 1, 2, 3]).unwrap_err();
        assert_eq!(too_few.code, Code::SecaggShares);
        shares[2] = shares[3].clone();
        assert_eq!(combine(&points, &shares, &[0, 1, 2, 3, 4]).unwrap_err().code, Code::SecaggShares);
        let mut bytes = *shares[0].to_bytes();
        bytes[3] ^= 1; // an error that leaves every limb in its range
        shares[0] = Share::from_bytes(&bytes).unwrap();
        assert_eq!(combine(&points, &shares, &[0, 1, 4, 5, 6]).unwrap_err().code, Code::SecaggShares);
        assert_eq!(*combine(&points, &shares, &[1, 4, 5, 6, 7]).unwrap(), [1; 32]);
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for (threshold, points) in [(0, vec![1]), (2, vec![1]), (1, vec![]), (1, vec![0]), (1, vec![3, 4, 3])] {
            assert_eq!(split(&[0; 32], threshold, &points).err().unwrap().code, Code::Argument, "{points:?}");
        }
        let too_many: Vec<u32> = (1..=MAX_SHARES as u32 + 1).collect();
        assert_eq!(split(&[0; 32], 2, &too_many).err().unwrap().code, Code::Argument);
        assert!(Share::from_bytes(&[255; SHARE_BYTES]).is_none());
    }

    /// With threshold 2 a share is secret + x · coefficient: over many sharings of one secret the value at a point must be
    /// uniform over the field, in every part of it and with zero among the coefficients (RUSTSEC-2024-0398 was its absence).
    #[test]
    fn shares_of_one_secret_are_uniform() {
        let mut draws = Drbg::repeatable(5);
        let (mut high, mut low) = ([0u32; 64], [0u32; 64]);
        const SHARINGS: usize = 12_800;
        let mut seen = HashSet::new();
        for _ in 0..SHARINGS {
            let share = &split_with(&[42; 32], 2, &[1, 2], || draws.word()).unwrap()[0];
            for limb in share.0.iter() {
                high[(limb.value() >> 55) as usize] += 1;
                low[(limb.value() & 63) as usize] += 1;
                seen.insert(limb.value());
            }
        }
        assert!(seen.len() > LIMBS * SHARINGS - 5, "values repeat");
        for counts in [high, low] {
            let expected = (LIMBS * SHARINGS) as f64 / 64.0;
            let statistic: f64 = counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
            // chi-square with 63 degrees of freedom: mean 63, exceeds 113 once in 10,000 seeds; this seed is fixed
            assert!(statistic < 113.0, "{statistic} {counts:?}");
        }
    }

    #[test]
    fn zero_is_a_coefficient_and_the_prime_is_drawn_again() {
        let mut words = [PRIME, u64::MAX, 0, 1 << 61].into_iter();
        assert_eq!(uniform(|| words.next().unwrap()), Element::ZERO);
        assert_eq!(uniform(|| words.next().unwrap()), Element::ZERO, "bits above the field are dropped");
    }
}
