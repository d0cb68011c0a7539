//! Laplace and Skellam noise on samples, beside the divergences of the output distributions themselves (tests/vectors/privacy/make_sampled.py).

use serde_json::Value;

use super::composition::Composition;
use super::event::{Event, Mechanism, Relation, Sampling};
use super::golden_tests::{event, real, reals, rows, table};
use super::{Effort, calibrate, delta_of, epsilon_of, rounds_for, sigma_for};

fn poisson(mechanism: Mechanism, noise_multiplier: f64, rate: f64, count: u64) -> Event {
    Event { sampling: Sampling::Poisson { rate }, ..event(mechanism, noise_multiplier, count) }
}

fn fixed_size(mechanism: Mechanism, noise_multiplier: f64, rate: f64, count: u64) -> Event {
    let (sampling, relation) = (Sampling::WithoutReplacement { rate }, Relation::ReplaceOne);
    Event { sampling, relation, ..event(mechanism, noise_multiplier, count) }
}

fn vectors() -> Value {
    table("sampled.json")
}

/// R(α) at the row's orders beside the figure that it is to be equal to, and those that it may not be below.
fn assert_divergences(row: &Value, event: Event, equal: &str, truths: &[&str]) {
    let composition = Composition::of(&[event]);
    for (index, order) in reals(&row["orders"]).enumerate() {
        let (got, wanted) = (composition.rdp(order), row[equal][index].as_f64().unwrap());
        assert!((got / wanted - 1.0).abs() < 1e-9, "{row} order {order}: {got} is not {wanted}");
        for truth in truths {
            let least = row[*truth][index].as_f64().unwrap();
            assert!(got >= least * (1.0 - 1e-12), "{row} order {order}: {got} is below {truth} {least}");
        }
    }
}

#[test]
fn laplace_on_a_poisson_sample_has_the_divergence_of_its_mixture() {
    for row in rows(&vectors()["poisson_laplace"]) {
        let event = poisson(Mechanism::Laplace, real(row, "b"), real(row, "q"), 1);
        assert_divergences(row, event, "removed", &["removed", "added"]);
    }
}

#[test]
fn laplace_on_a_sample_of_fixed_size_is_bounded_by_the_symmetric_pair() {
    for row in rows(&vectors()["fixed_laplace"]) {
        let event = fixed_size(Mechanism::Laplace, real(row, "noise"), real(row, "q"), 1);
        assert_divergences(row, event, "bound", &["true"]);
    }
}

#[test]
fn skellam_on_samples_stays_above_the_divergences_of_its_sums() {
    for row in rows(&vectors()["skellam"]) {
        let shift = real(row, "shift");
        let (mechanism, noise) = (Mechanism::Skellam { l1: shift, l2: shift }, real(row, "variance").sqrt() / shift);
        let rate = real(row, "q");
        let sampled = poisson(mechanism.clone(), noise, rate, 1);
        assert_divergences(row, sampled, "poisson_bound", &["removed", "added"]);
        assert_divergences(row, fixed_size(mechanism, noise, rate, 1), "fixed_bound", &["fixed"]);
    }
}

/// Everything that can be sampled, with the least and the most of each parameter that events may have.
fn corners() -> impl Iterator<Item = Event> {
    let mechanisms = [
        Mechanism::Laplace,
        Mechanism::Skellam { l1: 1.0, l2: 1.0 },
        Mechanism::Skellam { l1: 1e6, l2: 1e3 },
        Mechanism::Skellam { l1: 1e30, l2: 1e18 },
    ];
    mechanisms.into_iter().flat_map(|mechanism| {
        [1e-3, 0.1, 1.0, 30.0, 1e9].into_iter().flat_map(move |noise| {
            let mechanism = mechanism.clone();
            [1e-12, 1e-3, 0.5, 1.0 - 1e-12].into_iter().flat_map(move |rate| {
                [poisson(mechanism.clone(), noise, rate, 1), fixed_size(mechanism.clone(), noise, rate, 1)]
            })
        })
    })
}

/// A sample hides a unit, so it never costs more than no sample at all; and never less than a smaller one.
#[test]
fn a_sample_costs_no_more_than_everybody_and_no_less_than_a_smaller_one() {
    for sampled in corners() {
        let all = Composition::of(&[Event { sampling: Sampling::None, ..sampled.clone() }]);
        let half = match sampled.sampling {
            Sampling::Poisson { rate } => Sampling::Poisson { rate: 0.5 * rate },
            Sampling::WithoutReplacement { rate } => Sampling::WithoutReplacement { rate: 0.5 * rate },
            Sampling::None => continue,
        };
        let half = Composition::of(&[Event { sampling: half, ..sampled.clone() }]);
        let one = Composition::of(std::slice::from_ref(&sampled));
        for order in [1.001, 1.5, 2.0, 7.3, 65.0, 1e3, 1e6, 1e9] {
            let (less, here, more) = (half.rdp(order), one.rdp(order), all.rdp(order));
            assert!(here > 0.0 && here.is_finite(), "{sampled:?} order {order}: {here}");
            // in between the whole orders, Laplace's bound is a line where an exact one would take too long
            let room = if order.fract() == 0.0 { 1.0 + 1e-7 } else { 3.0 };
            assert!(here <= more * room, "{sampled:?} order {order}: {here} is above {more}");
            assert!(less <= here * (1.0 + 1e-7), "{sampled:?} order {order}: half costs {less}, all {here}");
        }
    }
}

#[test]
fn a_sample_of_everybody_is_none() {
    for mechanism in [Mechanism::Laplace, Mechanism::Skellam { l1: 5.0, l2: 2.0 }] {
        let all = event(mechanism.clone(), 2.0, 10);
        let cost = |event: &Event| epsilon_of(std::slice::from_ref(event), 1e-5, Effort::Quick).unwrap();
        assert_eq!(cost(&poisson(mechanism.clone(), 2.0, 1.0, 10)), cost(&all));
        let replaced = Event { relation: Relation::ReplaceOne, ..all };
        assert_eq!(cost(&fixed_size(mechanism, 2.0, 1.0, 10)), cost(&replaced));
    }
}

/// A few releases of little noise: nothing is below the pure bound, and nothing above.
#[test]
fn the_pure_bound_is_amplified() {
    for sampled in [poisson(Mechanism::Laplace, 0.5, 0.1, 3), fixed_size(Mechanism::Laplace, 1.0, 0.1, 3)] {
        let got = epsilon_of(&[sampled], 1e-300, Effort::Tight).unwrap();
        let pure = 3.0 * (0.1 * 2f64.exp_m1()).ln_1p();
        assert!((got.epsilon / pure - 1.0).abs() < 1e-9, "{got:?} is not {pure}");
        assert_eq!(got.method.name(), "pure");
    }
}

#[test]
fn noise_rounds_and_delta_are_found_for_sampled_noise() {
    let (epsilon, delta) = (1.0, 1e-5);
    let mechanisms = [Mechanism::Laplace, Mechanism::Skellam { l1: 400.0, l2: 40.0 }];
    let events = mechanisms.iter().flat_map(|mechanism| {
        [poisson(mechanism.clone(), 1.0, 0.02, 300), fixed_size(mechanism.clone(), 1.0, 0.02, 300)]
    });
    for sampled in events {
        for effort in Effort::ALL {
            let calibrate::Calibrated { noise_multiplier, spent } =
                sigma_for(std::slice::from_ref(&sampled), &[true], epsilon, delta, effort).unwrap();
            let with = |noise_multiplier: f64, count: u64| [Event { noise_multiplier, count, ..sampled.clone() }];
            let cost = |events: &[Event]| epsilon_of(events, delta, effort).unwrap().epsilon;
            assert!(spent.epsilon <= epsilon && spent.epsilon > 0.9999 * epsilon, "{sampled:?}: {spent:?}");
            assert!(cost(&with(0.999 * noise_multiplier, 300)) > epsilon, "{sampled:?}: {noise_multiplier}");
            let rounds = rounds_for(&with(noise_multiplier, 1), epsilon, delta, effort).unwrap().rounds;
            assert!((300..310).contains(&rounds), "{sampled:?}: {rounds} rounds");
            let back = delta_of(&with(noise_multiplier, 300), spent.epsilon, effort).unwrap().delta;
            assert!(back <= delta * 1.005, "{sampled:?}: {back} is above {delta}");
        }
    }
}

/// Never below dp-accounting's optimistic estimate, and above its pessimistic one by no more than what lies above our window and what its own
/// transform, untilted, may have lost.
#[test]
fn laplace_on_a_poisson_sample_lies_between_the_bounds_of_dp_accounting() {
    for row in rows(&vectors()["epsilon"]) {
        let (count, delta) = (real(row, "count"), real(row, "delta"));
        let sampled = poisson(Mechanism::Laplace, real(row, "b"), real(row, "q"), count as u64);
        let got = epsilon_of(std::slice::from_ref(&sampled), delta, Effort::Tight).unwrap();
        let looser = 1e-8 + f64::EPSILON * count / delta;
        assert!(got.epsilon >= real(row, "optimistic"), "{row}: {got:?}");
        assert!(got.epsilon <= real(row, "pessimistic") * (1.0 + looser), "{row}: {got:?}");
        // where all losses are the largest there is, no more than 0 is shown from below
        let pure = count * (real(row, "q") * (1.0 / real(row, "b")).exp_m1()).ln_1p();
        let least = if got.epsilon > 0.999 * pure { 0.0 } else { 0.98 * got.epsilon };
        assert!((least..=got.epsilon).contains(&got.lower), "{row}: {got:?}");
        let quick = epsilon_of(&[sampled], delta, Effort::Quick).unwrap();
        assert!(got.epsilon <= quick.epsilon && got.lower <= quick.epsilon, "{row}: {got:?} {quick:?}");
    }
}

/// No peer composes the losses of a sample of fixed size: the bound of moments is above, and the Poisson sample of half the distance below.
#[test]
fn laplace_on_a_sample_of_fixed_size_is_composed_too() {
    for row in rows(&vectors()["epsilon"]) {
        let (rate, noise, count) = (real(row, "q"), 2.0 * real(row, "b"), row["count"].as_u64().unwrap());
        let delta = real(row, "delta");
        let sampled = fixed_size(Mechanism::Laplace, noise, rate, count);
        let got = epsilon_of(std::slice::from_ref(&sampled), delta, Effort::Tight).unwrap();
        let quick = epsilon_of(&[sampled], delta, Effort::Quick).unwrap();
        let poisson = epsilon_of(&[poisson(Mechanism::Laplace, noise, rate, count)], delta, Effort::Tight).unwrap();
        // the pair that is composed is worse than any pair of data sets, so nothing is shown from below
        assert!(got.epsilon <= quick.epsilon && got.lower == 0.0, "{row}: {got:?} {quick:?}");
        assert!(got.epsilon >= poisson.lower, "{row}: {got:?} {poisson:?}");
    }
}

/// A unit added to one of each and three more: the atoms' tops are above what the loss itself reaches, by their rounding to the grid.
#[test]
fn a_window_holds_what_the_grid_lifts_over_the_largest_loss() {
    let events = [
        poisson(Mechanism::Laplace, 1.49022181418469, 0.0023438845611307734, 1),
        poisson(Mechanism::Gaussian, 2.98044362836938, 0.000703165368339232, 1),
        event(Mechanism::Laplace, 7.451109070923449, 3),
    ];
    let got = epsilon_of(&events, 5.421036965502119e-6, Effort::Tight).unwrap();
    assert!((0.4046951..=0.4047433).contains(&got.epsilon), "{got:?}");
}

/// Two equal masses have a frequency at which nothing is left of them: what its error is divided by is nothing too, and NaN must not pass for a
/// bound. (dp-accounting's brackets, steps of 1e-5.)
#[test]
fn a_transform_that_vanishes_somewhere_is_no_free_release() {
    for (sigma, rate, scale, delta, optimistic, pessimistic) in [
        (8.339508089222852, 0.0033478755298842044, 16.679016178445703, 2.007182533996863e-4, 0.0595908, 0.0596026),
        (5.1363398000429985, 0.015149066019311633, 10.272679600085997, 1.107545906593495e-8, 0.1155236, 0.1155359),
    ] {
        let events = [poisson(Mechanism::Gaussian, sigma, rate, 1), event(Mechanism::Laplace, scale, 1)];
        let got = epsilon_of(&events, delta, Effort::Tight).unwrap();
        assert!((optimistic..=pessimistic).contains(&got.epsilon), "{got:?}");
        assert!(got.lower > 0.999 * got.epsilon, "{got:?}");
    }
}
