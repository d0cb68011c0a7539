//! The whole protocol in one process, thousands of times: nodes that drop out, come twice, crash with and without their journal, in
//! any order, and a server that lies. Whatever happens,
//!
//! - a sum that opens is exactly that of the survivors, and of no fewer than the floor;
//! - no node's two secrets both come out, whatever a server gathers from whom;
//! - a round that does not open says why, and nobody's machine panics.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::client::{Client, Floors};
use super::messages::{
    Confirmation, OpenedShares, RosterRequest, SealedShare, SealedShares, ShareDelivery, SurvivorList, Terms,
    UnmaskRequest,
};
use super::refusal::Refusal;
use super::residues::Residues;
use super::roster::Roster;
use super::server::removal::Removal;
use super::testing::{NOW, Party, Play, terms};
use crate::error::Result;

/// What a node does in one stage.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Behaviour {
    Answer,
    /// Is gone from here on.
    Drop,
    /// Answers, and gets the same request a second time.
    AnswerTwice,
    /// Dies before the request and comes back from its journal.
    Restart,
    /// Dies after the answer was journalled, before it left; the server asks again.
    RestartUnheard,
    /// Dies and comes back without its journal.
    LoseState,
}

/// What the server does that it should not, once, to some of the nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    None,
    /// Names a survivor dropped as well.
    BothLists,
    /// Names one survivor dropped to half of the nodes, with their own survivor list.
    TwoStories,
    /// Gives half of the nodes another model.
    TwoModels,
    /// Changes a sealed share on its way.
    MutateShare,
    /// Sends one share twice.
    RepeatShare,
    /// Replaces a node's keys by its own.
    SubstituteKey,
    /// Shows half of the nodes a smaller roster.
    TwoRosters,
    /// Asks again for the other secret of a node, after unmasking.
    AskAgain,
    /// Leaves the signatures of the others away.
    NoConfirmations,
}

#[derive(Clone, Debug)]
struct Script {
    count: usize,
    /// One for each node and each of the four requests.
    behaviours: Vec<[Behaviour; 4]>,
    lie: Lie,
    /// In which order nodes are asked.
    order: Vec<usize>,
    sparse: bool,
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![
        20 => Just(Behaviour::Answer),
        2 => Just(Behaviour::Drop),
        2 => Just(Behaviour::AnswerTwice),
        2 => Just(Behaviour::Restart),
        2 => Just(Behaviour::RestartUnheard),
        1 => Just(Behaviour::LoseState),
    ]
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        8 => Just(Lie::None),
        1 => Just(Lie::BothLists),
        2 => Just(Lie::TwoStories),
        1 => Just(Lie::TwoModels),
        1 => Just(Lie::MutateShare),
        1 => Just(Lie::RepeatShare),
        1 => Just(Lie::SubstituteKey),
        1 => Just(Lie::TwoRosters),
        1 => Just(Lie::AskAgain),
        1 => Just(Lie::NoConfirmations),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    (3usize..=9).prop_flat_map(|count| {
        let behaviours = proptest::collection::vec([behaviour(), behaviour(), behaviour(), behaviour()], count);
        let order = Just((0..count).collect::<Vec<_>>()).prop_shuffle();
        (behaviours, lie(), order, any::<bool>()).prop_map(move |(behaviours, lie, order, sparse)| Script {
            count,
            behaviours,
            lie,
            order,
            sparse,
        })
    })
}

/// How a round ended.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// The sum of that many nodes.
    Opened(usize),
    Ended(&'static str),
}

struct Simulation {
    script: Script,
    play: Play,
    /// Shares of seeds and of keys that nodes ever opened, by owner: what a server that keeps everything can put together.
    opened: HashMap<u64, [HashSet<u64>; 2]>,
    refusals: Vec<Refusal>,
}

impl Simulation {
    fn new(script: Script) -> Self {
        let count = script.count;
        let mut terms = Terms { min_survivors: (count as u32 / 2).max(2), ..terms(count) };
        if script.sparse && count >= 7 {
            // no colluders and a fixed roster: four neighbours may lose one
            terms = Terms { degree: 4, threshold: 3, min_survivors: count as u32 - 1, ..terms };
        }
        let play = Play::with(terms, Floors { cohort: 3, survivors: 2, colluders: 0.0 }, count);
        Self { script, play, opened: HashMap::new(), refusals: Vec::new() }
    }

    /// Asks one node, which behaves as scripted. The answer, if one arrives.
    fn ask<A>(&mut self, at: usize, stage: usize, call: impl Fn(&mut Party) -> Result<A>) -> Option<A> {
        let party = &mut self.play.parties[at];
        let saved = party.client.save();
        let restore =
            |party: &mut Party, saved: &[u8]| party.client = Client::restore(saved).expect("the journal is whole");
        let answer = match self.script.behaviours[at][stage] {
            Behaviour::Drop => {
                party.client.abort();
                return None;
            }
            Behaviour::LoseState => {
                party.client = Client::lost(party.client.node(), self.play.terms.clone(), self.play.floors);
                call(party)
            }
            Behaviour::Restart => {
                restore(party, &saved);
                call(party)
            }
            Behaviour::RestartUnheard => {
                let unheard = call(party);
                let saved = party.client.save();
                restore(party, &saved);
                // a masked vector is not kept by the machine; its caller sends what it has
                unheard.map(|unheard| call(party).unwrap_or(unheard))
            }
            Behaviour::AnswerTwice => {
                let first = call(party);
                let second = call(party);
                let kept = second.as_ref().err().and_then(Refusal::of);
                assert!(first.is_err() || second.is_ok() || kept == Some(Refusal::AnsweredBefore), "{kept:?}");
                first
            }
            Behaviour::Answer => call(party),
        };
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.refusals.push(Refusal::of(&error).expect("a typed reason"));
                None
            }
        }
    }

    fn run(&mut self) -> Outcome {
        let order = self.script.order.clone();
        let Some(shares) = self.share(&order) else { return Outcome::Ended("shares") };
        let Some(masked) = self.mask(&order, &shares) else { return Outcome::Ended("masked") };
        let confirmations = self.confirm(&order, &masked);
        if confirmations.is_empty() {
            return Outcome::Ended("confirmations");
        }
        self.unmask(&order, &shares, &masked, &confirmations)
    }

    fn half(&self, at: usize) -> bool {
        at < self.script.count / 2
    }

    fn share(&mut self, order: &[usize]) -> Option<Vec<SealedShares>> {
        let mut answers = Vec::new();
        for &at in order {
            let mut request: RosterRequest = self.play.roster();
            match self.script.lie {
                Lie::SubstituteKey => request.adverts[0].advert.mask_key = [7; 32],
                Lie::TwoRosters if self.half(at) => drop(request.adverts.pop()),
                _ => (),
            }
            answers.extend(self.ask(at, 0, move |party| party.client.share_keys(request.clone(), NOW)));
        }
        (answers.len() >= self.play.terms.min_survivors as usize).then_some(answers)
    }

    fn mask(&mut self, order: &[usize], shares: &[SealedShares]) -> Option<HashMap<usize, Residues>> {
        let mut masked = HashMap::new();
        for &at in order {
            let node = self.play.parties[at].client.node();
            if !shares.iter().any(|answer| answer.node == node) {
                continue; // its shares never came: it is out
            }
            let mine = |answer: &SealedShares| {
                let share = answer.shares.iter().find(|share| share.peer == node)?;
                Some(SealedShare { peer: answer.node, sealed: share.sealed.clone() })
            };
            let mut delivery = ShareDelivery {
                terms: self.play.terms.digest(),
                model: self.play.model,
                shares: shares.iter().filter_map(mine).collect(),
            };
            match (self.script.lie, delivery.shares.first().cloned()) {
                (Lie::TwoModels, _) if self.half(at) => delivery.model[0] ^= 1,
                (Lie::MutateShare, Some(_)) if self.half(at) => delivery.shares[0].sealed[40] ^= 1,
                (Lie::RepeatShare, Some(share)) if self.half(at) => delivery.shares.push(share),
                _ => (),
            }
            let vector = self.play.vector(at);
            let answer = self.ask(at, 1, move |party| party.client.mask_input(&delivery, vector.clone(), 1));
            masked.extend(answer.map(|answer| (at, answer)));
        }
        (masked.len() >= self.play.terms.min_survivors as usize).then_some(masked)
    }

    /// The survivors as the node at `at` is told: the liar leaves the last one out for half of them.
    fn story(&self, at: usize, masked: &HashMap<usize, Residues>) -> Vec<u64> {
        let mut survivors: Vec<usize> = masked.keys().copied().collect();
        survivors.sort_unstable();
        if self.script.lie == Lie::TwoStories && self.half(at) {
            survivors.pop();
        }
        survivors.iter().map(|&at| self.play.parties[at].client.node()).collect()
    }

    fn confirm(&mut self, order: &[usize], masked: &HashMap<usize, Residues>) -> Vec<Confirmation> {
        let mut confirmations = Vec::new();
        for &at in order.iter().filter(|at| masked.contains_key(at)) {
            let list = SurvivorList { terms: self.play.terms.digest(), survivors: self.story(at, masked) };
            let answer = self.ask(at, 2, move |party| party.client.confirm_survivors(&list, &party.identity.key));
            confirmations.extend(answer);
        }
        confirmations
    }

    fn unmask(
        &mut self,
        order: &[usize],
        shares: &[SealedShares],
        masked: &HashMap<usize, Residues>,
        confirmations: &[Confirmation],
    ) -> Outcome {
        let mut answers = Vec::new();
        for &at in order.iter().filter(|at| masked.contains_key(at)) {
            let survivors = self.story(at, masked);
            let mut dropped: Vec<u64> =
                shares.iter().map(|answer| answer.node).filter(|node| !survivors.contains(node)).collect();
            if self.script.lie == Lie::BothLists {
                dropped.push(survivors[0]);
            }
            let heard = confirmations.iter().filter(|_| self.script.lie != Lie::NoConfirmations).cloned();
            let mut request =
                UnmaskRequest { terms: self.play.terms.digest(), survivors, dropped, confirmations: heard.collect() };
            let first = request.clone();
            let answer = self.ask(at, 3, move |party| party.client.unmask(&first));
            if let Some(answer) = &answer {
                self.overhear(answer);
            }
            if self.script.lie == Lie::AskAgain && request.survivors.len() > 1 {
                let turned = request.survivors.remove(0);
                request.dropped.push(turned);
                let again = self.play.parties[at].client.unmask(&request);
                if let Ok(answer) = &again {
                    self.overhear(answer);
                }
                self.refusals.extend(again.err().as_ref().and_then(Refusal::of));
            }
            answers.extend(answer);
        }
        self.open(shares, masked, &answers)
    }

    fn overhear(&mut self, answer: &OpenedShares) {
        for (kind, shares) in [&answer.seeds, &answer.keys].into_iter().enumerate() {
            for share in shares {
                self.opened.entry(share.of).or_default()[kind].insert(answer.node);
            }
        }
    }

    fn open(&self, shares: &[SealedShares], masked: &HashMap<usize, Residues>, answers: &[OpenedShares]) -> Outcome {
        let roster = Roster::new(&self.play.terms, self.play.adverts.clone(), NOW).expect("the honest roster");
        let node = |at: &usize| self.play.parties[*at].client.node();
        let survivors: Vec<u64> = masked.keys().map(node).collect();
        let dropped: Vec<u64> =
            shares.iter().map(|answer| answer.node).filter(|node| !survivors.contains(node)).collect();
        let mut removal = Removal::new(roster, self.play.model, &survivors, &dropped).expect("disjoint lists");
        for answer in answers {
            let _ = removal.take(answer); // one that does not fit is left out
        }
        if !removal.is_possible() {
            return Outcome::Ended("unmask");
        }
        let Ok(total) = removal.total_mask(&self.play.terms, 1) else { return Outcome::Ended("secrets") };
        let length = self.play.terms.length as usize;
        let [mut sum, mut expected] = [0; 2].map(|_| Residues::new(self.play.terms.bits, length).expect("memory"));
        for (at, vector) in masked {
            sum.add(vector).expect("one shape");
            expected.add(&self.play.vector(*at)).expect("one shape");
        }
        sum.subtract(&total).expect("one shape");
        if self.script.lie == Lie::None {
            assert_eq!(sum, expected, "an honest server opens the exact sum");
        }
        if sum == expected { Outcome::Opened(masked.len()) } else { Outcome::Ended("sentinels") }
    }
}

fn check(script: Script) -> (Outcome, Vec<Refusal>) {
    let mut simulation = Simulation::new(script);
    let outcome = simulation.run();
    let threshold = simulation.play.terms.threshold as usize;
    for (node, [seeds, keys]) in &simulation.opened {
        assert!(seeds.is_disjoint(keys), "a node opened both kinds for {node}: {:?}", simulation.script);
        assert!(seeds.len() < threshold || keys.len() < threshold, "both secrets of {node}: {:?}", simulation.script);
    }
    if let Outcome::Opened(count) = outcome {
        assert!(count >= simulation.play.terms.min_survivors as usize, "{:?}", simulation.script);
        assert!(count >= threshold.min(simulation.script.count), "{:?}", simulation.script);
    }
    (outcome, simulation.refusals)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn whatever_happens_the_sum_is_exact_or_nothing_is_opened(script in script()) {
        check(script);
    }
}

fn calm(count: usize, lie: Lie) -> Script {
    let behaviours = vec![[Behaviour::Answer; 4]; count];
    Script { count, behaviours, lie, order: (0..count).collect(), sparse: false }
}

#[test]
fn an_undisturbed_round_opens() {
    for count in 2..=9 {
        let script = Script { sparse: count > 7, ..calm(count.max(3), Lie::None) };
        let (outcome, refusals) = check(script);
        assert_eq!((outcome, refusals), (Outcome::Opened(count.max(3)), vec![]));
    }
}

/// The lies alone, and what honest nodes call them.
#[test]
fn every_lie_has_its_name_and_opens_nothing_it_should_not() {
    // where half of the nodes refuse and the other half is a threshold, the sum of those is honest, and opens
    for (lie, expected, opens) in [
        (Lie::BothLists, Refusal::InBothLists, false),
        (Lie::TwoStories, Refusal::SurvivorsDiffer, false),
        (Lie::TwoModels, Refusal::ModelDiffers, false),
        (Lie::MutateShare, Refusal::ShareBroken, true),
        (Lie::RepeatShare, Refusal::ShareTwice, true),
        (Lie::SubstituteKey, Refusal::AdvertUnsigned, false),
        (Lie::TwoRosters, Refusal::ShareBroken, false),
        (Lie::AskAgain, Refusal::SecondRequest, true),
        (Lie::NoConfirmations, Refusal::TooFewConfirmations, false),
    ] {
        let (outcome, refusals) = check(calm(7, lie));
        assert!(refusals.contains(&expected), "{lie:?}: {refusals:?}");
        assert_eq!(matches!(outcome, Outcome::Opened(_)), opens, "{lie:?}: {outcome:?}");
    }
}

#[test]
fn a_node_lost_at_any_stage_costs_nothing_but_itself() {
    for stage in 0..4 {
        for behaviour in [Behaviour::Drop, Behaviour::LoseState] {
            let mut script = calm(7, Lie::None);
            script.behaviours[3][stage] = behaviour;
            let survivors = if stage < 2 { 6 } else { 7 };
            assert_eq!(check(script).0, Outcome::Opened(survivors), "{stage} {behaviour:?}");
        }
    }
}

#[test]
fn below_the_threshold_a_round_ends_with_nothing_open() {
    for (stage, ended) in [(0, "shares"), (1, "masked"), (2, "confirmations"), (3, "unmask")] {
        let mut script = calm(7, Lie::None);
        let all_but = if stage == 2 { 0 } else { 2 };
        script.behaviours[all_but..].iter_mut().for_each(|behaviours| behaviours[stage] = Behaviour::Drop);
        assert_eq!(check(script).0, Outcome::Ended(ended), "{stage}");
    }
}

#[test]
fn a_sparse_cohort_opens_with_as_many_dropouts_as_it_may_lose() {
    let planned = Terms { degree: 20, threshold: 12, min_survivors: 38, length: 8, ..terms(40) };
    let mut play = Play::advertised_with(planned, 40);
    play.share_all();
    [7, 30].into_iter().for_each(|gone| play.parties[gone].client.abort());
    play.finish();
    assert_eq!(play.survivors().len(), 38);
}
