//! What must hold whatever the numbers: more releases, a higher rate, less noise or a smaller δ never cost less; order does not matter; no bound
//! is below the optimistic one.

use proptest::prelude::*;

use super::event::Event;
use super::golden_tests::sampled;
use super::{Accountant, Effort, delta_of, epsilon_of, rounds_for, sigma_for};

/// Rate, noise, count, δ.
fn questions() -> impl Strategy<Value = (f64, f64, u64, f64)> {
    (-5.0..-0.05f64, -0.5..1.5f64, 0.0..4.0f64, -10.0..-3.0f64).prop_map(|(rate, noise, count, delta)| {
        (10f64.powf(rate), 10f64.powf(noise), 10f64.powf(count) as u64, 10f64.powf(delta))
    })
}

fn quick(events: &[Event], delta: f64) -> f64 {
    epsilon_of(events, delta, Effort::Quick).unwrap().epsilon
}

/// The ladder of orders and the grids of losses leave this much room.
fn at_most(low: f64, high: f64, room: f64) -> bool {
    low <= high * (1.0 + room) + 1e-9
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn quick_answers_are_monotone((rate, noise, count, delta) in questions()) {
        let here = quick(&[sampled(rate, noise, count)], delta);
        prop_assert!(at_most(here, quick(&[sampled(rate, noise, count + count / 4 + 1)], delta), 1e-6));
        prop_assert!(at_most(here, quick(&[sampled((rate * 1.1).min(1.0), noise, count)], delta), 1e-6));
        prop_assert!(at_most(here, quick(&[sampled(rate, noise / 1.1, count)], delta), 1e-6));
        prop_assert!(at_most(here, quick(&[sampled(rate, noise, count)], delta / 2.0), 1e-6));
    }

    #[test]
    fn delta_is_the_inverse_of_epsilon((rate, noise, count, delta) in questions()) {
        let events = [sampled(rate, noise, count)];
        let epsilon = quick(&events, delta);
        let back = delta_of(&events, epsilon, Effort::Quick).unwrap().delta;
        prop_assert!(at_most(back, delta, 1e-3), "{back} is above {delta}");
    }

    #[test]
    fn an_accountant_agrees_with_the_list_in_any_order(
        (rate, noise, count, delta) in questions(),
        parts in prop::collection::vec(1u64..50, 1..6),
    ) {
        let events: Vec<Event> = parts.iter().map(|part| sampled(rate, noise * (1 + part % 2) as f64, count + part)).collect();
        let mut accountant = Accountant::default();
        for event in events.iter().rev() {
            accountant.compose(event).unwrap();
            accountant.epsilon(delta).unwrap();
        }
        let (kept, fresh) = (accountant.epsilon(delta).unwrap().epsilon, quick(&events, delta));
        prop_assert!((kept - fresh).abs() <= 1e-3 * fresh + 1e-9, "{kept} is not {fresh}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn tight_answers_are_brackets_below_the_quick_ones((rate, noise, count, delta) in questions()) {
        let events = [sampled(rate, noise, count)];
        let tight = epsilon_of(&events, delta, Effort::Tight).unwrap();
        prop_assert!(tight.lower <= tight.epsilon && tight.epsilon <= quick(&events, delta));
        let more = epsilon_of(&[sampled(rate, noise, 2 * count)], delta, Effort::Tight).unwrap();
        prop_assert!(tight.lower <= more.epsilon, "{tight:?} {more:?}");
        // one of them may have to do with the quick bound
        let alike = tight.method == more.method;
        prop_assert!(!alike || at_most(tight.epsilon, more.epsilon, 1e-3), "{tight:?} {more:?}");
    }

    #[test]
    fn calibrated_noise_keeps_within_the_budget((rate, _, count, delta) in questions(), epsilon in 0.1..8.0f64) {
        let found = sigma_for(&[sampled(rate, 1.0, count)], &[true], epsilon, delta, Effort::Quick).unwrap();
        prop_assert!(quick(&[sampled(rate, found.noise_multiplier, count)], delta) <= epsilon * (1.0 + 1e-9));
        let rounds = rounds_for(&[sampled(rate, found.noise_multiplier, 1)], epsilon, delta, Effort::Quick).unwrap();
        prop_assert!(rounds.rounds + 1 >= count, "{rounds:?} for {count}");
    }
}
