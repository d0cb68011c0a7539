use std::collections::{HashMap, HashSet};
use std::fs;

use proptest::prelude::*;

use super::*;
use crate::privacy::clip::Bound;
use crate::privacy::fold::tests::Setup;
use crate::privacy::fold::{Finish, Noised, PrivateFold};
use crate::privacy::noise::DiscreteGaussian;
use crate::privacy::noise::fit::{count, misfit, probabilities};
use crate::tensor::DType;
use crate::tensor::cast::BLOCK;
use crate::update::measured;

const SIGMA: f64 = 1000.0;

/// The noise of one node, drawn by itself.
fn noise_of(secret: &TreeSecret, tree: u64, node: Node, elements: usize) -> Vec<i128> {
    let mut drawn = vec![0; elements];
    DiscreteGaussian::new(SIGMA).unwrap().fill(&mut secret.bits_of(tree, node), &mut drawn);
    drawn.into_iter().map(i128::from).collect()
}

/// The noise of a prefix, round by round.
fn prefix(secret: &TreeSecret, tree: u64, leaf: u64, elements: usize) -> Vec<i128> {
    let mut sum = vec![0; elements];
    for leaf in 1..=leaf {
        Increment::new(secret, tree, leaf, SIGMA).unwrap().add_to(&mut sum);
    }
    sum
}

fn leaves(node: Node) -> std::ops::RangeInclusive<u64> {
    (node.index << node.level) + 1..=(node.index + 1) << node.level
}

/// How many of the nodes that a tree of `steps` leaves uses at all are above each leaf.
fn depths(steps: u64) -> HashMap<u64, u32> {
    let used: HashSet<Node> = (1..=steps).flat_map(cover).collect();
    let mut depths = HashMap::new();
    used.into_iter().flat_map(leaves).for_each(|leaf| *depths.entry(leaf).or_default() += 1);
    depths
}

#[test]
fn a_cover_is_every_leaf_once_with_a_node_for_every_bit() {
    for leaf in 1..=300 {
        let nodes = cover(leaf);
        let mut covered: Vec<u64> = nodes.iter().copied().flat_map(leaves).collect();
        covered.sort_unstable();
        assert_eq!(covered, (1..=leaf).collect::<Vec<_>>());
        assert_eq!(nodes.len() as u32, leaf.count_ones());
    }
    assert_eq!(cover(0), []);
}

#[test]
fn one_update_is_in_as_many_nodes_as_the_accounting_counts_and_not_in_more() {
    for steps in 1..=130u64 {
        let most = depths(steps).into_values().max().unwrap();
        assert_eq!(most, (steps as f64 + 1.0).log2().ceil() as u32, "{steps} steps");
    }
}

proptest! {
    #[test]
    fn increments_telescope_to_the_cover(leaf in 1u64..1 << 32) {
        let (comes, goes) = change(leaf);
        let before: HashSet<Node> = cover(leaf - 1).into_iter().collect();
        prop_assert!(goes.iter().all(|node| before.contains(node)) && !before.contains(&comes));
        let mut after: HashSet<Node> = before.into_iter().filter(|node| !goes.contains(node)).collect();
        after.insert(comes);
        prop_assert_eq!(after, cover(leaf).into_iter().collect::<HashSet<_>>());
    }

    #[test]
    fn the_noise_of_a_prefix_is_the_sum_over_its_cover(leaf in 1u64..70, tree in 0u64..3, elements in 1usize..40) {
        let secret = TreeSecret::fixed(5);
        let mut wanted = vec![0; elements];
        for node in cover(leaf) {
            let noise = noise_of(&secret, tree, node, elements);
            wanted.iter_mut().zip(noise).for_each(|(sum, noise)| *sum += noise);
        }
        prop_assert_eq!(prefix(&secret, tree, leaf, elements), wanted);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn one_update_moves_the_node_sums_by_no_more_than_the_accounting_says(
        updates in proptest::collection::vec(proptest::collection::vec(-3.0f64..3.0, 4), 1..40),
        place in any::<prop::sample::Index>(),
    ) {
        let bound = Bound::fine(1.5).unwrap();
        let steps: Vec<Vec<i64>> = updates
            .iter()
            .map(|update| {
                let mut steps = vec![0; update.len()];
                bound.scale(&measured(update).unwrap(), 1.0).unwrap().to_steps(update, &mut steps);
                steps
            })
            .collect();
        let used: HashSet<Node> = (1..=steps.len() as u64).flat_map(cover).collect();
        let sum = |node: Node, without: Option<usize>, element: usize| -> i128 {
            let of = |leaf: u64| leaf as usize - 1;
            leaves(node).map(of).filter(|&at| Some(at) != without).map(|at| i128::from(steps[at][element])).sum()
        };
        let zeroed = place.index(steps.len());
        let mut squares = 0u128;
        for &node in &used {
            for element in 0..4 {
                squares += (sum(node, None, element) - sum(node, Some(zeroed), element)).unsigned_abs().pow(2);
            }
        }
        let depth = (steps.len() as f64 + 1.0).log2().ceil() as u128;
        // every node holds the whole update or nothing of it, so the mean over the depth is that of one update at most
        prop_assert!(bound.holds(squares.div_ceil(depth)), "{} over {}", squares, depth);
    }
}

#[test]
fn noise_comes_again_to_the_bit_however_it_is_asked_for() {
    let elements = 2 * BLOCK + 77;
    let whole = |leaf| {
        let mut sum = vec![0; elements];
        Increment::new(&TreeSecret::fixed(1), 3, leaf, SIGMA).unwrap().add_to(&mut sum);
        sum
    };
    let mut pieces = vec![0; elements];
    let mut increment = Increment::new(&TreeSecret::fixed(1), 3, 8, SIGMA).unwrap();
    for piece in pieces.chunks_mut(100) {
        increment.add_to(piece);
    }
    assert_eq!(pieces, whole(8));
    assert_ne!(whole(7), whole(8));
}

/// If this fails, the sampler gives other bits: change [`secret::CONTEXT`] and these numbers together, or runs under way get noise that was not
/// accounted for.
#[test]
fn the_bits_of_version_1_are_these() {
    let node = Node { level: 1, index: 3 };
    let mut drawn = [0; 4096];
    let mut of = |sigma: f64| {
        DiscreteGaussian::new(sigma).unwrap().fill(&mut TreeSecret::fixed(9).bits_of(2, node), &mut drawn);
        let all = drawn.iter().fold(0i64, |sum, &noise| sum.wrapping_mul(31).wrapping_add(noise));
        ([drawn[0], drawn[1], drawn[2]], all)
    };
    assert_eq!(secret::CONTEXT, "aegis tree noise secret v1");
    assert_eq!(of(SIGMA), ([80, -61, 358], 3706167378359149493));
    assert_eq!(of(2f64.powi(40)), ([280937347507, 550996209432, 74152520126], -7505982756833559070));
}

#[test]
fn the_noise_of_a_prefix_has_the_variance_of_its_nodes() {
    let secret = TreeSecret::fixed(7);
    for (leaf, nodes) in [(1u64, 1.0f64), (7, 3.0), (8, 1.0), (11, 3.0), (255, 8.0)] {
        let noise: Vec<i64> = prefix(&secret, 0, leaf, 1 << 16).into_iter().map(|noise| noise as i64).collect();
        // a sum of discrete Gaussians this wide is one, within 10^-1000
        let sigma = SIGMA * nodes.sqrt();
        let width = (sigma / 10.0) as i64;
        let fit = probabilities(|value| (-(value as f64 / sigma).powi(2) / 2.0).exp(), 0, width, 141);
        let misfit = misfit(&count(&noise, 0, width, 141), &fit);
        assert!(misfit < 5.0, "leaf {leaf}: {misfit} deviations");
    }
}

#[test]
fn nodes_trees_and_secrets_have_nothing_to_do_with_each_other() {
    const ELEMENTS: usize = 1 << 14;
    let (one, other) = (TreeSecret::fixed(1), TreeSecret::fixed(2));
    let node = |level, index| Node { level, index };
    let noises = [
        noise_of(&one, 0, node(0, 0), ELEMENTS),
        noise_of(&one, 0, node(0, 2), ELEMENTS),
        noise_of(&one, 0, node(1, 0), ELEMENTS),
        noise_of(&one, 1, node(0, 0), ELEMENTS),
        noise_of(&other, 0, node(0, 0), ELEMENTS),
    ];
    for (at, a) in noises.iter().enumerate() {
        for b in &noises[..at] {
            let dot: f64 = a.iter().zip(b).map(|(&a, &b)| a as f64 * b as f64).sum();
            let correlation = dot / (SIGMA * SIGMA * ELEMENTS as f64);
            assert!(correlation.abs() < 5.0 / (ELEMENTS as f64).sqrt(), "{correlation}");
        }
    }
}

// ---- in the fold

const ELEMENTS: usize = 500;
const DENOMINATOR: f64 = 4.0;

/// A run of rounds, each from the model of the one before, with one update of a half in a place of its own.
struct Run {
    setup: Setup,
    noise_multiplier: f64,
}

impl Run {
    fn new(noise_multiplier: f64) -> Self {
        let mut setup = Setup::new();
        setup.fold(&[("w", DType::F64, &[0.0; ELEMENTS])], 1.0, 1.0);
        fs::rename(setup.path("start"), setup.path("model-0")).unwrap();
        Self { setup, noise_multiplier }
    }

    fn fold(&mut self, round: u64) -> PrivateFold {
        let before =
            crate::model::ModelReader::open(&self.setup.path(&format!("model-{}", round - 1)), &self.setup.key)
                .unwrap();
        let info = before.info().clone();
        let mut values = self.setup.values(&format!("model-{}", round - 1), &info).concat();
        values[round as usize] += 0.5;
        let update = self.setup.tensors(&format!("update-{round}"), &[("w", DType::F64, &values)]);
        let fold = PrivateFold::open(&before, 1.0, 1.0).unwrap();
        fold.add(&self.setup.parts, &update, 1.0).unwrap();
        fold
    }

    fn finish(&self, fold: &PrivateFold, name: &str, tree: u64, leaf: u64) -> Result<Noised> {
        let (path, secret) = (self.setup.path(name), self.setup.path("secret"));
        let tree = Some(TreeRound { secret: &secret, tree, leaf });
        let (noise_multiplier, denominator, key) = (self.noise_multiplier, DENOMINATOR, &self.setup.key);
        fold.finish(&Finish { noise_multiplier, denominator, bits: None, tree, path: &path, key })
    }

    fn round(&mut self, round: u64) -> (Noised, Vec<f64>) {
        let fold = self.fold(round);
        let noised = self.finish(&fold, &format!("model-{round}"), 0, round).unwrap();
        let values = self.setup.values(&format!("model-{round}"), &noised.model).concat();
        (noised, values)
    }

    fn code(&mut self, name: &str, tree: u64, leaf: u64) -> Code {
        let fold = self.fold(1);
        self.finish(&fold, name, tree, leaf).unwrap_err().code
    }
}

#[test]
fn a_model_is_the_sum_of_all_updates_and_the_noise_of_a_few_nodes() {
    let mut run = Run::new(2.0);
    for round in 1..=9u64 {
        let (_, values) = run.round(round);
        let places = 1..=round as usize;
        let noise: Vec<f64> =
            (0..ELEMENTS).map(|at| values[at] - if places.contains(&at) { 0.5 / DENOMINATOR } else { 0.0 }).collect();
        let measured = (noise.iter().map(|noise| noise * noise).sum::<f64>() / ELEMENTS as f64).sqrt();
        let wanted = 2.0 / DENOMINATOR * f64::from(round.count_ones()).sqrt();
        // random bits: seven deviations
        assert!(
            (measured / wanted - 1.0).abs() < 7.0 / (2.0 * ELEMENTS as f64).sqrt(),
            "round {round}: {measured}, not {wanted}"
        );
    }
}

#[test]
fn a_round_done_again_is_the_same_to_the_bit() {
    let mut run = Run::new(1.0);
    for round in 1..=6 {
        let (first, _) = run.round(round);
        fs::remove_file(run.setup.path(&format!("model-{round}"))).unwrap();
        let (again, _) = run.round(round);
        assert_eq!(again, first, "its file was lost, its noise was not");
        let (found, _) = run.round(round);
        assert_eq!((found.model, found.found), (first.model, true));
    }
}

#[test]
fn the_noise_of_a_leaf_is_in_one_model() {
    let mut run = Run::new(1.0);
    run.round(1);
    assert_eq!(run.code("another", 0, 1), Code::NoiseUsed);
    assert!(!run.setup.path("another").exists());
    let fold = run.fold(1);
    run.finish(&fold, "of-another-tree", 1, 1).unwrap();
}

#[test]
fn a_lost_secret_is_never_drawn_again() {
    let mut run = Run::new(1.0);
    assert_eq!(run.code("early", 0, 2), Code::NoiseSecretLost);
    assert_eq!(run.code("early", 1, 1), Code::NoiseSecretLost);
    run.round(1);
    fs::remove_file(run.setup.path("secret")).unwrap();
    assert_eq!(run.code("later", 0, 2), Code::NoiseSecretLost);
    assert!(!run.setup.path("later").exists() && !run.setup.path("secret").exists());
}

#[test]
fn what_does_not_go_together_is_refused() {
    let mut run = Run::new(1.0);
    run.round(1);
    run.noise_multiplier = 2.0;
    assert_eq!(run.code("louder", 0, 2), Code::Argument);
    run.noise_multiplier = 1.0;
    assert_eq!(run.code("no leaf", 0, 0), Code::Argument);
    let fold = run.fold(1);
    let (path, secret) = (run.setup.path("bits"), run.setup.path("secret"));
    let round = TreeRound { secret: &secret, tree: 0, leaf: 2 };
    let (tree, bits) = (Some(round), Some(crate::privacy::fold::Bits { sum: 1, noise_multiplier: 1.0 }));
    let how = Finish { noise_multiplier: 1.0, denominator: 1.0, bits, tree, path: &path, key: &run.setup.key };
    assert_eq!(fold.finish(&how).unwrap_err().code, Code::Argument);
    run.setup.key = crate::seal::DataKey::generate();
    assert_eq!(TreeSecret::of(&round, 1.0, 1.0, &run.setup.key).unwrap_err().code, Code::SealBroken);
}
