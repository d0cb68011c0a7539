//! What travels: requests of the server to a node and its answers, round by round.
//!
//! In JSON, as the bindings carry them, node ids and counters are decimal strings (JavaScript has no u64) and bytes are
//! hexadecimal. Every request names the terms it belongs to, so that a message of another round, run or plan is known as such.

use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};
use crate::hash::Sha256;

pub type Digest = [u8; 32];

/// What a round is about, the same for every node: fixed in the plan, hashed into everything that is signed or derived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Terms {
    #[serde(with = "decimal")]
    pub run: u64,
    #[serde(with = "decimal")]
    pub round: u64,
    /// SHA-256 of the plan.
    #[serde(with = "hex")]
    pub plan: Digest,
    /// Neighbours of each node; with as many or more than there are others, the graph is complete.
    pub degree: u32,
    /// Shares that open a secret.
    pub threshold: u32,
    /// Fewest nodes whose sum may be opened.
    pub min_survivors: u32,
    /// Modulus 2^bits.
    pub bits: u32,
    /// Elements of a masked vector, sentinels and metrics included.
    #[serde(with = "decimal")]
    pub length: u64,
}

impl Terms {
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::default();
        hash.field(b"aegis secagg terms v1");
        hash.update(&self.run.to_le_bytes());
        hash.update(&self.round.to_le_bytes());
        hash.update(&self.plan);
        for number in [self.degree, self.threshold, self.min_survivors, self.bits] {
            hash.update(&number.to_le_bytes());
        }
        hash.update(&self.length.to_le_bytes());
        hash.finish()
    }
}

/// Round 0, answer: a node's two public keys of this round, signed with its certified key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Advert {
    #[serde(with = "decimal")]
    pub node: u64,
    /// Seals the shares.
    #[serde(with = "hex")]
    pub channel_key: Digest,
    /// Gives the pairwise masks.
    #[serde(with = "hex")]
    pub mask_key: Digest,
    /// Seconds since 1970.
    #[serde(with = "decimal")]
    pub expires: u64,
    #[serde(with = "hex")]
    pub signature: Vec<u8>,
}

impl Advert {
    /// What the signature is over.
    pub fn signed(&self, terms: &Digest) -> Vec<u8> {
        let (node, expires) = (self.node.to_le_bytes(), self.expires.to_le_bytes());
        joined(&[b"aegis secagg advert v1", terms, &node, &self.channel_key, &self.mask_key, &expires])
    }
}

/// An advert with what its certificate says. The caller has verified the certificate against its own pinned root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertifiedAdvert {
    pub advert: Advert,
    pub subject: String,
    /// SubjectPublicKeyInfo in PEM.
    pub signing_key: String,
}

/// Round 1, request: everybody who takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RosterRequest {
    #[serde(with = "hex")]
    pub terms: Digest,
    pub adverts: Vec<CertifiedAdvert>,
}

/// A pair of shares, sealed, with the other end: the receiver in an answer, the sender in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SealedShare {
    #[serde(with = "decimal")]
    pub peer: u64,
    #[serde(with = "hex")]
    pub sealed: Vec<u8>,
}

/// Round 1, answer: a pair of shares for each neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SealedShares {
    #[serde(with = "decimal")]
    pub node: u64,
    pub shares: Vec<SealedShare>,
}

/// Round 2, request: the shares of the neighbours who take part from here on, and the model the update starts from. The answer is the
/// masked vector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShareDelivery {
    #[serde(with = "hex")]
    pub terms: Digest,
    /// Computed by whoever received the model, never taken from a server: this is what shows that all were given the same.
    #[serde(with = "hex")]
    pub model: Digest,
    pub shares: Vec<SealedShare>,
}

/// Round 3, request: everybody whose masked vector is in the sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SurvivorList {
    #[serde(with = "hex")]
    pub terms: Digest,
    #[serde(with = "decimals")]
    pub survivors: Vec<u64>,
}

/// Round 3, answer: a signature over the survivors and the model, which the neighbours compare with their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Confirmation {
    #[serde(with = "decimal")]
    pub node: u64,
    #[serde(with = "hex")]
    pub survivors: Digest,
    #[serde(with = "hex")]
    pub model: Digest,
    #[serde(with = "hex")]
    pub signature: Vec<u8>,
}

impl Confirmation {
    /// What the signature is over.
    pub fn signed(&self, transcript: &Digest) -> Vec<u8> {
        joined(&[b"aegis secagg survivors v1", transcript, &self.node.to_le_bytes(), &self.survivors, &self.model])
    }
}

/// The identity of a set of survivors, whatever their order.
pub fn survivors_digest(survivors: &[u64]) -> Digest {
    let mut sorted = survivors.to_vec();
    sorted.sort_unstable();
    let mut hash = Sha256::default();
    hash.field(b"aegis secagg survivor set v1");
    sorted.iter().for_each(|node| hash.update(&node.to_le_bytes()));
    hash.finish()
}

/// Round 4, request: whose self mask and whose pairwise masks to open, and what the neighbours confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnmaskRequest {
    #[serde(with = "hex")]
    pub terms: Digest,
    #[serde(with = "decimals")]
    pub survivors: Vec<u64>,
    #[serde(with = "decimals")]
    pub dropped: Vec<u64>,
    pub confirmations: Vec<Confirmation>,
}

/// One share, opened, of another node's secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpenedShare {
    #[serde(with = "decimal")]
    pub of: u64,
    #[serde(with = "hex")]
    pub share: Vec<u8>,
}

/// Round 4, answer: shares of the survivors' self mask seeds and of the dropped nodes' mask keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpenedShares {
    #[serde(with = "decimal")]
    pub node: u64,
    pub seeds: Vec<OpenedShare>,
    pub keys: Vec<OpenedShare>,
}

/// [`Code::SecaggMalformed`] unless the text is one message of this kind, nothing more and nothing less.
pub fn from_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        // serde's text quotes what it met; line and column say enough
        Error::new(Code::SecaggMalformed, "the message is not of its kind")
            .with("line", error.line())
            .with("column", error.column())
            .with("problem", format!("{:?}", error.classify()))
    })
}

pub fn to_json<T: Serialize>(message: &T) -> String {
    serde_json::to_string(message).expect("messages have string keys and no failing field")
}

/// The identity of a request: the same again is answered the same, another is refused.
pub fn request_digest<T: Serialize>(request: &T) -> Digest {
    crate::hash::sha256([to_json(request)])
}

/// Fields one after the other, each with its length before it (u32, little-endian).
fn joined(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        out.extend_from_slice(&(field.len() as u32).to_le_bytes());
        out.extend_from_slice(field);
    }
    out
}

pub(crate) mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        parse(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not a decimal u64"))
    }

    /// One form for each number: no sign, no leading zero.
    pub fn parse(text: &str) -> Option<u64> {
        text.parse().ok().filter(|number: &u64| number.to_string() == text)
    }
}

mod decimals {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(numbers: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(numbers.iter().map(u64::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let numbers = texts.iter().map(|text| super::decimal::parse(text));
        numbers.collect::<Option<_>>().ok_or_else(|| D::Error::custom("not a decimal u64"))
    }
}

pub(crate) mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::hash::to_hex(bytes.as_ref()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom("not the hexadecimal bytes of this field");
        T::try_from(decode(&text).ok_or_else(wrong)?).map_err(|_| wrong())
    }

    fn decode(text: &str) -> Option<Vec<u8>> {
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
        if rest.is_empty() { bytes } else { None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn advert() -> Advert {
        Advert {
            node: u64::MAX,
            channel_key: [1; 32],
            mask_key: [2; 32],
            expires: 1_800_000_000,
            signature: vec![3; 64],
        }
    }

    #[test]
    fn messages_come_back_as_they_were() {
        let request = UnmaskRequest {
            terms: [4; 32],
            survivors: vec![1, u64::MAX],
            dropped: vec![],
            confirmations: vec![Confirmation { node: 1, survivors: [5; 32], model: [6; 32], signature: vec![] }],
        };
        assert_eq!(from_json::<UnmaskRequest>(&to_json(&request)).unwrap(), request);
        assert_eq!(from_json::<Advert>(&to_json(&advert())).unwrap(), advert());
        assert!(to_json(&advert()).contains(r#""node":"18446744073709551615""#));
    }

    #[test]
    fn a_message_has_one_form() {
        let text = to_json(&advert());
        for (good, bad) in [
            (r#""node":"18446744073709551615""#, r#""node":18446744073709551615"#),
            (r#""node":"18446744073709551615""#, r#""node":"018""#),
            (r#""node":"18446744073709551615""#, r#""node":"+1""#),
            (r#""expires":"1800000000""#, r#""expires":"-1""#),
            (r#""channelKey":"0101"#, r#""channelKey":"01"#),
            (r#""signature":"03"#, r#""signature":"0"#),
            (r#""signature":"03"#, r#""signature":"0A"#),
            (r#""node""#, r#""extra":1,"node""#),
        ] {
            let changed = text.replace(good, bad);
            assert_ne!(changed, text);
            let error = from_json::<Advert>(&changed).unwrap_err();
            assert_eq!(error.code, Code::SecaggMalformed, "{changed}");
        }
    }

    #[test]
    fn everything_signed_changes_with_every_field() {
        let signed = |change: &dyn Fn(&mut Advert)| {
            let mut advert = advert();
            change(&mut advert);
            advert.signed(&[9; 32])
        };
        let plain = signed(&|_| ());
        assert_eq!(plain, signed(&|advert| advert.signature.clear()), "but the signature itself");
        for other in [
            signed(&|advert| advert.node = 1),
            signed(&|advert| advert.channel_key[0] = 9),
            signed(&|advert| advert.mask_key[0] = 9),
            signed(&|advert| advert.expires += 1),
            advert().signed(&[8; 32]),
        ] {
            assert_ne!(plain, other);
        }
    }

    #[test]
    fn terms_and_survivor_sets_have_an_identity() {
        let terms =
            Terms { run: 1, round: 2, plan: [3; 32], degree: 4, threshold: 3, min_survivors: 3, bits: 23, length: 100 };
        let changes: [fn(&mut Terms); 8] = [
            |terms| terms.run = 9,
            |terms| terms.round = 9,
            |terms| terms.plan[0] = 9,
            |terms| terms.degree = 9,
            |terms| terms.threshold = 9,
            |terms| terms.min_survivors = 9,
            |terms| terms.bits = 9,
            |terms| terms.length = 9,
        ];
        for change in changes {
            let mut other = terms.clone();
            change(&mut other);
            assert_ne!(other.digest(), terms.digest());
        }
        assert_eq!(survivors_digest(&[3, 1]), survivors_digest(&[1, 3]));
        assert_ne!(survivors_digest(&[1]), survivors_digest(&[1, 3]));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: String, bytes: Vec<u8>) {
            let _ = from_json::<UnmaskRequest>(&text);
            let _ = from_json::<RosterRequest>(&String::from_utf8_lossy(&bytes));
        }
    }
}
