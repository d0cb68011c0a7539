//! The Rényi filter: composition when what comes next is chosen after seeing what came before.
//!
//! Fix an order α and an allowance B before the first event. As long as Σ R(α) of everything that happened stays within B, all of it together
//! is (α, B)-Rényi private, however each event was chosen: its mechanism, its noise, whether it happens at all, whom it concerns (Feldman and
//! Zrnic 2008.11193, theorem 4.3, where a unit's sum counts only the events it took part in). One order has to do: the best order of what has
//! happened so far depends on what was seen, and may not be chosen afterwards. The conversion to ε at δ is the one of every other answer
//! (Canonne, Kamath, Steinke 2004.00010, proposition 12), solved for the divergence.

use super::composition::Composition;
use super::event::Event;
use super::rdp::conversion;
use super::report::{check_delta, check_epsilon};
use crate::error::{Code, Error, Result};

/// What the evaluation of a closed form may have lost to rounding.
const SLACK: f64 = 1e-12;
/// Beyond it the conversion gains nothing for any ε that promises something.
const LARGEST_ORDER: f64 = 1048576.0;

/// R(α) of one occurrence of an event, rounded up. The order is a whole number of at least 2: every formula knows those.
pub fn divergence(event: &Event, order: f64) -> Result<f64> {
    event.validate()?;
    check_order(order)?;
    let once = Event { count: 1, ..event.clone() };
    let rdp = Composition::of(&[once]).rdp(order) * (1.0 + SLACK);
    if rdp.is_finite() && rdp >= 0.0 {
        return Ok(rdp);
    }
    Err(Error::new(Code::PrivacyUnbounded, "no finite divergence can be shown for this event").with("order", order))
}

/// The most that may be spent at `order` for (ε, δ), rounded down; below 0 where nothing may.
pub fn allowance(order: f64, epsilon: f64, delta: f64) -> Result<f64> {
    check_order(order)?;
    check_epsilon(epsilon)?;
    check_delta(delta)?;
    let overhead = (-1.0 / order).ln_1p() - (delta.ln() + order.ln()) / (order - 1.0);
    Ok(epsilon - overhead - SLACK * (epsilon + overhead.abs()))
}

/// ε at δ of what was spent at `order`, rounded up.
pub fn epsilon(order: f64, spent: f64, delta: f64) -> Result<f64> {
    check_order(order)?;
    check_delta(delta)?;
    let epsilon = conversion::epsilon(spent, order, delta);
    Ok(if epsilon == 0.0 { 0.0 } else { epsilon * (1.0 + SLACK) })
}

/// The whole order at which (ε, δ) lasts longest for events of much noise, whose R(α) grows like α: it maximises allowance ÷ α.
pub fn order_for(epsilon: f64, delta: f64) -> Result<f64> {
    check_epsilon(epsilon)?;
    check_delta(delta)?;
    let lasts = |order: f64| allowance(order, epsilon, delta).map(|allowed| allowed / order);
    // One valley of −lasts: strides over powers of 2^⅛ first, then whole orders between the neighbours of the best.
    let rung = |at: i32| (f64::from(at) / 8.0).exp2().ceil().clamp(2.0, LARGEST_ORDER);
    let mut best = 8;
    for at in 8..=160 {
        if lasts(rung(at))? > lasts(rung(best))? {
            best = at;
        }
    }
    let (mut low, mut high) = (rung(best - 1), rung(best + 1));
    while high - low > 2.0 {
        let (left, right) = ((low + (high - low) / 3.0).floor(), (high - (high - low) / 3.0).ceil());
        if lasts(left)? < lasts(right)? {
            low = left;
        } else {
            high = right;
        }
    }
    let mut order = low;
    while low < high {
        low += 1.0;
        if lasts(low)? > lasts(order)? {
            order = low;
        }
    }
    Ok(order)
}

fn check_order(order: f64) -> Result<()> {
    if (2.0..=LARGEST_ORDER).contains(&order) && order.fract() == 0.0 {
        return Ok(());
    }
    Err(Error::new(Code::PrivacyParameter, "the order must be a whole number from 2 to 2^20")
        .with("field", "order")
        .with("got", order))
}

#[cfg(test)]
mod tests {
    use super::super::{Effort, epsilon_of, parse_events};
    use super::*;

    const BUDGETS: [(f64, f64); 6] = [(1.0, 1e-5), (0.1, 1e-6), (0.01, 1e-9), (3.0, 1e-5), (10.0, 1e-3), (50.0, 1e-10)];

    fn event(text: &str) -> Event {
        parse_events(&format!("[{text}]")).unwrap().remove(0)
    }

    fn events() -> Vec<Event> {
        [
            r#"{"mechanism":"gaussian","noise-multiplier":2.0,"sampling":{"kind":"none"},"relation":"add-or-remove-one"}"#,
            r#"{"mechanism":"gaussian","noise-multiplier":1.0,"sampling":{"kind":"poisson","rate":0.01},"relation":"add-or-remove-one"}"#,
            r#"{"mechanism":"gaussian","noise-multiplier":3.0,"sampling":{"kind":"without-replacement","rate":0.1},"relation":"replace-one"}"#,
            r#"{"mechanism":"discrete-gaussian","noise-multiplier":2.0,"sampling":{"kind":"none"},"relation":"zero-out"}"#,
            r#"{"mechanism":"laplace","noise-multiplier":5.0,"sampling":{"kind":"none"},"relation":"add-or-remove-one"}"#,
            r#"{"mechanism":"laplace","noise-multiplier":2.0,"sampling":{"kind":"poisson","rate":0.05},"relation":"add-or-remove-one"}"#,
            r#"{"mechanism":"skellam","noise-multiplier":3.0,"grid-l1":90,"grid-l2":30,"sampling":{"kind":"without-replacement","rate":0.1},"relation":"replace-one"}"#,
        ]
        .map(event)
        .to_vec()
    }

    #[test]
    fn the_order_is_the_whole_one_that_lasts_longest() {
        for (epsilon, delta) in BUDGETS {
            let order = order_for(epsilon, delta).unwrap();
            let lasts = |order: f64| allowance(order, epsilon, delta).unwrap() / order;
            for other in 2..20_000 {
                assert!(
                    lasts(f64::from(other)) <= lasts(order) * (1.0 + 1e-12),
                    "{epsilon} {delta}: {other} beats {order}"
                );
            }
        }
        assert_eq!(order_for(1.0, 1e-5).unwrap(), 18.0);
    }

    #[test]
    fn what_is_allowed_costs_no_more_than_the_budget_and_a_little_more_does() {
        for (budget, delta) in BUDGETS {
            let order = order_for(budget, delta).unwrap();
            let allowed = allowance(order, budget, delta).unwrap();
            assert!(allowed > 0.0);
            assert!(epsilon(order, allowed, delta).unwrap() <= budget);
            assert!(epsilon(order, allowed * 1.001 + 1e-9, delta).unwrap() > budget);
        }
    }

    #[test]
    fn one_order_is_never_better_than_the_best_one_and_close_to_it_when_the_budget_is_spent() {
        for event in events() {
            for (budget, delta) in BUDGETS {
                let order = order_for(budget, delta).unwrap();
                let once = divergence(&event, order).unwrap();
                let count = (allowance(order, budget, delta).unwrap() / once).floor();
                if count < 1.0 {
                    continue;
                }
                let spent = Event { count: count as u64, ..event.clone() };
                let best = epsilon_of(&[spent], delta, Effort::Quick).unwrap().epsilon;
                assert!(best <= budget * (1.0 + 1e-9), "{event:?}: {count} times cost {best} of {budget}");
                if count > 1_000.0 {
                    assert!(best > 0.8 * budget, "{event:?}: {count} times cost only {best} of {budget}");
                }
            }
        }
    }

    #[test]
    fn divergences_of_parts_add_up_to_that_of_the_whole() {
        for order in [2.0, 22.0, 1000.0] {
            let all = events();
            let sum: f64 = all.iter().map(|event| divergence(event, order).unwrap()).sum();
            let whole = Composition::of(&all).rdp(order);
            assert!(sum >= whole && sum <= whole * (1.0 + 1e-9), "{order}: {sum} {whole}");
        }
    }

    #[test]
    fn refuses_orders_and_budgets_that_mean_nothing() {
        let known = &events()[0];
        for order in [f64::NAN, 1.0, 1.5, 2.5, -2.0, 2f64.powi(21), f64::INFINITY] {
            assert_eq!(divergence(known, order).unwrap_err().code, Code::PrivacyParameter);
            assert_eq!(allowance(order, 1.0, 1e-5).unwrap_err().code, Code::PrivacyParameter);
        }
        for (epsilon, delta) in [(f64::NAN, 1e-5), (-1.0, 1e-5), (1.0, 0.0), (1.0, 1.0), (1.0, f64::NAN)] {
            assert_eq!(order_for(epsilon, delta).unwrap_err().code, Code::PrivacyParameter);
        }
        assert_eq!(epsilon(22.0, f64::NAN, 1e-5).unwrap(), f64::INFINITY);
    }
}
