//! Having unmasked: nothing more is ever answered but the same again.

use super::*;

#[test]
fn the_same_request_is_answered_the_same_and_any_other_ends_the_round() {
    let mut play = Play::unmasked(5);
    let mut request = play.unmask_request();
    let client = &mut play.parties[0].client;
    let first = client.unmask(&request).unwrap();
    assert_eq!(client.unmask(&request).unwrap(), first);
    request.confirmations.pop();
    assert_eq!(refusal(client.unmask(&request)), Refusal::SecondRequest);
    assert_eq!(refusal(client.unmask(&request)), Refusal::Ended);
}

#[test]
fn the_sum_of_all_is_opened_exactly() {
    Play::unmasked(5).finish();
}

#[test]
fn the_sum_is_exact_with_any_one_dropped_after_sharing() {
    for gone in 0..5 {
        let mut play = Play::confirmed_without(5, &[gone]);
        play.unmask_all(&[]);
        play.finish();
    }
}

#[test]
fn nothing_is_opened_below_the_threshold() {
    let mut play = Play::confirmed_without(5, &[4]);
    play.unmask_all(&[2, 3]); // two of four answer where three are needed
    let removal = play.removal();
    assert!(!removal.is_possible());
    assert_eq!(removal.total_mask(&play.terms, 1).unwrap_err().code, crate::Code::SecaggShares);
}
