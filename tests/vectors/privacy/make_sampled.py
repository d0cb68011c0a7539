"""Writes sampled.json beside this file: what sampled Laplace and Skellam noise costs, by quadrature and sums of 30 digits, and dp-accounting's brackets.

    $(scripts/flwr-venv.sh 1.41.0 dp-accounting==0.6.0)/python tests/vectors/privacy/make_sampled.py

No formula of ours is used: every divergence is that of the two output distributions themselves, in both directions of add-or-remove-one, and for samples
of fixed size that of three distributions (without the unit, with one value of it, with another). `bound` repeats the formulas of docs/privacy-events.md, in mpmath.
"""

import json
from itertools import pairwise
from pathlib import Path

from dp_accounting.pld import privacy_loss_distribution as pld
from mpmath import binomial, exp, expm1, inf, log, mp, mpf, quad, sqrt

mp.dps = 30
ORDERS = [1.1, 1.5, 2, 3.25, 8, 20, 64]
WHOLE = [2, 3, 8, 20, 64]


def divergence(moment, order):
    return float(log(moment) / (order - 1))


# --- Laplace: densities of scale b around a centre, integrated between the kinks


def laplace(b, centre):
    return lambda z: exp(-abs(z - centre) / b) / (2 * b)


def mixed(rate, common, other):
    return lambda z: (1 - rate) * common(z) + rate * other(z)


def moment(p, q, order, kinks):
    """E_q[(p/q)^order]; beyond the kinks the ratio is constant."""
    inner = sum(quad(lambda z: p(z) ** order * q(z) ** (1 - order), [low, (low + high) / 2, high]) for low, high in pairwise(kinks))
    outer = sum(quad(lambda z: p(z) ** order * q(z) ** (1 - order), ends) for ends in ([-inf, kinks[0]], [kinks[-1], inf]))
    return inner + outer


def poisson_laplace(rate, b):
    rate, b = mpf(rate), mpf(b)
    base, shifted = laplace(b, mpf(0)), laplace(b, mpf(1))
    sampled = mixed(rate, base, shifted)
    return {
        "q": float(rate), "b": float(b), "orders": ORDERS,
        "removed": [divergence(moment(sampled, base, mpf(order), [0, 1]), order) for order in ORDERS],
        "added": [divergence(moment(base, sampled, mpf(order), [0, 1]), order) for order in ORDERS],
    }


def fixed_laplace(rate, b):
    """`noise` is the scale over one unit's bound: the values +1 and −1 are 2 apart, and what stands in for the unit may lie at either, or between."""
    rate, b = mpf(rate), mpf(b)
    with_one, with_other = laplace(b, mpf(1)), laplace(b, mpf(-1))

    def worst(order):
        commons = [mpf(-1), mpf(0), mpf(1)]
        pairs = ((mixed(rate, laplace(b, at), with_one), mixed(rate, laplace(b, at), with_other)) for at in commons)
        return max(moment(p, q, mpf(order), [-1, 0, 1]) for p, q in pairs)

    def bound(order):
        """The symmetric pair whose losses above 0 are those of the Poisson mixture at distance 2."""
        order, top = mpf(order), 2 / b

        def excess(x):
            a = 1 + rate * expm1(x)
            return (a ** (order - 1) - 1) * (a - a ** (1 - order))

        inner = quad(lambda x: exp(-(x + top) / 2) / 4 * excess(x), [0, top / 2, top])
        return 1 + inner + exp(-top) / 2 * excess(top)

    return {
        "q": float(rate), "noise": float(b), "orders": ORDERS,
        "true": [divergence(worst(order), order) for order in ORDERS],
        "bound": [divergence(bound(order), order) for order in ORDERS],
    }


# --- Skellam: e^−μ·I_k(μ), by the recurrence from above


def skellam(variance, reach):
    mu, start = mpf(variance), 2 * reach + 200
    values = [mpf(0)] * (start + 2)
    values[start] = mpf(10) ** -300
    for k in range(start, 0, -1):
        values[k - 1] = values[k + 1] + 2 * k / mu * values[k]
    total = values[0] + 2 * sum(values[1:])
    values = [value / total for value in values]
    return lambda k: values[abs(k)]


def lattice_moment(p, q, order, reach):
    return sum(p(k) ** order * q(k) ** (1 - order) for k in range(-reach, reach + 1))


def unsampled_bound(order, variance, l1, l2):
    first = min(((2 * order - 1) * l2**2 + 6 * l1) / (4 * variance**2), 3 * l1 / (2 * variance))
    return (order - 1) * (order * l2**2 / (2 * variance) + first)


def series(rate, order, variance, l1, l2):
    terms = (
        binomial(order, k) * (1 - rate) ** (order - k) * rate**k * expm1(unsampled_bound(k, variance, l1, l2))
        for k in range(2, order + 1)
    )
    return sum(terms)


def sampled_skellam(rate, variance, shift):
    """One coordinate of sensitivity `shift`; for samples of fixed size the two values are 2·shift apart."""
    rate, variance = mpf(rate), mpf(variance)
    reach = int(20 * sqrt(variance)) + 2 * shift * max(WHOLE) + 40
    noise = skellam(variance, reach + 2 * shift)
    far = 2 * shift

    def around(centre):
        return lambda k: noise(k - centre)

    sampled = mixed(rate, noise, around(shift))
    fixed = []
    for order in WHOLE:
        pairs = ((mixed(rate, around(at), around(shift)), mixed(rate, around(at), around(-shift))) for at in (-shift, 0, shift))
        fixed.append(divergence(max(lattice_moment(p, q, order, reach) for p, q in pairs), order))
    amplified = [2 * (2 - rate) * series(rate, order, variance, far, far) for order in WHOLE]
    convex = [rate * expm1(unsampled_bound(order, variance, far, far)) for order in WHOLE]
    return {
        "q": float(rate), "variance": float(variance), "shift": shift, "orders": WHOLE,
        "removed": [divergence(lattice_moment(sampled, noise, order, reach), order) for order in WHOLE],
        "added": [divergence(lattice_moment(noise, sampled, order, reach), order) for order in WHOLE],
        "poisson_bound": [divergence(1 + series(rate, order, variance, shift, shift), order) for order in WHOLE],
        "fixed": fixed,
        "fixed_bound": [divergence(1 + min(both), order) for order, *both in zip(WHOLE, amplified, convex, strict=True)],
    }


# --- dp-accounting


def bracket(rate, b, count, delta):
    def epsilon(pessimistic):
        one = pld.from_laplace_mechanism(
            b, sampling_prob=rate, value_discretization_interval=1e-4,
            pessimistic_estimate=pessimistic, use_connect_dots=pessimistic,
        )
        return one.self_compose(count).get_epsilon_for_delta(delta)

    return {"q": rate, "b": b, "count": count, "delta": delta, "optimistic": epsilon(False), "pessimistic": epsilon(True)}


tables = {
    "made_with": "tests/vectors/privacy/make_sampled.py: mpmath at 30 digits; epsilon: dp-accounting 0.6.0, steps of 1e-4",
    "poisson_laplace": [poisson_laplace(*row) for row in [("1e-6", 1), (0.001, 0.5), (0.01, 1), (0.1, 10), (0.3, 0.2), (0.5, 50), (0.99, 2)]],
    "fixed_laplace": [fixed_laplace(*row) for row in [("1e-6", 2), (0.01, 1), (0.05, 4), (0.3, 20), (0.5, 0.7), (0.99, 4)]],
    "skellam": [sampled_skellam(*row) for row in [("1e-4", 4, 1), (0.01, 100, 3), (0.05, 400, 1), (0.2, 64, 8), (0.5, 25, 2), (0.95, 900, 20)]],
    "epsilon": [
        bracket(*row)
        for row in [
            (1e-4, 1.0, 1000, 1e-6), (0.001, 0.5, 100, 1e-9), (0.01, 1.0, 1, 1e-5), (0.01, 1.0, 1000, 1e-5), (0.01, 0.3, 500, 1e-6),
            (0.05, 5.0, 2000, 1e-5), (0.1, 2.0, 50, 1e-8), (0.1, 20.0, 10_000, 1e-6), (0.3, 0.7, 10, 1e-5), (0.5, 1.0, 3, 1e-10),
            (0.5, 3.0, 100, 1e-5), (0.9, 10.0, 1000, 1e-7), (0.999, 1.0, 20, 1e-5),
        ]
    ],
}
Path(__file__).with_name("sampled.json").write_text(json.dumps(tables, indent=1) + "\n")
