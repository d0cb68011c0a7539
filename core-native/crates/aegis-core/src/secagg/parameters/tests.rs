use proptest::prelude::*;

use super::*;

fn assumed(dropouts: f64, colluders: f64) -> Assumptions {
    Assumptions { dropouts, colluders }
}

fn facts(result: Result<Parameters>) -> (Code, String) {
    let error = result.unwrap_err();
    (error.code, error.fact("arithmetic").unwrap_or_default().to_string())
}

#[test]
fn a_small_cohort_masks_with_everybody_and_leaves_nothing_to_chance() {
    let chosen = Parameters::choose(5, assumed(0.2, 0.0)).unwrap();
    assert_eq!((chosen.degree, chosen.threshold, chosen.min_survivors), (4, 3, 4));
    assert_eq!(chosen.risks.total, f64::NEG_INFINITY);
    let chosen = Parameters::choose(3, assumed(0.3, 0.0)).unwrap();
    assert_eq!((chosen.degree, chosen.threshold, chosen.min_survivors), (2, 2, 2), "three hospitals, one may drop out");
    let chosen = Parameters::choose(100, assumed(0.1, 0.1)).unwrap();
    assert_eq!((chosen.degree, chosen.threshold, chosen.dropouts, chosen.colluders), (99, 56, 10, 10));
}

#[test]
fn the_planned_thousand_gets_a_sparse_graph_within_the_accepted_risk() {
    let chosen = Parameters::choose(1000, assumed(0.2, 0.1)).unwrap();
    assert!(chosen.degree < 400, "{chosen:?}");
    assert!(
        chosen.risks.total <= LOG2_ACCEPTED && chosen.risks.total > LOG2_ACCEPTED - 3.0,
        "no more than needed: {chosen:?}"
    );
    assert!(2 * chosen.threshold > chosen.degree + chosen.degree / 10);
    assert_eq!(chosen.min_survivors, 800);
}

#[test]
fn what_cannot_be_reached_is_refused_with_the_arithmetic() {
    let (code, arithmetic) = facts(Parameters::choose(10, assumed(0.5, 0.2)));
    assert_eq!((code, arithmetic.as_str()), (Code::SecaggParameters, "2·7 > 10 + 2 but only 5 shareholders remain"));
    assert_eq!(facts(Parameters::choose(2000, assumed(0.5, 0.3))).0, Code::SecaggParameters);
    assert_eq!(facts(Parameters::choose(2, assumed(0.5, 0.0))).0, Code::SecaggParameters, "two nodes cannot lose one");
    for cohort in [0, 1, LARGEST_COHORT + 1] {
        assert_eq!(facts(Parameters::choose(cohort, assumed(0.0, 0.0))).0, Code::SecaggParameters);
    }
    for fraction in [-0.1, 1.0, f64::NAN] {
        assert_eq!(facts(Parameters::choose(10, assumed(fraction, 0.0))).0, Code::SecaggParameters);
        assert_eq!(facts(Parameters::choose(10, assumed(0.0, fraction))).0, Code::SecaggParameters);
    }
}

#[test]
fn a_node_judges_terms_that_others_chose() {
    let risk = |cohort, degree, threshold| Parameters::privacy_risk(cohort, assumed(0.2, 0.1), degree, threshold);
    let chosen = Parameters::choose(1000, assumed(0.2, 0.1)).unwrap();
    assert!(risk(1000, chosen.degree, chosen.threshold).unwrap() <= LOG2_ACCEPTED);
    assert!(risk(1000, chosen.degree, chosen.degree / 2 + 1).unwrap() > -10.0, "a threshold that few colluders reach");
    assert!(risk(1000, 20, 15).unwrap() > -10.0, "few neighbours are cut off on purpose");
    assert_eq!(risk(100, 99, 56).unwrap(), f64::NEG_INFINITY);
    assert_eq!(risk(100, 99, 55).unwrap(), 0.0, "2·55 is not above 100 + 10");
    for (degree, threshold) in [(0, 0), (1000, 600), (301, 200), (300, 302)] {
        assert_eq!(risk(1000, degree, threshold).unwrap_err().code, Code::SecaggParameters);
    }
}

/// The bounds against what happens: the events counted over many random rings of a cohort small enough for them to be common.
#[test]
fn bounds_hold_against_simulated_graphs() {
    use crate::secagg::keystream::Draws;
    let (cohort, degree, threshold) = (40usize, 8usize, 6usize);
    let urns = Urns::new(cohort as u32, assumed(0.25, 0.2)).unwrap();
    let risks = urns.risks(degree as u32, threshold as u32);
    let mut draws = Draws::new(&[8; 32]);
    let trials = 4000;
    let (mut both, mut few, mut cut) = (0u32, 0u32, 0u32);
    for _ in 0..trials {
        // places: 0 colluders, 1 dropouts, 2 the others, in random order
        let mut ring: Vec<u8> = (0..cohort)
            .map(|i| {
                if i < 8 {
                    0
                } else if i < 18 {
                    1
                } else {
                    2
                }
            })
            .collect();
        (1..cohort).rev().for_each(|i| ring.swap(i, draws.below(i as u64 + 1) as usize));
        let near = |node: usize, kind: u8| {
            (1..=degree / 2)
                .flat_map(|d| [(node + d) % cohort, (node + cohort - d) % cohort])
                .filter(|&at| ring[at] == kind)
                .count()
        };
        both += u32::from((0..cohort).any(|node| near(node, 0) >= 2 * threshold - degree - 1));
        few += u32::from((0..cohort).any(|node| degree - near(node, 1) < threshold));
        cut += u32::from((0..cohort).any(|node| (0..degree / 2).all(|d| ring[(node + d) % cohort] != 2)));
    }
    let observed = |count: u32| f64::from(count) / f64::from(trials);
    for (count, bound) in [(both, risks.both_secrets), (few, risks.too_few_shares), (cut, risks.cut_by_chance)] {
        assert!(count > 0, "the trial must see the event");
        assert!(observed(count) <= bound.exp2() + 0.02, "{} is above {}", observed(count), bound.exp2());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_choice_keeps_its_promises(cohort in 2u32..1200, dropouts in 0u32..30, colluders in 0u32..20) {
        let assumed = assumed(f64::from(dropouts) / 100.0, f64::from(colluders) / 100.0);
        if let Ok(chosen) = Parameters::choose(cohort, assumed) {
            prop_assert!(chosen.threshold <= chosen.degree + 1 && chosen.degree < cohort);
            prop_assert!(2 * chosen.threshold > chosen.degree);
            prop_assert!(chosen.risks.total <= LOG2_ACCEPTED);
            prop_assert!(chosen.min_survivors >= LEAST_COHORT);
            prop_assert!(Parameters::privacy_risk(cohort, assumed, chosen.degree, chosen.threshold).unwrap() <= LOG2_ACCEPTED);
            if chosen.degree == cohort - 1 {
                prop_assert!(2 * chosen.threshold > cohort + chosen.colluders);
                prop_assert!(chosen.threshold + chosen.dropouts <= cohort);
            }
        }
    }
}
