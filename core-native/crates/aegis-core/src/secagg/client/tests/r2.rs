//! Having masked: the list of survivors is awaited.

use super::*;

fn refuse(expected: Refusal, change: impl Fn(&mut Vec<u64>)) {
    let mut play = Play::masked(5);
    let mut list = play.survivor_list();
    change(&mut list.survivors);
    let party = &mut play.parties[0];
    assert_eq!(refusal(party.client.confirm_survivors(&list, &party.identity.key)), expected);
    assert_eq!(party.client.ended(), Some(expected));
}

#[test]
fn a_confirmation_signs_the_survivors_and_the_model() {
    let mut play = Play::masked(5);
    let list = play.survivor_list();
    let party = &mut play.parties[2];
    let confirmation = party.client.confirm_survivors(&list, &party.identity.key).unwrap();
    assert_eq!((confirmation.node, confirmation.model), (30, play.model));
    assert_eq!(confirmation.survivors, crate::secagg::messages::survivors_digest(&list.survivors));
    assert_eq!(party.client.stage(), Some(3));
}

#[test]
fn survivors_may_come_in_any_order_and_be_as_few_as_the_floor() {
    let mut play = Play::masked(5);
    let mut list = play.survivor_list();
    list.survivors = vec![50, 10];
    let party = &mut play.parties[0];
    assert!(party.client.confirm_survivors(&list, &party.identity.key).is_ok());
}

#[test]
fn a_sum_of_too_few_is_refused() {
    refuse(Refusal::SurvivorsBelowFloor, |survivors| survivors.truncate(1));
    refuse(Refusal::NotAmongSurvivors, Vec::clear);
    let planned = Terms { min_survivors: 4, ..crate::secagg::testing::terms(5) };
    let mut play = Play::masked_with(planned, Floors { cohort: 3, survivors: 4, colluders: 0.0 });
    let mut list = play.survivor_list();
    list.survivors.truncate(3);
    let party = &mut play.parties[0];
    assert_eq!(refusal(party.client.confirm_survivors(&list, &party.identity.key)), Refusal::SurvivorsBelowFloor);
}

#[test]
fn lists_no_honest_server_makes_are_refused() {
    refuse(Refusal::NotAmongSurvivors, |survivors| survivors.retain(|&node| node != 10));
    refuse(Refusal::NodeTwice, |survivors| survivors.push(20));
    refuse(Refusal::UnknownNode, |survivors| survivors.push(11));
}

#[test]
fn a_survivor_whose_shares_never_came_is_refused() {
    let mut play = Play::shared(5);
    let mut delivery = play.delivery(0);
    delivery.shares.retain(|share| share.peer != 40);
    let vector = play.vector(0);
    play.parties[0].client.mask_input(&delivery, vector, 1).unwrap();
    let list = play.survivor_list();
    let party = &mut play.parties[0];
    assert_eq!(refusal(party.client.confirm_survivors(&list, &party.identity.key)), Refusal::ShareMissing);
}

#[test]
fn a_second_survivor_set_ends_the_round() {
    let mut play = Play::masked(5);
    let mut list = play.survivor_list();
    let party = &mut play.parties[0];
    let first = party.client.confirm_survivors(&list, &party.identity.key).unwrap();
    assert_eq!(party.client.confirm_survivors(&list, &party.identity.key).unwrap(), first, "the same again");
    list.survivors.pop();
    assert_eq!(refusal(party.client.confirm_survivors(&list, &party.identity.key)), Refusal::SecondRequest);
    assert_eq!(party.client.ended(), Some(Refusal::SecondRequest));
}
