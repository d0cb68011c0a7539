//! One file per state: what moves it on, and everything a server may try instead. First, the questions every state is asked.

mod r0;
mod r1;
mod r2;
mod r3;
mod r4;

use proptest::prelude::*;

use super::*;
use crate::secagg::testing::{NOW, Play};

fn refusal<T>(result: Result<T>) -> Refusal {
    Refusal::of(&result.err().expect("refused")).expect("a typed reason")
}

/// A cohort of which every node is in the state.
const STATES: [fn() -> Play; 5] =
    [|| Play::advertised(5), || Play::shared(5), || Play::masked(5), || Play::confirmed(5), || Play::unmasked(5)];

/// What every request of the protocol does to the first node of a play.
fn ask_everything(play: &mut Play) -> [Result<()>; 4] {
    let (roster, delivery) = (play.roster(), play.delivery(0));
    let (survivors, unmask) = (play.survivor_list(), play.unmask_request());
    let vector = play.vector(0);
    let party = &mut play.parties[0];
    [
        party.client.share_keys(roster, NOW).map(drop),
        party.client.mask_input(&delivery, vector, 1).map(drop),
        party.client.confirm_survivors(&survivors, &party.identity.key).map(drop),
        party.client.unmask(&unmask).map(drop),
    ]
}

#[test]
fn every_state_answers_its_own_request_again_and_refuses_stages_behind_and_ahead() {
    for (state, reach) in STATES.iter().enumerate() {
        for asked in 1..=4usize {
            let mut play = reach();
            let outcome = ask(&mut play, asked);
            let expected = match asked as i64 - state as i64 {
                0 if state == 2 => Err(Refusal::AnsweredBefore),
                0 | 1 => Ok(()),
                difference if difference < 0 => Err(Refusal::GoingBack),
                _ => Err(Refusal::OutOfOrder),
            };
            let got = outcome.map_err(|error| Refusal::of(&error).unwrap());
            assert_eq!(got, expected, "state {state}, request {asked}");
            assert_eq!(play.parties[0].client.ended(), None, "a stray or a repetition ends nothing");
        }
    }
}

fn ask(play: &mut Play, asked: usize) -> Result<()> {
    let vector = play.vector(0);
    let (roster, delivery) = (play.roster(), play.delivery(0));
    let (survivors, unmask) = (play.survivor_list(), play.unmask_request());
    let party = &mut play.parties[0];
    match asked {
        1 => party.client.share_keys(roster, NOW).map(drop),
        2 => party.client.mask_input(&delivery, vector, 1).map(drop),
        3 => party.client.confirm_survivors(&survivors, &party.identity.key).map(drop),
        _ => party.client.unmask(&unmask).map(drop),
    }
}

#[test]
fn every_state_survives_its_journal_and_answers_the_same() {
    for (state, reach) in STATES.iter().enumerate() {
        let mut play = reach();
        let saved = play.parties[0].client.save();
        let restored = Client::restore(&saved).unwrap();
        assert_eq!((restored.node(), restored.stage()), (10, Some(state as u8)));
        assert_eq!(restored.terms(), play.parties[0].client.terms());
        assert_eq!(*restored.save(), *saved, "nothing is lost or added");
        let answers = |play: &mut Play| {
            let (roster, survivors, unmask) = (play.roster(), play.survivor_list(), play.unmask_request());
            let party = &mut play.parties[0];
            match state {
                1 => format!("{:?}", party.client.share_keys(roster, NOW)),
                3 => format!("{:?}", party.client.confirm_survivors(&survivors, &party.identity.key)),
                4 => format!("{:?}", party.client.unmask(&unmask)),
                _ => String::new(),
            }
        };
        let before = answers(&mut play);
        play.parties[0].client = restored;
        assert_eq!(answers(&mut play), before, "state {state}");
        play.finish();
    }
}

#[test]
fn damaged_journals_are_lost_states_and_never_a_fresh_start() {
    for reach in STATES {
        let saved = reach().parties[0].client.save();
        for length in [0, 3, 4, 10, saved.len() / 2, saved.len() - 1] {
            assert_eq!(refusal(Client::restore(&saved[..length])), Refusal::StateLost);
        }
        let longer = [&saved[..], &[0]].concat();
        assert_eq!(refusal(Client::restore(&longer)), Refusal::StateLost);
    }
    let play = Play::advertised(3);
    let mut lost = Client::lost(10, play.terms.clone(), play.floors);
    assert_eq!(lost.ended(), Some(Refusal::StateLost));
    assert_eq!(refusal(lost.share_keys(play.roster(), NOW)), Refusal::Ended);
    let restored = Client::restore(&lost.save()).unwrap();
    assert_eq!(restored.ended(), Some(Refusal::StateLost), "an end is kept too");
}

#[test]
fn requests_of_another_round_run_or_plan_change_nothing() {
    let changes: [fn(&mut Terms); 4] =
        [|terms| terms.round += 1, |terms| terms.run += 1, |terms| terms.plan[0] ^= 1, |terms| terms.threshold -= 1];
    for reach in STATES {
        for change in changes {
            let mut play = reach();
            let mut terms = play.terms.clone();
            change(&mut terms);
            let own = std::mem::replace(&mut play.terms, terms);
            for outcome in ask_everything(&mut play) {
                assert_eq!(refusal(outcome), Refusal::OtherRound);
            }
            play.terms = own;
            assert_eq!(play.parties[0].client.ended(), None);
            play.finish();
        }
    }
}

#[test]
fn an_ended_round_answers_nothing_and_holds_nothing() {
    for reach in STATES {
        let mut play = reach();
        play.parties[0].client.abort();
        for outcome in ask_everything(&mut play) {
            assert_eq!(refusal(outcome), Refusal::Ended);
        }
        assert_eq!(play.parties[0].client.ended(), Some(Refusal::Ended));
        assert!(play.parties[0].client.save().len() < 600, "no roster, no secret, no answer");
        assert_eq!(play.parties[0].client.advert(), None);
    }
}

#[test]
fn nothing_secret_is_shown() {
    for reach in STATES {
        let play = reach();
        let client = &play.parties[0].client;
        let shown = format!("{client:?}");
        let saved = client.save();
        let public = 4 + u32::from_le_bytes(saved[..4].try_into().unwrap()) as usize;
        for secret in saved[public..].chunks_exact(32) {
            assert!(!shown.contains(&crate::hash::to_hex(secret)));
            assert!(!shown.contains(&format!("{secret:?}")));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn changed_journals_never_panic(state in 0usize..5, changes in proptest::collection::vec(any::<(usize, u8)>(), 40)) {
        let saved = STATES[state]().parties[0].client.save();
        for (at, byte) in changes {
            let mut changed = saved.to_vec();
            let at = at % changed.len();
            changed[at] = byte;
            if let Ok(client) = Client::restore(&changed) {
                let _ = client.save();
            }
        }
    }
}
