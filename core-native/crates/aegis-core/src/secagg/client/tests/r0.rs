//! Having advertised: the roster is awaited.

use super::*;
use crate::secagg::messages::CertifiedAdvert;
use crate::secagg::testing::{Identity, terms};

#[test]
fn a_round_begins_with_two_fresh_keys_signed_over_its_terms() {
    let play = Play::advertised(3);
    let adverts: Vec<&Advert> = play.parties.iter().map(|party| party.client.advert().unwrap()).collect();
    assert_ne!(adverts[0].channel_key, adverts[0].mask_key);
    assert_ne!(adverts[0].mask_key, adverts[1].mask_key);
    for party in &play.parties {
        let advert = party.client.advert().unwrap();
        let key = crate::secagg::signing::VerifyingKey::from_pem(&party.identity.pem).unwrap();
        assert!(key.verify(&advert.signed(&play.terms.digest()), &advert.signature));
    }
}

#[test]
fn a_whole_roster_is_answered_with_a_sealed_pair_for_each_neighbour() {
    let mut play = Play::advertised(5);
    let roster = play.roster();
    let answer = play.parties[1].client.share_keys(roster, NOW).unwrap();
    assert_eq!(answer.node, 20);
    assert_eq!(answer.shares.iter().map(|share| share.peer).collect::<Vec<_>>(), [10, 30, 40, 50]);
    assert!(answer.shares.iter().all(|share| share.sealed.len() == 124));
    assert_eq!(play.parties[1].client.stage(), Some(1));
    assert_eq!(play.parties[1].client.advert(), None);
}

#[test]
fn in_a_sparse_graph_only_neighbours_get_shares() {
    let sparse = Terms { degree: 4, threshold: 3, min_survivors: 12, ..terms(12) };
    let mut play = Play::advertised_with(sparse, 12);
    let roster = play.roster();
    let answer = play.parties[0].client.share_keys(roster, NOW).unwrap();
    assert_eq!(answer.shares.len(), 4);
}

/// The attacks on the roster: what is changed, and what the first node says.
#[test]
fn a_roster_no_honest_server_shows_ends_the_round_by_name() {
    let refuse = |expected: Refusal, change: &dyn Fn(&mut Play, &mut Vec<CertifiedAdvert>)| {
        let mut play = Play::advertised(5);
        let mut roster = play.roster();
        change(&mut play, &mut roster.adverts);
        let client = &mut play.parties[0].client;
        assert_eq!(refusal(client.share_keys(roster, NOW)), expected);
        assert_eq!(client.ended(), Some(expected));
    };
    // key substitution: the server's own key for another node, signed by nobody the certificate names
    refuse(Refusal::AdvertUnsigned, &|_, adverts| adverts[2].advert.mask_key = [7; 32]);
    refuse(Refusal::AdvertUnsigned, &|_, adverts| adverts[2].advert.channel_key = [7; 32]);
    refuse(Refusal::AdvertUnsigned, &|_, adverts| adverts[2].signing_key = Identity::generate().pem);
    refuse(Refusal::AdvertUnsigned, &|_, adverts| adverts[2].signing_key = "no key".into());
    // this node itself, left out or with other keys that its certificate did sign
    refuse(Refusal::KeySubstituted, &|_, adverts| drop(adverts.remove(0)));
    refuse(Refusal::KeySubstituted, &|play, adverts| {
        let again = Client::advertise(10, play.terms.clone(), play.floors, &play.parties[0].identity.key, 2 * NOW);
        adverts[0].advert = again.unwrap().advert().unwrap().clone();
    });
    // Sybils: one subject, one node or one key more than once
    refuse(Refusal::SubjectTwice, &|_, adverts| adverts[2].subject = adverts[1].subject.clone());
    refuse(Refusal::NodeTwice, &|_, adverts| adverts.push(adverts[1].clone()));
    refuse(Refusal::KeyTwice, &|_, adverts| adverts[2].advert.mask_key = adverts[1].advert.mask_key);
    // a cohort of one, and one below the floor
    refuse(Refusal::CohortBelowFloor, &|_, adverts| adverts.truncate(1));
    refuse(Refusal::CohortBelowFloor, &|_, adverts| adverts.truncate(2));
    refuse(Refusal::CohortBelowFloor, &|_, adverts| adverts.clear());
    // a low-order key that is properly signed by a colluding node
    refuse(Refusal::KeyUnusable, &|play, adverts| {
        let advert = &mut adverts[3].advert;
        advert.channel_key = [0; 32];
        advert.signature = play.parties[3].identity.key.sign(&advert.signed(&play.terms.digest())).unwrap();
    });
}

#[test]
fn an_expired_or_replayed_advert_is_refused() {
    let mut play = Play::advertised(5);
    let roster = play.roster();
    assert_eq!(refusal(play.parties[0].client.share_keys(roster, 2 * NOW)), Refusal::AdvertExpired);

    // an advert of the round before, under this round's name
    let mut play = Play::advertised(5);
    let before = Play::advertised_with(Terms { round: 2, ..play.terms.clone() }, 5);
    let mut roster = play.roster();
    roster.adverts[4] = before.roster().adverts[4].clone();
    assert_eq!(refusal(play.parties[0].client.share_keys(roster, NOW)), Refusal::AdvertUnsigned);
}

#[test]
fn the_owners_floors_hold_against_the_plan() {
    let with = |terms: Terms, floors: Floors, count: usize| {
        let mut play = Play::with(terms, floors, count);
        let roster = play.roster();
        play.parties[0].client.share_keys(roster, NOW).map(drop).map_err(|error| Refusal::of(&error).unwrap())
    };
    let floors = Floors { cohort: 5, survivors: 4, colluders: 0.0 };
    let plan = Terms { min_survivors: 4, ..terms(5) };
    assert_eq!(with(plan.clone(), floors, 5), Ok(()));
    assert_eq!(with(plan.clone(), Floors { cohort: 6, ..floors }, 5), Err(Refusal::CohortBelowFloor));
    assert_eq!(with(plan.clone(), Floors { survivors: 5, ..floors }, 5), Err(Refusal::SurvivorsBelowFloor));
    assert_eq!(with(Terms { threshold: 2, ..plan.clone() }, floors, 5), Err(Refusal::ThresholdBelowFloor));
    assert_eq!(with(plan.clone(), Floors { colluders: 0.2, ..floors }, 5), Err(Refusal::ThresholdBelowFloor));
    assert_eq!(with(Terms { threshold: 4, ..plan.clone() }, Floors { colluders: 0.2, ..floors }, 5), Ok(()));
    assert_eq!(with(Terms { threshold: 6, ..plan.clone() }, floors, 5), Err(Refusal::CohortBelowFloor));
    // few neighbours, whom a server that chooses who drops cuts off
    let sparse = Terms { degree: 4, threshold: 3, min_survivors: 6, ..terms(12) };
    assert_eq!(with(sparse, floors, 12), Err(Refusal::ThresholdBelowFloor));
    // the whole cohort but one may vanish if the plan says so; not if the owner does not
    assert_eq!(
        with(Terms { min_survivors: 1, ..plan }, Floors { survivors: 1, ..floors }, 5),
        Err(Refusal::SurvivorsBelowFloor)
    );
}

#[test]
fn a_second_roster_ends_the_round_and_the_first_is_answered_the_same_again() {
    let mut play = Play::advertised(5);
    let (roster, mut other) = (play.roster(), play.roster());
    let answer = play.parties[0].client.share_keys(roster.clone(), NOW).unwrap();
    assert_eq!(play.parties[0].client.share_keys(roster, NOW).unwrap(), answer);
    other.adverts.truncate(4);
    assert_eq!(refusal(play.parties[0].client.share_keys(other, NOW)), Refusal::SecondRequest);
    assert_eq!(play.parties[0].client.ended(), Some(Refusal::SecondRequest));
}
