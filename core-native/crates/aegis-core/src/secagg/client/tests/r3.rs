//! Having confirmed: the request to unmask is awaited.

use super::*;
use crate::secagg::messages::survivors_digest;

/// Node 50 dropped out after sharing its keys; the first node is asked.
fn refuse(expected: Refusal, change: impl Fn(&Play, &mut UnmaskRequest)) {
    let mut play = Play::confirmed_without(5, &[4]);
    let mut request = play.unmask_request();
    change(&play, &mut request);
    let client = &mut play.parties[0].client;
    assert_eq!(refusal(client.unmask(&request)), expected);
    assert_eq!(client.ended(), Some(expected));
}

#[test]
fn seeds_of_survivors_and_keys_of_the_dropped_are_opened_and_forgotten() {
    let mut play = Play::confirmed_without(5, &[4]);
    let request = play.unmask_request();
    let opened = play.parties[0].client.unmask(&request).unwrap();
    assert_eq!(opened.seeds.iter().map(|share| share.of).collect::<Vec<_>>(), [10, 20, 30, 40]);
    assert_eq!(opened.keys.iter().map(|share| share.of).collect::<Vec<_>>(), [50]);
    assert_eq!(play.parties[0].client.stage(), Some(4));
    let saved = play.parties[0].client.save();
    let public = 4 + u32::from_le_bytes(saved[..4].try_into().unwrap()) as usize;
    assert_eq!(saved.len(), public, "no share is kept but those in the answer");
}

#[test]
fn a_node_nobody_asks_for_keeps_its_key() {
    let mut play = Play::confirmed_without(5, &[4]);
    let mut request = play.unmask_request();
    request.dropped.clear();
    assert_eq!(play.parties[0].client.unmask(&request).unwrap().keys, []);
}

#[test]
fn both_secrets_of_one_node_never_come_out() {
    refuse(Refusal::InBothLists, |_, request| request.dropped.push(20));
    refuse(Refusal::NodeTwice, |_, request| request.dropped.push(50));
    refuse(Refusal::NodeTwice, |_, request| request.survivors.push(20));
    // first as a survivor, then, in a second request, as dropped
    let mut play = Play::unmasked(5);
    let mut request = play.unmask_request();
    request.survivors.retain(|&node| node != 20);
    request.dropped.push(20);
    let client = &mut play.parties[0].client;
    assert_eq!(refusal(client.unmask(&request)), Refusal::SecondRequest);
    assert_eq!(client.ended(), Some(Refusal::SecondRequest));
}

#[test]
fn another_survivor_set_than_the_confirmed_one_is_refused() {
    refuse(Refusal::SecondSurvivorSet, |_, request| request.survivors.truncate(3));
    refuse(Refusal::SecondSurvivorSet, |_, request| {
        request.survivors.push(50);
        request.dropped.clear();
    });
    refuse(Refusal::SecondSurvivorSet, |_, request| {
        request.survivors.retain(|&node| node != 20);
        request.dropped.push(20);
    });
}

#[test]
fn peers_who_were_shown_something_else_are_heard() {
    let signed = |play: &Play, at: usize, change: &dyn Fn(&mut Confirmation)| {
        let mut confirmation = play.confirmations[at].clone().unwrap();
        change(&mut confirmation);
        let signature = play.parties[at].identity.key.sign(&confirmation.signed(&play.transcript()));
        Confirmation { signature: signature.unwrap(), ..confirmation }
    };
    let replace = |request: &mut UnmaskRequest, new: Confirmation| {
        let old = request.confirmations.iter_mut().find(|known| known.node == new.node).unwrap();
        *old = new;
    };
    refuse(Refusal::ModelDiffers, |play, request| {
        replace(request, signed(play, 1, &|confirmation| confirmation.model[0] ^= 1));
    });
    refuse(Refusal::SurvivorsDiffer, |play, request| {
        replace(request, signed(play, 1, &|confirmation| confirmation.survivors = survivors_digest(&[10, 20, 30])));
    });
}

#[test]
fn forged_repeated_or_missing_confirmations_are_refused() {
    refuse(Refusal::ConfirmationUnsigned, |_, request| request.confirmations[1].signature[5] ^= 1);
    refuse(Refusal::ConfirmationUnsigned, |_, request| request.confirmations[1].model[5] ^= 1);
    refuse(Refusal::ConfirmationUnsigned, |_, request| request.confirmations[1].survivors[5] ^= 1);
    refuse(Refusal::ConfirmationUnsigned, |_, request| request.confirmations[1].node = 40);
    refuse(Refusal::NodeTwice, |_, request| request.confirmations.push(request.confirmations[1].clone()));
    refuse(Refusal::UnknownNode, |_, request| request.confirmations[1].node = 11);
    // three are needed; its own counts once
    refuse(Refusal::TooFewConfirmations, |_, request| request.confirmations.truncate(2));
    refuse(Refusal::TooFewConfirmations, |_, request| request.confirmations.clear());
}

#[test]
fn keys_of_nodes_that_never_shared_cannot_be_asked_for() {
    let mut play = Play::shared(5);
    play.leave_out(4);
    play.mask_all(&[]);
    play.confirm_all(&[]);
    let mut request = play.unmask_request();
    request.dropped.push(50);
    assert_eq!(refusal(play.parties[0].client.unmask(&request)), Refusal::ShareMissing);
    refuse(Refusal::UnknownNode, |_, request| request.dropped.push(11));
}

/// On a ring of forty, sixteen neighbours are too few to know what the far side was told.
#[test]
fn neighbours_alone_are_no_quorum_of_a_sparse_cohort() {
    let planned =
        Terms { degree: 16, threshold: 10, min_survivors: 38, length: 8, ..crate::secagg::testing::terms(40) };
    let mut play = Play::advertised_with(planned, 40);
    play.share_all();
    play.mask_all(&[]);
    play.confirm_all(&[]);
    let neighbours: Vec<u64> = play.shares[0].shares.iter().map(|share| share.peer).collect();
    let mut request = play.unmask_request();
    request.confirmations.retain(|confirmation| neighbours.contains(&confirmation.node));
    assert_eq!(request.confirmations.len(), 16);
    assert_eq!(refusal(play.parties[0].client.unmask(&request)), Refusal::TooFewConfirmations);
    let mut request = play.unmask_request();
    request.confirmations.truncate(21); // its own and twenty others: 2·21 > 40
    assert!(play.parties[1].client.unmask(&request).is_ok());
}
