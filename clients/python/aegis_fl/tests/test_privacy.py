"""The accounting of the core beside dp-accounting's, on events drawn with a fixed seed, and where that library is known to be wrong."""

from __future__ import annotations

import random
from typing import Any

import pytest
from dp_accounting import dp_event
from dp_accounting import privacy_accountant
from dp_accounting.pld import privacy_loss_distribution as pld
from dp_accounting.rdp import rdp_privacy_accountant

import aegis_fl
from aegis_fl import AccountingRefused

GRID = 1e-4


def gaussian(noise: float, rate: float, count: int, relation: str = "add-or-remove-one") -> dict[str, Any]:
    sampling = {"kind": "poisson", "rate": rate} if rate < 1 else {"kind": "none"}
    return {"mechanism": "gaussian", "noise-multiplier": noise, "sampling": sampling, "relation": relation, "count": count}


def laplace(scale: float, count: int, relation: str = "add-or-remove-one", rate: float = 1.0) -> dict[str, Any]:
    return {**gaussian(scale, rate, count, relation), "mechanism": "laplace"}


def skellam(noise: float, rate: float, count: int) -> dict[str, Any]:
    return {**gaussian(noise, rate, count), "mechanism": "skellam", "grid-l1": 60, "grid-l2": 10}


def fixed_size(event: dict[str, Any]) -> dict[str, Any]:
    """The same on a sample of fixed size, with the noise that makes up for its doubled sensitivity."""
    sampling = {"kind": "without-replacement", "rate": event["sampling"]["rate"]}
    return {**event, "noise-multiplier": 2 * event["noise-multiplier"], "sampling": sampling, "relation": "replace-one"}


def peer(events: list[dict[str, Any]], delta: float, pessimistic: bool) -> float:
    """dp-accounting's bound by discretised loss distributions: the true ε is below the pessimistic (its best) and above the optimistic one."""
    how = {"value_discretization_interval": GRID, "pessimistic_estimate": pessimistic, "use_connect_dots": pessimistic}
    total = None
    for event in events:
        noise = event["noise-multiplier"] / (2 if event["relation"] == "replace-one" else 1)
        if event["mechanism"] == "laplace":
            one = pld.from_laplace_mechanism(noise, sampling_prob=event["sampling"].get("rate", 1.0), **how)
        else:
            one = pld.from_gaussian_mechanism(noise, sampling_prob=event["sampling"].get("rate", 1.0), **how)
        many = one.self_compose(event["count"])
        total = many if total is None else total.compose(many)
    assert total is not None
    return total.get_epsilon_for_delta(delta)


def drawn(count: int) -> list[tuple[list[dict[str, Any]], float]]:
    chance = random.Random(20261126)
    cases = []
    for index in range(count):
        noise, rounds = 10 ** chance.uniform(0, 1), int(10 ** chance.uniform(0, 2.3))
        rate, delta = 10 ** chance.uniform(-3.5, -0.1), 10 ** chance.uniform(-9, -3)
        events = [
            [gaussian(noise, rate, rounds)],
            [laplace(noise, rounds)],
            [gaussian(noise, rate, rounds), laplace(2 * noise, rounds)],
            [laplace(noise, rounds, "replace-one")],
            [laplace(noise, rounds, rate=rate)],
            [laplace(noise, rounds, rate=rate), gaussian(2 * noise, 0.3 * rate, rounds), laplace(5 * noise, 3)],
        ][index % 6]
        cases.append((events, delta))
    return cases


# The rest of δ above our window, and what we add for our rounding; dp-accounting adds nothing for its own.
LOOSER = 1e-8


@pytest.mark.parametrize(("events", "delta"), drawn(48))
def test_epsilon_lies_between_the_bounds_of_dp_accounting(events: list[dict[str, Any]], delta: float) -> None:
    cost = aegis_fl.privacy.epsilon(events, delta)
    assert cost.epsilon >= peer(events, delta, pessimistic=False) * (1 - 1e-9)
    assert cost.epsilon <= peer(events, delta, pessimistic=True) * (1 + LOOSER)
    assert cost.lower <= cost.epsilon


def test_a_multiplier_written_as_a_whole_number_costs_the_same() -> None:
    """dp-accounting 0.6 leaves out what stands behind a whole number in a composition, and reports 2.1 where 5.3 is true."""
    faulty = rdp_privacy_accountant.RdpAccountant()
    inner = dp_event.ComposedDpEvent([dp_event.GaussianDpEvent(1), dp_event.GaussianDpEvent(1)])
    faulty.compose(dp_event.PoissonSampledDpEvent(0.01, inner), 1000)
    whole = aegis_fl.privacy.epsilon([gaussian(1, 0.01, 1000)], 1e-5).epsilon
    assert whole == aegis_fl.privacy.epsilon([gaussian(1.0, 0.01, 1000)], 1e-5).epsilon
    # two in one sample are one with noise 1/√2
    assert aegis_fl.privacy.epsilon([gaussian(0.5**0.5, 0.01, 1000)], 1e-5).epsilon > 2 * faulty.get_epsilon(1e-5)


def test_replacing_costs_twice_the_distance_of_adding() -> None:
    """dp-accounting's RDP accountant ignores the relation for Gaussian noise: 4.73 where 9.997 is true."""
    relation = privacy_accountant.NeighboringRelation.REPLACE_ONE
    faulty = rdp_privacy_accountant.RdpAccountant(neighboring_relation=relation).compose(dp_event.GaussianDpEvent(1.0))
    ours = aegis_fl.privacy.epsilon([gaussian(1.0, 1.0, 1, "replace-one")], 1e-5)
    assert ours.epsilon == pytest.approx(aegis_fl.privacy.epsilon([gaussian(0.5, 1.0, 1)], 1e-5).epsilon)
    assert ours.epsilon > 2 * faulty.get_epsilon(1e-5)


@pytest.mark.parametrize(
    ("rate", "noise", "count", "delta", "factor"),
    [(1e-6, 1.0, 1_000_000, 1e-8, 10), (0.2, 5.0, 1_000_000, 1e-5, 1.5)],
)
def test_fixed_orders_are_left_far_behind(rate: float, noise: float, count: int, delta: float, factor: float) -> None:
    loose = rdp_privacy_accountant.RdpAccountant()
    loose.compose(dp_event.PoissonSampledDpEvent(rate, dp_event.GaussianDpEvent(noise)), count)
    assert aegis_fl.privacy.epsilon([gaussian(noise, rate, count)], delta).epsilon * factor < loose.get_epsilon(delta)


def test_noise_and_rounds_found_for_a_budget_stay_within_it() -> None:
    events = [gaussian(1.0, 0.01, 1000)]
    without = [{key: value for key, value in events[0].items() if key != "noise-multiplier"}]
    found = aegis_fl.privacy.sigma(without, epsilon=1.0, delta=1e-5)
    assert found.spent.epsilon <= 1.0
    assert aegis_fl.privacy.epsilon([gaussian(found.noise_multiplier, 0.01, 1000)], 1e-5).epsilon <= 1.0
    assert aegis_fl.privacy.epsilon([gaussian(found.noise_multiplier * 0.99, 0.01, 1000)], 1e-5).epsilon > 1.0
    one = [gaussian(1.0, 0.01, 1)]
    fits = aegis_fl.privacy.rounds(one, epsilon=2.0, delta=1e-5)
    assert fits.spent is not None and fits.spent.epsilon <= 2.0
    assert aegis_fl.privacy.epsilon([gaussian(1.0, 0.01, fits.rounds + 1)], 1e-5).epsilon > 2.0
    assert aegis_fl.privacy.rounds([gaussian(0.1, 1.0, 1)], epsilon=0.1, delta=1e-9).spent is None


@pytest.mark.parametrize("event", [laplace(1.0, 300, rate=0.02), skellam(1.0, 0.02, 300)])
def test_samples_amplify_laplace_and_skellam_noise_too(event: dict[str, Any]) -> None:
    budget, delta = 1.0, 1e-5
    for sampled in (event, fixed_size(event)):
        everybody = {**sampled, "sampling": {"kind": "none"}}
        cost = aegis_fl.privacy.epsilon([sampled], delta).epsilon
        assert cost < 0.2 * aegis_fl.privacy.epsilon([everybody], delta).epsilon
        found = aegis_fl.privacy.sigma([sampled], epsilon=budget, delta=delta)
        assert found.spent.epsilon <= budget
        with_it = {**sampled, "noise-multiplier": found.noise_multiplier, "count": 1}
        assert aegis_fl.privacy.rounds([with_it], epsilon=budget, delta=delta).rounds >= 300


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"mechanism": "magic"}, "mechanism"),
        ({"noise-multiplier": float("nan")}, "not JSON"),
        ({"noise-multiplier": 0}, "noise-multiplier"),
        ({"sampling": {"kind": "poisson", "rate": 1.5}}, "sampling.rate"),
        ({"count": 1.5}, "count"),
        ({"sampling": {"kind": "without-replacement", "rate": 0.1}}, "relation"),
        ({"mechanism": "tree", "steps": 5, "relation": "zero-out"}, "sampling"),
    ],
)
def test_what_has_no_accounting_is_refused_by_its_field(event: dict[str, Any], told: str) -> None:
    with pytest.raises(AccountingRefused, match=told) as caught:
        aegis_fl.privacy.epsilon([{**gaussian(1.0, 0.01, 1), **event}], 1e-5)
    assert caught.value.code == "PRIVACY_EVENT"


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, float("nan")])
def test_a_delta_that_promises_nothing_is_refused(delta: float) -> None:
    for events in ([gaussian(1.0, 1.0, 1)], [gaussian(1.0, 0.01, 1)]):
        with pytest.raises(AccountingRefused, match="delta"):
            aegis_fl.privacy.epsilon(events, delta)
