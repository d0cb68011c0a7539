"""Nodes that speak different dialects train one model, with two ordinary Flower apps."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from harness.flwr_cli import FlwrCli
from harness.releases import EXAMPLES

ROUNDS = 2


@pytest.fixture
def members(releases):
    """One node of each release; the apps want two at least."""
    return releases if len(releases) > 1 else releases * 2


@pytest.fixture
def digits():
    sys.path.insert(0, str(EXAMPLES / "digits-numpy"))
    try:
        from digits_numpy import task

        yield task
    finally:
        sys.path.remove(str(EXAMPLES / "digits-numpy"))


def test_ordinary_message_app_gives_the_model_that_plain_numpy_gives(aegis, cohort, folder, releases, members, digits) -> None:
    cohort.be(members)
    imported = aegis.import_app(EXAMPLES / "digits-numpy", releases[-1])
    cli = FlwrCli(releases[-1], aegis.server, folder)

    run_id = cli.run(EXAMPLES / "digits-numpy", f"num-server-rounds={ROUNDS}")
    log = cli.log(run_id, stream=True)

    assert cli.status(run_id) == "finished:completed", log
    assert imported["plan"]["left-out"] == ["evaluate_fn (on_held_out): central evaluation on the server"]
    last = aegis.run(run_id)["history"][-1]
    assert (last["round"], last["cohort"], last["accepted"]) == (ROUNDS, len(members), len(members))
    assert 0 < last["evaluateMetrics"]["accuracy"] <= 1
    expected = federated_by_hand(digits, nodes=len(members), rounds=ROUNDS)
    model = aegis.model(run_id, ROUNDS)
    assert list(model) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(model[name], array, rtol=0, atol=1e-5)


def test_ordinary_legacy_app_trains_from_its_own_first_model(aegis, cohort, folder, releases, members) -> None:
    cohort.be(members)
    aegis.import_app(EXAMPLES / "digits-sklearn", releases[0])
    cli = FlwrCli(releases[0], aegis.server, folder)

    run_id = cli.run(EXAMPLES / "digits-sklearn", "num-server-rounds=1")
    log = cli.log(run_id, stream=True)

    assert cli.status(run_id) == "finished:completed", log
    (only,) = aegis.run(run_id)["history"]
    assert (only["cohort"], only["accepted"]) == (len(members), len(members))
    assert only["evaluateMetrics"]["accuracy"] > 0.5
    model = aegis.model(run_id, 1)
    assert [(name, array.shape) for name, array in model.items()] == [("0", (10, 64)), ("1", (10,))]


def federated_by_hand(task, nodes: int, rounds: int):
    """FedAvg without any network: what the nodes compute, and the mean by number of examples."""
    arrays = task.initial_arrays()
    for number in range(1, rounds + 1):
        updates, weights = [], []
        for i in range(nodes):
            (x, y), _ = task.node_data(i, nodes)
            updates.append(task.train(arrays, x, y, epochs=8, learning_rate=0.3, seed=number))
            weights.append(len(x))
        arrays = {
            name: np.average([update[name] for update in updates], axis=0, weights=weights).astype(np.float32) for name in arrays
        }
    return arrays
