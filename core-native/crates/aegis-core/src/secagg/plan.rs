//! What every node of a masked round must have been asked alike: its identity is in the terms that all of them sign.
//!
//! Each node puts the plan together out of its own task and compares [`Plan::digest`] with the terms: a server that gave the others another
//! learning rate, an L2 clip of nothing or less noise would see one node's update in the sum. `docs/secure-aggregation.md` has the format.

use serde::{Deserialize, Serialize};

use super::messages::{Digest, decimal, hex};
use super::quantise::GridOptions;
use crate::hash::Sha256;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    #[serde(with = "decimal")]
    pub run: u64,
    /// `train` or `evaluate`.
    pub kind: String,
    /// Of the terms.
    #[serde(with = "decimal")]
    pub round: u64,
    /// Nodes that were asked.
    pub cohort: u32,
    pub grid: GridOptions,
    /// What weighs weight-max; 0 where nobody counts.
    pub max_examples: u64,
    pub layout: Layout,
    /// What the app is told, in order.
    pub config: Vec<Entry>,
    /// SHA-256 of the app, in hexadecimal.
    pub app_hash: String,
    /// Of the app's own configuration, in any order.
    pub overrides: Vec<Entry>,
}

/// Where Flower's records keep what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Layout {
    pub dialect: String,
    pub array_record_key: String,
    pub config_record_key: String,
    pub weighted_by_key: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub key: String,
    pub value: Scalar,
}

/// A typed value, as Flower tells them apart. In JSON one field named after the type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scalar {
    Real(Bits),
    Integer(Whole),
    Flag(bool),
    Text(String),
    Data(Bytes),
    Reals(Vec<Bits>),
    Integers(Vec<Whole>),
    Flags(Vec<bool>),
    Texts(Vec<String>),
    Datas(Vec<Bytes>),
}

/// An f64 by its bits: in JSON 16 hexadecimal digits, the most significant first, so that no two languages write it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bits(#[serde(with = "hex")] [u8; 8]);

impl Bits {
    pub fn of(value: f64) -> Self {
        Self(value.to_bits().to_be_bytes())
    }

    /// There is one NaN here.
    fn canonical(self) -> [u8; 8] {
        let value = f64::from_bits(u64::from_be_bytes(self.0));
        if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }.to_le_bytes()
    }
}

/// A whole number: in JSON decimal text with one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Whole(i128);

impl TryFrom<String> for Whole {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let number = text.parse().ok().filter(|number: &i128| number.to_string() == text);
        number.map(Self).ok_or("not a whole number")
    }
}

impl From<Whole> for String {
    fn from(Whole(number): Whole) -> Self {
        number.to_string()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes(#[serde(with = "hex")] Vec<u8>);

impl Plan {
    /// SHA-256 over every field, each with its length or count before it. Ranges of single tensors and overrides count in the order of their
    /// names, metrics and configuration in their own.
    pub fn digest(&self) -> Digest {
        let Self { run, kind, round, cohort, grid, max_examples, layout, config, app_hash, overrides } = self;
        let GridOptions { clip, own_clips, metrics, value_bits, weight_max, norm_clip, noise_sigma } = grid;
        let Layout { dialect, array_record_key, config_record_key, weighted_by_key } = layout;
        let mut hash = Sha256::default();
        hash.field(b"aegis masked plan v3");
        hash.update(&run.to_le_bytes());
        hash.field(kind.as_bytes());
        hash.update(&round.to_le_bytes());
        hash.update(&cohort.to_le_bytes());
        for real in [*clip, norm_clip.unwrap_or(0.0), noise_sigma.unwrap_or(0.0)] {
            hash.update(&real.to_bits().to_le_bytes());
        }
        hash.update(&value_bits.to_le_bytes());
        hash.update(&weight_max.to_le_bytes());
        hash.update(&max_examples.to_le_bytes());
        count(&mut hash, own_clips.len());
        for (tensor, clip) in own_clips {
            hash.field(tensor.as_bytes());
            hash.update(&clip.to_bits().to_le_bytes());
        }
        count(&mut hash, metrics.len());
        for metric in metrics {
            hash.field(metric.name.as_bytes());
            hash.update(&metric.low.to_bits().to_le_bytes());
            hash.update(&metric.high.to_bits().to_le_bytes());
        }
        for text in [dialect, array_record_key, config_record_key, weighted_by_key] {
            hash.field(text.as_bytes());
        }
        entries(&mut hash, config.iter());
        hash.field(app_hash.as_bytes());
        let mut sorted: Vec<&Entry> = overrides.iter().collect();
        sorted.sort_by(|one, other| one.key.cmp(&other.key));
        entries(&mut hash, sorted.into_iter());
        hash.finish()
    }
}

fn count(hash: &mut Sha256, items: usize) {
    hash.update(&(items as u64).to_le_bytes());
}

fn entries<'a>(hash: &mut Sha256, entries: impl ExactSizeIterator<Item = &'a Entry>) {
    count(hash, entries.len());
    for Entry { key, value } in entries {
        hash.field(key.as_bytes());
        value.put(hash);
    }
}

impl Scalar {
    /// Its type's name, how many there are, and each.
    fn put(&self, hash: &mut Sha256) {
        match self {
            Scalar::Real(bits) => put(hash, "real", [bits], |hash, bits| hash.update(&bits.canonical())),
            Scalar::Integer(whole) => put(hash, "integer", [whole], Whole::put),
            Scalar::Flag(flag) => put(hash, "flag", [flag], |hash, &flag| hash.update(&[u8::from(flag)])),
            Scalar::Text(text) => put(hash, "text", [text], |hash, text| hash.field(text.as_bytes())),
            Scalar::Data(bytes) => put(hash, "data", [bytes], |hash, bytes| hash.field(&bytes.0)),
            Scalar::Reals(all) => put(hash, "reals", all, |hash, bits| hash.update(&bits.canonical())),
            Scalar::Integers(all) => put(hash, "integers", all, Whole::put),
            Scalar::Flags(all) => put(hash, "flags", all, |hash, &flag| hash.update(&[u8::from(flag)])),
            Scalar::Texts(all) => put(hash, "texts", all, |hash, text| hash.field(text.as_bytes())),
            Scalar::Datas(all) => put(hash, "datas", all, |hash, bytes| hash.field(&bytes.0)),
        }
    }
}

impl Whole {
    fn put(hash: &mut Sha256, whole: &Self) {
        hash.update(&whole.0.to_le_bytes());
    }
}

fn put<'a, T: 'a>(
    hash: &mut Sha256,
    kind: &str,
    items: impl IntoIterator<Item = &'a T, IntoIter: ExactSizeIterator>,
    each: impl Fn(&mut Sha256, &T),
) {
    let items = items.into_iter();
    hash.field(kind.as_bytes());
    count(hash, items.len());
    items.for_each(|item| each(hash, item));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::error::Code;
    use crate::secagg::messages::{from_json, to_json};
    use crate::secagg::testing::vectors;

    fn case(at: usize) -> Value {
        vectors("plan")["cases"][at].clone()
    }

    fn digest(plan: &Value) -> String {
        crate::hash::to_hex(&from_json::<Plan>(&plan.to_string()).unwrap().digest())
    }

    #[test]
    fn the_identity_is_that_of_the_vectors() {
        for case in vectors("plan")["cases"].as_array().unwrap() {
            assert_eq!(digest(&case["plan"]), case["digest"].as_str().unwrap());
            let plan: Plan = from_json(&case["plan"].to_string()).unwrap();
            assert_eq!(from_json::<Plan>(&to_json(&plan)).unwrap(), plan);
        }
    }

    #[test]
    fn every_field_counts() {
        let plan = &case(0)["plan"];
        let mut seen = std::collections::HashSet::from([digest(plan)]);
        let changes = [
            ("/run", json!("8")),
            ("/kind", json!("evaluate")),
            ("/round", json!("130")),
            ("/cohort", json!(6)),
            ("/grid/clip", json!(4.5)),
            ("/grid/valueBits", json!(17)),
            ("/grid/weightMax", json!(2)),
            ("/grid/normClip", json!(2.5)),
            ("/grid/noiseSigma", json!(100.5)),
            ("/grid/ownClips/b", json!(1.0)),
            ("/grid/metrics/0/name", json!("other")),
            ("/grid/metrics/0/low", json!(-1.0)),
            ("/grid/metrics/0/high", json!(9.0)),
            ("/maxExamples", json!(11)),
            ("/layout/dialect", json!("legacy")),
            ("/layout/arrayRecordKey", json!("x")),
            ("/layout/configRecordKey", json!("x")),
            ("/layout/weightedByKey", json!("x")),
            ("/config/0/key", json!("x")),
            ("/config/0/value", json!({ "real": "3ff0000000000001" })),
            ("/config/0/value", json!({ "reals": ["3ff0000000000000"] })),
            ("/appHash", json!("")),
            ("/overrides/0/value", json!({ "text": "y" })),
            ("/overrides", json!([])),
            ("/config", json!([])),
        ];
        for (field, value) in changes {
            let mut other = plan.clone();
            *other.pointer_mut(field).unwrap_or_else(|| panic!("{field}")) = value;
            assert!(seen.insert(digest(&other)), "{field}");
        }
    }

    #[test]
    fn overrides_count_in_any_order_and_configuration_in_its_own() {
        let plan = &case(0)["plan"];
        let reversed = |field: &str| {
            let mut other = plan.clone();
            other[field].as_array_mut().unwrap().reverse();
            digest(&other)
        };
        assert_eq!(reversed("overrides"), digest(plan));
        assert_ne!(reversed("config"), digest(plan));
    }

    #[test]
    fn values_have_one_form() {
        let plan = case(0)["plan"].clone();
        for bad in [
            json!({ "integer": "01" }),
            json!({ "integer": "+1" }),
            json!({ "integer": 1 }),
            json!({ "real": 1.0 }),
            json!({ "real": "3FF0000000000000" }),
            json!({ "real": "3ff0" }),
            json!({ "data": "0" }),
            json!({ "list": [] }),
            json!({ "flag": true, "text": "" }),
        ] {
            let mut other = plan.clone();
            other["config"][0]["value"] = bad.clone();
            let error = from_json::<Plan>(&other.to_string()).unwrap_err();
            assert_eq!(error.code, Code::SecaggMalformed, "{bad}");
        }
        let nan = |bits: u64| Bits(bits.to_be_bytes()).canonical();
        assert_eq!(nan(0x7ff8_0000_0000_0001), nan(0xfff8_0000_0000_0000));
        assert_ne!(Bits::of(0.0).canonical(), Bits::of(-0.0).canonical());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = from_json::<Plan>(&text).map(|plan| plan.digest());
        }
    }
}
