//! How fast secure aggregation is, on this machine: `cargo run --release -p aegis-core --example secagg_speed FIGURE`.
//!
//! Prints one JSON object: wall-clock and processor seconds of the figure, and what it was made of. FIGURE is one of
//! `mask`, `shamir`, `client [nodes] [length]`, `unmask [nodes] [length]`, `bytes`, `cohort [nodes] [length] [threads]`.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use aegis_core::privacy::noise::Drbg;
use aegis_core::secagg::client::{Client, Floors};
use aegis_core::secagg::keys::KeyPair;
use aegis_core::secagg::keystream::Seed;
use aegis_core::secagg::messages::{
    Advert, CertifiedAdvert, Confirmation, OpenedShare, OpenedShares, RosterRequest, SealedShare, SealedShares,
    ShareDelivery, SurvivorList, Terms, UnmaskRequest,
};
use aegis_core::secagg::parameters::{Assumptions, Parameters};
use aegis_core::secagg::quantise::{Contribution, Grid, GridOptions, Rounding};
use aegis_core::secagg::residues::{Mask, Residues};
use aegis_core::secagg::roster::Roster;
use aegis_core::secagg::server::masked_sum::MaskedSum;
use aegis_core::secagg::server::removal::Removal;
use aegis_core::secagg::shamir::{Combiner, split};
use aegis_core::secagg::signing::SigningKey;
use aegis_core::tensor::{DType, TensorSpec};
use serde_json::json;

fn main() {
    let figure = std::env::args().nth(1).unwrap_or_default();
    let number =
        |position, default| std::env::args().nth(position).map_or(default, |text| text.parse().expect("a number"));
    match figure.as_str() {
        "mask" => mask(number(2, 4000)),
        "shamir" => shamir(),
        "client" => client(number(2, 500), number(3, 100_000)),
        "unmask" => unmask(number(2, 500), number(3, 100_000)),
        "bytes" => bytes(),
        "cohort" => cohort(number(2, 1000), number(3, 1_000_000), number(4, 2)),
        other => panic!("no figure {other:?}"),
    }
}

/// Runs `work` and says what it cost.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64, f64) {
    let (start, used) = (Instant::now(), processor_seconds());
    let result = work();
    (result, start.elapsed().as_secs_f64(), processor_seconds() - used)
}

fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Expand and add, one core: as many masks of 100,000 elements as asked for.
fn mask(masks: usize) {
    const LENGTH: usize = 100_000;
    let mut drbg = Drbg::new();
    let mut seed = || Seed::new(std::array::from_fn(|_| drbg.word() as u8));
    let masks: Vec<Mask> = (0..masks).map(|position| Mask::new(&seed(), position % 2 == 0)).collect();
    let mut vector = Residues::new(23, LENGTH).expect("memory");
    vector.add_masks(&masks[..10], 1); // touches the memory
    let ((), wall, processor) = timed(|| vector.add_masks(&masks, 1));
    black_box(&vector);
    let elements = (masks.len() * LENGTH) as f64;
    println!("{}", json!({ "elements": elements, "wallSeconds": wall, "cpuSeconds": processor }));
}

/// Split into 500 shares and combine 251 of them, 32 bytes.
fn shamir() {
    const ROUNDS: u32 = 50;
    let points: Vec<u32> = (1..=500).collect();
    let ((), wall, processor) = timed(|| {
        for round in 0..ROUNDS {
            let shares = split(&[round as u8; 32], 251, &points).expect("shares");
            let combiner = Combiner::new(&points[249..]).expect("weights");
            let chosen: Vec<_> = shares[249..].iter().collect();
            assert_eq!(*combiner.combine(&chosen).expect("secret"), [round as u8; 32]);
        }
    });
    let rounds = f64::from(ROUNDS);
    println!("{}", json!({ "wallSeconds": wall / rounds, "cpuSeconds": processor / rounds }));
}

struct Node {
    client: Client,
    signer: SigningKey,
}

/// A cohort that has advertised.
struct Cohort {
    terms: Terms,
    nodes: Vec<Node>,
    roster: RosterRequest,
}

impl Cohort {
    fn new(terms: Terms, count: usize, colluders: f64) -> Self {
        let floors = Floors { cohort: 2, survivors: 2, colluders };
        let node = |id: u64| {
            let signer = SigningKey::generate();
            let client = Client::advertise(id, terms.clone(), floors, &signer, 1).expect("an advert");
            Node { client, signer }
        };
        let nodes: Vec<Node> = (1..=count as u64).map(node).collect();
        let adverts = nodes
            .iter()
            .map(|node| CertifiedAdvert {
                advert: node.client.advert().expect("just advertised").clone(),
                subject: format!("CN={}", node.client.node()),
                signing_key: node.signer.public_pem(),
            })
            .collect();
        let roster = RosterRequest { terms: terms.digest(), adverts };
        Self { terms, nodes, roster }
    }
}

fn terms(count: usize, length: usize, threshold: u32) -> Terms {
    let (run, round, plan, degree) = (1, 1, [1; 32], count as u32 - 1);
    Terms { run, round, plan, degree, threshold, min_survivors: threshold, bits: 25, length: length as u64 }
}

/// Everything one guard does in a round of a complete graph: all five rounds, a float32 update quantised, state saved each time.
fn client(count: usize, length: usize) {
    let parameters = length - 5;
    let spec = TensorSpec::new("w", DType::F32, vec![parameters as u64]).expect("spec");
    let grid = Grid::new(vec![spec], GridOptions::uniform(1.0, 16)).expect("grid");
    let update: Vec<u8> = (0..parameters as u32).flat_map(|i| ((i as f32).sin() * 0.05).to_le_bytes()).collect();
    let mut cohort = Cohort::new(terms(count, length, count as u32 / 2 + 1), count, 0.0);
    // What the others send is prepared outside the time: their shares and their signatures.
    let others: Vec<SealedShares> = cohort.nodes[1..]
        .iter_mut()
        .map(|node| node.client.share_keys(cohort.roster.clone(), 0).expect("shares"))
        .collect();
    let delivery = deliveries(&others).remove(&1).expect("shares for the first node");
    let survivors: Vec<u64> = (1..=count as u64).collect();
    let roster = Roster::new(&cohort.terms, cohort.roster.adverts.clone(), 0).expect("roster");
    let digest = cohort.terms.digest();
    let confirm = |node: &Node| {
        let set = aegis_core::secagg::messages::survivors_digest(&survivors);
        let mut confirmation =
            Confirmation { node: node.client.node(), survivors: set, model: [2; 32], signature: Vec::new() };
        confirmation.signature = node.signer.sign(&confirmation.signed(roster.transcript())).expect("signature");
        confirmation
    };
    let confirmations: Vec<Confirmation> = cohort.nodes[1..].iter().map(confirm).collect();
    let Cohort { terms, nodes, roster } = cohort;
    let signer = &nodes[0].signer;
    let mut own = Client::restore(&nodes[0].client.save()).expect("state");
    let delivery = ShareDelivery { terms: digest, model: [2; 32], shares: delivery };
    let list = SurvivorList { terms: digest, survivors: survivors.clone() };
    let request = UnmaskRequest { terms: digest, survivors, dropped: vec![], confirmations };
    let (saved, wall, processor) = timed(|| {
        black_box(
            Client::advertise(1, terms.clone(), Floors { cohort: 2, survivors: 2, colluders: 0.0 }, signer, 1)
                .expect("advert"),
        );
        own.share_keys(roster, 0).expect("shares");
        let mut saved = own.save().len();
        let input = Contribution { tensors: &[&update], start: None, metrics: &[], weight: 1 };
        let vector = grid.quantise(terms.bits, &input, Rounding::Unbiased, &mut Drbg::new()).expect("integers");
        black_box(own.mask_input(&delivery, vector, 1).expect("masked").pack());
        saved += own.save().len();
        own.confirm_survivors(&list, signer).expect("confirmation");
        saved += own.save().len();
        own.unmask(&request).expect("shares");
        saved + own.save().len()
    });
    println!("{}", json!({ "wallSeconds": wall, "cpuSeconds": processor, "journalBytes": saved }));
}

/// Sealed shares by receiver.
fn deliveries(answers: &[SealedShares]) -> HashMap<u64, Vec<SealedShare>> {
    let mut by_receiver: HashMap<u64, Vec<SealedShare>> = HashMap::new();
    for answer in answers {
        for share in &answer.shares {
            let delivered = SealedShare { peer: answer.node, sealed: share.sealed.clone() };
            by_receiver.entry(share.peer).or_default().push(delivered);
        }
    }
    by_receiver
}

/// The secagg service after 30 % dropped out of a complete graph, one core: secrets from shares, masks, total mask.
///
/// The shares are made directly, as the nodes would have made them: no node's work is in the time, nor in the way.
fn unmask(count: usize, length: usize) {
    let threshold = count / 2 + 1;
    let terms = terms(count, length, threshold as u32);
    let signer = SigningKey::generate();
    let pairs: Vec<KeyPair> = (0..count).map(|_| KeyPair::generate()).collect();
    let adverts: Vec<CertifiedAdvert> = pairs
        .iter()
        .zip(1..)
        .map(|(pair, node)| {
            let channel_key = *KeyPair::generate().public();
            let mut advert = Advert { node, channel_key, mask_key: *pair.public(), expires: 1, signature: Vec::new() };
            advert.signature = signer.sign(&advert.signed(&terms.digest())).expect("signature");
            CertifiedAdvert { advert, subject: format!("CN={node}"), signing_key: signer.public_pem() }
        })
        .collect();
    let gone = count * 3 / 10;
    let (survivors, dropped): (Vec<u64>, Vec<u64>) =
        ((1..=(count - gone) as u64).collect(), ((count - gone) as u64 + 1..=count as u64).collect());
    let points: Vec<u32> = (1..=count as u32).collect();
    let shares: Vec<_> = pairs
        .iter()
        .enumerate()
        .map(|(at, pair)| {
            let secret = if at < survivors.len() { &[at as u8; 32] } else { &**pair.secret() };
            split(secret, threshold, &points).expect("shares")
        })
        .collect();
    let opened: Vec<OpenedShares> = survivors
        .iter()
        .map(|&node| {
            let of = |owners: &[u64]| {
                let share = |&of: &u64| OpenedShare {
                    of,
                    share: shares[of as usize - 1][node as usize - 1].to_bytes().to_vec(),
                };
                owners.iter().map(share).collect()
            };
            OpenedShares { node, seeds: of(&survivors), keys: of(&dropped) }
        })
        .collect();
    let (total, wall, processor) = timed(|| {
        let roster = Roster::new(&terms, adverts, 0).expect("roster");
        let mut removal = Removal::new(roster, [2; 32], &survivors, &dropped).expect("lists");
        opened.iter().for_each(|opened| removal.take(opened).expect("honest shares"));
        removal.total_mask(&terms, 1).expect("mask")
    });
    black_box(total);
    let masks = survivors.len() + dropped.len() * survivors.len();
    println!("{}", json!({ "wallSeconds": wall, "cpuSeconds": processor, "masks": masks }));
}

/// Bytes a parameter of a masked update on its way, 100 nodes, 16-bit values, weights of 1.
fn bytes() {
    const PARAMETERS: usize = 1_000_000;
    let spec = TensorSpec::new("w", DType::F32, vec![PARAMETERS as u64]).expect("spec");
    let grid = Grid::new(vec![spec], GridOptions::uniform(1.0, 16)).expect("grid");
    let modulus = grid.modulus(100, 0).expect("modulus");
    let update = vec![0; PARAMETERS * 4];
    let input = Contribution { tensors: &[&update], start: None, metrics: &[], weight: 1 };
    let vector = grid.quantise(modulus.bits, &input, Rounding::Unbiased, &mut Drbg::new()).expect("integers");
    let packed = vector.pack().len();
    println!("{}", json!({ "bytes": packed, "parameters": PARAMETERS, "bits": modulus.bits }));
}

/// A whole round: every node's work, the relay, the fold and the unmasking; planned for 20 % drop-outs and 10 % colluders, 10 % drop out.
fn cohort(count: usize, length: usize, threads: usize) {
    let assumed = Assumptions { dropouts: 0.2, colluders: 0.1 };
    let planned = Parameters::choose(count as u32, assumed).expect("parameters");
    let spec = TensorSpec::new("w", DType::F32, vec![length as u64]).expect("spec");
    let grid = Grid::new(vec![spec], GridOptions::uniform(1.0, 16)).expect("grid");
    let modulus = grid.modulus(count as u64, 0).expect("modulus");
    let terms = Terms {
        degree: planned.degree,
        threshold: planned.threshold,
        min_survivors: planned.min_survivors,
        bits: modulus.bits,
        length: grid.length() as u64,
        ..terms(count, 0, 0)
    };
    let (masking, wall, processor) = timed(|| round(terms, &grid, count, threads));
    let told = json!({
        "wallSeconds": wall, "cpuSeconds": processor, "maskingWallSeconds": masking,
        "degree": planned.degree, "threshold": planned.threshold, "bits": modulus.bits,
        "log2Risk": planned.risks.total,
    });
    println!("{told}");
}

/// Wall-clock seconds of masking alone, which is nearly all of it.
fn round(terms: Terms, grid: &Grid, count: usize, threads: usize) -> f64 {
    let digest = terms.digest();
    let mut cohort = Cohort::new(terms.clone(), count, 0.1);
    let requests: Vec<&RosterRequest> = vec![&cohort.roster; count];
    let answers: Vec<SealedShares> = on_threads(&mut cohort.nodes, threads, |at, node| {
        node.client.share_keys(requests[at].clone(), 0).expect("shares")
    });
    let mut delivered = deliveries(&answers);
    let gone = count / 10;
    let survivors: Vec<u64> = (gone as u64 + 1..=count as u64).collect();
    let dropped: Vec<u64> = (1..=gone as u64).collect();
    let mut sum = MaskedSum::new(&terms).expect("memory");
    let update: Vec<u8> = (0..grid.length() - 5).flat_map(|i| ((i as f32).sin() * 0.05).to_le_bytes()).collect();
    let start = Instant::now();
    for node in &mut cohort.nodes[gone..] {
        let shares = delivered.remove(&node.client.node()).expect("shares");
        let request = ShareDelivery { terms: digest, model: [2; 32], shares };
        let input = Contribution { tensors: &[&update], start: None, metrics: &[], weight: 1 };
        let vector = grid.quantise(terms.bits, &input, Rounding::Unbiased, &mut Drbg::new()).expect("integers");
        sum.add(&node.client.mask_input(&request, vector, threads).expect("masked").pack()).expect("whole");
    }
    let masking = start.elapsed().as_secs_f64();
    let list = SurvivorList { terms: digest, survivors: survivors.clone() };
    let confirmations = on_threads(&mut cohort.nodes[gone..], threads, |_, node| {
        node.client.confirm_survivors(&list, &node.signer).expect("confirmation")
    });
    let request =
        UnmaskRequest { terms: digest, survivors: survivors.clone(), dropped: dropped.clone(), confirmations };
    let opened =
        on_threads(&mut cohort.nodes[gone..], threads, |_, node| node.client.unmask(&request).expect("shares"));
    let roster = Roster::new(&terms, cohort.roster.adverts, 0).expect("roster");
    let mut removal = Removal::new(roster, [2; 32], &survivors, &dropped).expect("lists");
    opened.iter().for_each(|opened| removal.take(opened).expect("honest shares"));
    let total = removal.total_mask(&terms, threads).expect("mask").pack();
    let opened = sum.open(grid, survivors.len() as u64, 0, &total).expect("the masks cancel");
    check_mean(&opened.tensor(grid, 0), &update);
    masking
}

/// Everybody sent the same update, so that the mean is that update, within a step of the grid.
fn check_mean(mean: &[u8], update: &[u8]) {
    for (got, sent) in mean.as_chunks::<4>().0.iter().zip(update.as_chunks::<4>().0) {
        assert!((f32::from_le_bytes(*got) - f32::from_le_bytes(*sent)).abs() < 1.0 / 32767.0, "a wrong mean");
    }
}

fn on_threads<T: Send, R: Send>(items: &mut [T], threads: usize, work: impl Fn(usize, &mut T) -> R + Sync) -> Vec<R> {
    let share = items.len().div_ceil(threads.max(1));
    std::thread::scope(|scope| {
        let work = &work;
        let parts: Vec<_> = items
            .chunks_mut(share)
            .enumerate()
            .map(|(part, items)| {
                scope.spawn(move || {
                    let each = items.iter_mut().enumerate();
                    each.map(|(at, item)| work(part * share + at, item)).collect::<Vec<_>>()
                })
            })
            .collect();
        parts.into_iter().flat_map(|part| part.join().expect("no panic")).collect()
    })
}
