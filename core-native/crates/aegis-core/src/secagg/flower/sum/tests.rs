//! Whole rounds of simulated nodes, and every lie that can be seen. The recorded rounds of real nodes are replayed through the binding
//! (`npm/flower-secagg.test.ts`), where Flower's records can be read.

use aws_lc_rs::agreement::{ECDH_P384, PrivateKey};
use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};

use super::super::shamir::split;
use super::*;
use crate::signature::{P384_PREFIX, encode_base64};

const SETUP: Setup = Setup { clipping_range: 8.0, target_range: 1 << 22, mod_range: 1 << 32, max_weight: 200.0 };
const SHAPES: [&[u64]; 3] = [&[3], &[], &[2, 2]];
const THRESHOLD: usize = 2;

fn shapes() -> Vec<Vec<u64>> {
    SHAPES.iter().map(|shape| shape.to_vec()).collect()
}

struct Node {
    id: u64,
    examples: u64,
    values: [f64; 8],
    seed: [u8; 32],
    private: Vec<u8>,
    public: Vec<u8>,
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", encode_base64(der)).into_bytes()
}

impl Node {
    fn new(id: u64, examples: u64) -> Self {
        let key = PrivateKey::generate(&ECDH_P384).unwrap();
        let der: EcPrivateKeyRfc5915Der<'_> = key.as_der().unwrap();
        let point = key.compute_public_key().unwrap();
        Self {
            id,
            examples,
            values: std::array::from_fn(|i| (i as f64 - 3.5) * (id % 7 + 1) as f64 / 8.0),
            seed: [id as u8 ^ 0x5a; 32],
            private: pem("PRIVATE KEY", der.as_ref()),
            public: pem("PUBLIC KEY", &[&P384_PREFIX[..], point.as_ref()].concat()),
        }
    }

    fn vector(&self, others: &[&Node]) -> Vec<i64> {
        let weight = SETUP.weight(self.examples);
        let quantised =
            self.values.iter().map(|value| SETUP.quantise(value * weight as f64 / SETUP.target_range as f64, 0.5));
        let mut vector: Vec<i64> = std::iter::once(weight).chain(quantised).collect();
        MaskStream::new(&self.seed, SETUP.mod_range).unwrap().apply(&mut vector, true);
        for other in others.iter().filter(|other| other.id != self.id) {
            let seed = MaskKey::from_pem(&self.private).unwrap().shared_with(&other.public).unwrap();
            MaskStream::new(&seed, SETUP.mod_range).unwrap().apply(&mut vector, self.id > other.id);
        }
        vector.iter().map(|value| SETUP.reduce(*value)).collect()
    }
}

fn files(vector: &[i64]) -> Vec<Vec<u8>> {
    let mut at = 0;
    let one: &[u64] = &[1];
    std::iter::once(one)
        .chain(SHAPES)
        .map(|shape| {
            let count = shape.iter().product::<u64>() as usize;
            let mut file = npy::write_header(DType::I64, shape);
            file.extend(vector[at..at + count].iter().flat_map(|value| value.to_le_bytes()));
            at += count;
            file
        })
        .collect()
}

fn refs(buffers: &[Vec<u8>]) -> Vec<&[u8]> {
    buffers.iter().map(|buffer| &buffer[..]).collect()
}

fn shares_of(secret: &[u8]) -> Vec<Vec<u8>> {
    split(secret, THRESHOLD, 4).unwrap()[1..=THRESHOLD].iter().map(|share| share.to_vec()).collect()
}

fn nodes() -> [Node; 4] {
    [Node::new(5, 120), Node::new(1 << 63 | 1, 40), Node::new(9, 200), Node::new(7, 77)]
}

fn read(means: &Means, index: usize) -> Vec<f64> {
    let file = means.array(index).unwrap();
    let header = npy::parse_header(&file).unwrap();
    assert_eq!(header.shape, SHAPES[index]);
    file[header.data_offset..].as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
}

/// Of four nodes, those from `delivered` on drop out after they shared their keys.
fn removed(nodes: &[Node; 4], delivered: usize) -> Sum {
    let mut sum = Sum::new(SETUP, &shapes()).unwrap();
    let all: Vec<&Node> = nodes.iter().collect();
    let (there, gone) = nodes.split_at(delivered);
    for node in there {
        sum.add(&refs(&files(&node.vector(&all)))).unwrap();
        sum.remove_private(&refs(&shares_of(&node.seed))).unwrap();
    }
    let keys: Vec<(u64, &[u8])> = there.iter().map(|node| (node.id, &node.public[..])).collect();
    for node in gone {
        let shares = shares_of(&node.private);
        let shares = refs(&shares);
        let dropped = Dropped { node: node.id, public_key: &node.public, shares: &shares };
        sum.remove_pairs(&dropped, &keys).unwrap();
    }
    sum
}

#[test]
fn the_sum_gives_the_weighted_mean_whoever_drops_out() {
    for delivered in 2..=4 {
        let nodes = nodes();
        let means = removed(&nodes, delivered).open().unwrap();
        let there = &nodes[..delivered];
        let total: u64 = there.iter().map(|node| node.examples).sum();
        assert_eq!(means.weight(), there.iter().map(|node| SETUP.weight(node.examples)).sum::<i64>());
        let values: Vec<f64> = (0..SHAPES.len()).flat_map(|index| read(&means, index)).collect();
        for (at, value) in values.iter().enumerate() {
            let expected: f64 =
                there.iter().map(|node| node.values[at] * node.examples as f64).sum::<f64>() / total as f64;
            assert!((value - expected).abs() < 1e-4, "{at}: {value} instead of {expected}");
        }
        assert_eq!(means.array(SHAPES.len()).unwrap_err().code, Code::Argument);
        assert_eq!(means.array(usize::MAX).unwrap_err().code, Code::Argument);
    }
}

#[test]
fn means_are_written_in_the_types_of_a_model() {
    let nodes = nodes();
    let means = removed(&nodes, 4).open().unwrap();
    for (index, shape) in SHAPES.iter().enumerate() {
        let exact = read(&means, index);
        for dtype in [DType::F32, DType::F64, DType::I64] {
            let file = means.array_as(index, dtype).unwrap();
            let header = npy::parse_header(&file).unwrap();
            assert_eq!(header.shape, *shape);
            let spec = TensorSpec::new("mean", dtype, shape.to_vec()).unwrap();
            let mut values = vec![0.0; exact.len()];
            cast::decode(dtype, &npy::elements(&file, &spec).unwrap(), &mut values);
            let expected: Vec<f64> = match dtype {
                DType::F32 => exact.iter().map(|&value| f64::from(value as f32)).collect(),
                DType::I64 => exact.iter().map(|value| value.round_ties_even()).collect(),
                _ => exact.clone(),
            };
            assert_eq!(values, expected, "{dtype:?}");
        }
    }
}

#[test]
fn masks_that_are_left_over_open_nothing() {
    let nodes = nodes();
    let all: Vec<&Node> = nodes.iter().collect();
    let mut sum = Sum::new(SETUP, &shapes()).unwrap();
    for node in &nodes[..3] {
        sum.add(&refs(&files(&node.vector(&all)))).unwrap();
        sum.remove_private(&refs(&shares_of(&node.seed))).unwrap();
    }
    assert_eq!(sum.count(), 3);
    // the fourth dropped out, and its pairwise masks stay
    assert_eq!(sum.open().err().unwrap().code, Code::SecaggSum);
}

#[test]
fn a_single_vector_is_never_opened() {
    let node = Node::new(3, 10);
    let mut sum = Sum::new(SETUP, &shapes()).unwrap();
    sum.add(&refs(&files(&node.vector(&[])))).unwrap();
    sum.remove_private(&refs(&shares_of(&node.seed))).unwrap();
    assert_eq!(sum.open().err().unwrap().code, Code::SecaggSum);
}

#[test]
fn sums_without_weight_or_room_are_refused() {
    let add = |setup: Setup, weight: i64, count: usize| {
        let mut sum = Sum::new(setup, &shapes()).unwrap();
        let vector: Vec<i64> = std::iter::once(weight).chain([1; 8]).collect();
        (0..count).for_each(|_| sum.add(&refs(&files(&vector))).unwrap());
        sum.open().map(|means| means.weight()).map_err(|error| error.code)
    };
    assert_eq!(add(SETUP, 0, 2), Err(Code::SecaggSum));
    assert_eq!(add(SETUP, 1, 2), Ok(2));
    // two nodes below its range have room in a modulus of four times the range, four have none
    let tight = Setup { mod_range: 1 << 24, ..SETUP };
    assert_eq!(add(tight, 1, 3), Ok(3));
    assert_eq!(add(tight, 1, 4), Err(Code::SecaggSum));
}

#[test]
fn what_is_no_vector_adds_nothing() {
    let good = files(&[1; 9]);
    let mut sum = Sum::new(SETUP, &shapes()).unwrap();
    let mut code = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut bad = good.clone();
        change(&mut bad);
        let code = sum.add(&refs(&bad)).unwrap_err().code;
        assert_eq!((sum.count(), &sum.sum[..]), (0, &[0; 9][..]));
        code
    };
    assert_eq!(code(&|files| files.truncate(3)), Code::SecaggMalformed);
    assert_eq!(code(&|files| files.push(files[0].clone())), Code::SecaggMalformed);
    assert_eq!(code(&|files| files.swap(0, 1)), Code::TensorShape);
    assert_eq!(code(&|files| files[3].push(0)), Code::NpySizeMismatch);
    assert_eq!(code(&|files| files[2].clear()), Code::NpyMalformed);
    let floats = [npy::write_header(DType::F64, &[1]), vec![0; 8]].concat();
    assert_eq!(code(&|files| files[0].clone_from(&floats)), Code::TensorDtype);
    let element = |value: i64| [npy::write_header(DType::I64, &[1]), value.to_le_bytes().to_vec()].concat();
    for value in [-1, SETUP.mod_range as i64, i64::MAX] {
        assert_eq!(code(&|files| files[0] = element(value)), Code::SecaggMalformed);
    }
    sum.add(&refs(&good)).unwrap();
}

#[test]
fn wrong_shares_take_nothing_away() {
    let [one, other, ..] = nodes();
    let mut sum = Sum::new(SETUP, &shapes()).unwrap();
    // a key is no seed
    assert_eq!(sum.remove_private(&refs(&shares_of(&one.private))).unwrap_err().code, Code::SecaggShares);
    assert_eq!(sum.remove_private(&refs(&shares_of(&one.seed)[..1])).unwrap_err().code, Code::SecaggShares);
    let mut pairs = |secret: &[u8], public: &[u8], peer: &[u8]| {
        let shares = shares_of(secret);
        let shares = refs(&shares);
        let dropped = Dropped { node: one.id, public_key: public, shares: &shares };
        sum.remove_pairs(&dropped, &[(other.id, &other.public), (1, peer)]).unwrap_err().code
    };
    assert_eq!(pairs(&one.seed, &one.public, &other.public), Code::SecaggShares);
    assert_eq!(pairs(&other.private, &one.public, &other.public), Code::SecaggShares);
    assert_eq!(pairs(&one.private, b"", &other.public), Code::SignatureKey);
    assert_eq!(pairs(&one.private, &one.public, b"no key"), Code::SignatureKey);
    assert!(sum.sum.iter().all(|&value| value == 0));
}

#[test]
fn setups_that_no_sum_can_be_computed_with_are_refused() {
    let wrong = [
        Setup { clipping_range: 0.0, ..SETUP },
        Setup { clipping_range: f64::NAN, ..SETUP },
        Setup { max_weight: -1.0, ..SETUP },
        Setup { max_weight: f64::INFINITY, ..SETUP },
        Setup { target_range: 0, ..SETUP },
        Setup { target_range: 1 << 31, mod_range: 1 << 40, ..SETUP },
        Setup { mod_range: 1 << 22, ..SETUP },
        Setup { mod_range: (1 << 32) + 1, ..SETUP },
        Setup { mod_range: 1 << 63, ..SETUP },
    ];
    for setup in wrong {
        assert_eq!(Sum::new(setup, &shapes()).err().unwrap().code, Code::SecaggParameters, "{setup:?}");
    }
    Sum::new(Setup { mod_range: 1 << 62, ..SETUP }, &[]).unwrap();
    assert_eq!(Sum::new(SETUP, &[vec![1 << 40], vec![1 << 62]]).err().unwrap().code, Code::TensorTooLarge);
}
