"""Stock SuperNodes of every release behind guards, in one masked round: their sum, and nothing else of them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from harness.aegis import Aegis
from harness.flwr_cli import FlwrCli
from harness.guard import Authority, Guard
from harness.processes import wait_until
from harness.releases import APPS, Release

POLICY = """apps: [aegis/fedavg-msg]
metrics: [{name: train_loss, min: 0, max: 100}, {name: eval_loss, min: 0, max: 100}]
require-masking: true
masking: {cohort: 4, survivors: 3}
"""
MASKS = 'aegis.secagg.mode="aegis" aegis.secagg.metrics="train_loss:0:100:train,eval_loss:0:100:evaluate"'


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder / "masking-authority")


@pytest.fixture(scope="module")
def masking(folder: Path, authority: Authority) -> Iterator[Aegis]:
    asks = ("--client-certificates", "accept", "--client-ca", str(authority.root), "--client-crl", str(authority.crl))
    suite = Aegis(folder / "masking", "--enrolment", "open", *asks)
    yield suite
    suite.stop()


@pytest.fixture(scope="module")
def app(folder: Path) -> Path:
    """Under a name that `flwr build` takes."""
    return shutil.copytree(APPS / "fedavg_msg", folder / "masked" / "fedavg-msg", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture(scope="module")
def guards(folder: Path, masking: Aegis, authority: Authority, app: Path, releases: list[Release]) -> Iterator[list[Guard]]:
    """One before each release; a masked cohort has four at least."""
    cast = [*releases, *[releases[-1]] * max(0, 4 - len(releases))]
    there = [
        Guard(release, masking.server, authority, folder / f"masks-{at}", f"masks-{at}", at, len(cast), POLICY, masks=True)
        for at, release in enumerate(cast)
    ]
    masking.import_app(app, releases[-1])
    wait_until(lambda: len(masking.online()) == len(there), 90, f"{len(there)} nodes online", there)
    yield there
    with ThreadPoolExecutor() as pool:
        list(pool.map(Guard.stop, there))


def alone(partition: int) -> tuple[np.ndarray, np.ndarray]:
    """What the app of this node computes in its first round."""
    sys.path.insert(0, str(APPS / "fedavg_msg"))
    try:
        from fedavg_msg.task import load, step
    finally:
        sys.path.pop(0)
    x, y = load(partition, 20 + 10 * partition)
    w, b = np.zeros(3, dtype=np.float32), np.zeros((), dtype=np.float32)
    for _ in range(5):
        w, b = step(w, b, x, y, 0.1)
    return w, b


def test_every_release_is_in_one_masked_sum(masking, guards, app, folder, releases) -> None:
    count = len(guards)
    cli = FlwrCli(releases[-1], masking.server, folder / "masked")
    size = f"num-server-rounds=1 min-train-nodes={count} min-evaluate-nodes={count} min-available-nodes={count}"

    run_id = cli.run(app, f"{size} {MASKS}")
    log = cli.log(run_id, stream=True)

    assert cli.status(run_id) == "finished:completed", log
    (only,) = masking.run(run_id)["history"]
    assert (only["cohort"], only["accepted"]) == (count, count), log
    # All weigh the same, and no value is off by more than a step of the grid.
    model = masking.model(run_id, 1)
    expected = [np.mean(values, axis=0) for values in zip(*map(alone, range(count)), strict=True)]
    for name, wanted in zip(("w", "b"), expected, strict=True):
        np.testing.assert_allclose(model[name], wanted, rtol=0, atol=5e-4)
        assert model[name].dtype == np.float32 and model[name].shape == wanted.shape
    assert 0 <= only["trainMetrics"]["train_loss"] <= 100 and 0 <= only["evaluateMetrics"]["eval_loss"] <= 100
    for guard in guards:
        for kind, tensors, metric in (("train", ["w", "b"], "train_loss"), ("evaluate", [], "eval_loss")):
            (joined,) = [line for line in guard.events("round-joined") if line["kind"] == kind]
            (released,) = [line for line in guard.events("answer-released") if line["kind"] == kind]
            assert joined["nodes"] == count and released["maskedAmong"] >= 3
            assert (released["tensors"], released["metrics"], released["withheld"]) == (tensors, [metric], [])
        assert {(line["survivors"], line["dropped"]) for line in guard.events("sum-opened")} <= {(count, 0)}
        assert guard.events("round-refused") == []
    assert any(guard.events("sum-opened") for guard in guards)
    explained = guards[0].explain(run_id)
    assert explained["masking"]["cohort"] == count
    decisions = {(task["kind"], task["masked"]): task["decision"].get("rule") for task in explained["tasks"]}
    assert decisions[("train", False)] == "require-masking" and decisions[("train", True)] is None, decisions


def test_plan_without_masks_leaves_with_nothing(masking, guards, app, folder, releases) -> None:
    cli = FlwrCli(releases[-1], masking.server, folder / "masked")

    run_id = cli.run(app, "num-server-rounds=1")
    log = cli.log(run_id, stream=True)

    assert cli.status(run_id) != "finished:completed"
    assert "(policy: require-masking)" in log, log
    for guard in guards:
        assert {line["rule"] for line in guard.events("offer-refused")} == {"require-masking"}
        assert not [line for line in guard.events("answer-released") if line["run"] == str(run_id)]
