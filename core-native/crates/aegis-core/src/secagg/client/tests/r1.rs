//! Having shared its keys: the neighbours' shares are awaited, then the input is masked.

use super::*;
use crate::secagg::messages::SealedShare;

fn refuse(expected: Refusal, change: impl Fn(&mut Play, &mut Vec<SealedShare>)) {
    let mut play = Play::shared(5);
    let mut delivery = play.delivery(0);
    change(&mut play, &mut delivery.shares);
    let vector = play.vector(0);
    let client = &mut play.parties[0].client;
    assert_eq!(refusal(client.mask_input(&delivery, vector, 1)), expected);
    assert_eq!(client.ended(), Some(expected));
}

#[test]
fn the_input_leaves_masked_and_what_masked_it_is_forgotten() {
    let mut play = Play::shared(5);
    let (delivery, vector) = (play.delivery(0), play.vector(0));
    let secrets = play.parties[0].client.save();
    let masked = play.parties[0].client.mask_input(&delivery, vector.clone(), 1).unwrap();
    assert_ne!(masked, vector);
    let client = &play.parties[0].client;
    assert_eq!(client.stage(), Some(2));
    let public = 4 + u32::from_le_bytes(secrets[..4].try_into().unwrap()) as usize;
    let kept = client.save();
    for secret in secrets[public..][..96].chunks_exact(32) {
        assert!(!kept.windows(32).any(|window| window == secret), "a key or the seed is still there");
    }
}

#[test]
fn the_same_input_never_looks_the_same() {
    let masked = |_| {
        let mut play = Play::shared(5);
        let (delivery, vector) = (play.delivery(0), play.vector(0));
        play.parties[0].client.mask_input(&delivery, vector, 1).unwrap().pack()
    };
    let [first, second] = [0, 1].map(masked);
    assert_ne!(first, second);
}

#[test]
fn neighbours_who_dropped_out_are_left_out_down_to_the_threshold() {
    let mut play = Play::shared(5);
    let mut delivery = play.delivery(0);
    delivery.shares.pop();
    let vector = play.vector(0);
    assert!(play.parties[0].client.mask_input(&delivery, vector, 1).is_ok());
    refuse(Refusal::TooFewShares, |_, shares| shares.truncate(1));
    refuse(Refusal::TooFewShares, |_, shares| shares.clear());
}

#[test]
fn mutated_ciphertexts_are_refused_wherever_they_were_changed() {
    for at in [0, 11, 12, 50, 107, 108, 123] {
        refuse(Refusal::ShareBroken, |_, shares| shares[1].sealed[at] ^= 0x80);
    }
    refuse(Refusal::ShareBroken, |_, shares| shares[1].sealed.truncate(123));
    refuse(Refusal::ShareBroken, |_, shares| shares[1].sealed.clear());
    refuse(Refusal::ShareBroken, |_, shares| shares[1].sealed = shares[0].sealed.clone());
    refuse(Refusal::ShareBroken, |_, shares| {
        let (first, second) = shares.split_at_mut(1);
        std::mem::swap(&mut first[0].sealed, &mut second[0].sealed);
    });
}

#[test]
fn shares_for_somebody_else_or_of_another_round_do_not_open() {
    refuse(Refusal::ShareBroken, |play, shares| shares[0] = play.delivery(2).shares[1].clone());
    refuse(Refusal::ShareBroken, |play, shares| {
        let other = Play::shared(5);
        shares[0] = other.delivery(0).shares[0].clone();
        assert_eq!(other.terms.digest(), play.terms.digest(), "the same terms, but other keys");
    });
    // its own share for another, sent back
    refuse(Refusal::ShareBroken, |play, shares| shares[0].sealed = play.shares[0].shares[0].sealed.clone());
}

#[test]
fn duplicate_shares_and_strangers_are_refused() {
    refuse(Refusal::ShareTwice, |_, shares| shares.push(shares[0].clone()));
    refuse(Refusal::UnknownNode, |_, shares| shares[0].peer = 11);
    refuse(Refusal::UnknownNode, |_, shares| shares[0].peer = 10);
}

#[test]
fn a_vector_that_is_not_the_plans_is_refused_and_changes_nothing() {
    let mut play = Play::shared(5);
    let delivery = play.delivery(0);
    for (bits, length) in [(23, 19), (22, 20), (24, 20), (33, 20)] {
        let vector = Residues::new(bits, length).unwrap();
        assert_eq!(refusal(play.parties[0].client.mask_input(&delivery, vector, 1)), Refusal::VectorMismatch);
    }
    let vector = play.vector(0);
    assert!(play.parties[0].client.mask_input(&delivery, vector, 1).is_ok());
}

#[test]
fn a_second_model_or_another_delivery_ends_the_round() {
    for change in [
        |delivery: &mut ShareDelivery| delivery.model[0] ^= 1,
        |delivery: &mut ShareDelivery| {
            delivery.shares.pop();
        },
    ] {
        let mut play = Play::masked(5);
        let (mut delivery, vector) = (play.delivery(0), play.vector(0));
        change(&mut delivery);
        let client = &mut play.parties[0].client;
        assert_eq!(refusal(client.mask_input(&delivery, vector, 1)), Refusal::SecondRequest);
        assert_eq!(client.ended(), Some(Refusal::SecondRequest));
    }
}

#[test]
fn an_unusable_key_of_a_node_that_dropped_out_is_not_used() {
    let mut play = Play::advertised(5);
    let mut roster = play.roster();
    let advert = &mut roster.adverts[3].advert;
    advert.mask_key = [0; 32];
    advert.signature = play.parties[3].identity.key.sign(&advert.signed(&play.terms.digest())).unwrap();
    let answers = [0, 1, 2, 4].map(|at: usize| play.parties[at].client.share_keys(roster.clone(), NOW).unwrap());
    let own = |answer: &SealedShares| answer.shares.iter().find(|share| share.peer == 10).cloned();
    let shares =
        answers[1..].iter().filter_map(|answer| Some(SealedShare { peer: answer.node, sealed: own(answer)?.sealed }));
    let delivery = ShareDelivery { terms: play.terms.digest(), model: play.model, shares: shares.collect() };
    let vector = play.vector(0);
    assert!(play.parties[0].client.mask_input(&delivery, vector, 1).is_ok());
}
