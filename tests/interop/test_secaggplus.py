"""An app with Flower's own SecAgg+, unmodified, on stock SuperNodes of every release: trained natively, with one killed in the middle."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from harness.aegis import Aegis
from harness.flwr_cli import FlwrCli
from harness.processes import wait_until
from harness.releases import APPS
from harness.supernode import SuperNode

APP = APPS / "secagg_numpy"


def mean(start: tuple[np.ndarray, np.ndarray], partitions: range) -> tuple[np.ndarray, np.ndarray]:
    """What a round without masks would make of it."""
    sys.path.insert(0, str(APP))
    try:
        from secagg_numpy.task import load, step
    finally:
        sys.path.pop(0)
    made, weights = [], []
    for partition in partitions:
        (w, b), (x, y) = start, load(partition, 20 + 10 * partition)
        for _ in range(5):
            w, b = step(w, b, x, y, 0.1)
        made.append((w, b))
        weights.append(len(x))
    w, b = (np.average(np.stack(values), axis=0, weights=weights).astype(np.float32) for values in zip(*made, strict=True))
    return w, b


def assert_close(model: dict[str, np.ndarray], expected: tuple[np.ndarray, np.ndarray]) -> None:
    """One step of the grid a node, over the share of the greatest weight that they have together; arrays without dimensions alike."""
    for name, wanted in zip(("0", "1"), expected, strict=True):
        assert model[name].dtype == np.float32 and model[name].shape == wanted.shape
        np.testing.assert_allclose(model[name], wanted, rtol=0, atol=1e-4)


def test_every_release_is_in_the_sum_and_a_node_killed_at_work_is_not(releases, tmp_path: Path) -> None:
    suite = Aegis(tmp_path / "suite", "--enrolment", "open")
    oldest, newest = releases[0], releases[-1]
    cast = [*releases, *[newest] * (3 - len(releases)), oldest]
    nodes = [SuperNode(release, suite.server, tmp_path, at, len(cast)) for at, release in enumerate(cast)]
    try:
        wait_until(lambda: len(suite.online()) == len(cast), 90, f"{len(cast)} nodes online", tuple(nodes))
        suite.import_app(APP, newest)
        cli, held = FlwrCli(newest, suite.server, tmp_path), tmp_path / "held"
        run_id = cli.run(APP, f'hold="{held}" aegis.selection.deadline=60')
        victim = nodes[3]
        wait_until(lambda: held.exists() or suite.run(run_id)["status"] == "finished", 120, "the node to be at work", tuple(nodes))
        victim.kill()
        wait_until(lambda: suite.run(run_id)["status"] == "finished", 240, "the run to finish", (suite.process,))

        log = cli.log(run_id, stream=True)
        shown = suite.run(run_id)
        assert shown["subStatus"] == "completed", log
        assert "SecAgg+ keeps updates from being seen by accident, not from somebody who looks" in log
        assert any("32 bits" in limit for limit in shown["masking"]["limits"]), shown
        first, second = shown["history"]
        partitions = range(3)
        assert (first["cohort"], first["accepted"], first["dropped"]) == (4, 3, 1), log
        assert (first["masking"]["shared"], first["masking"]["delivered"]) == (4, 3), first
        assert (second["cohort"], second["accepted"]) == (3, 3), log
        zeros = np.zeros(3, np.float32), np.zeros((), np.float32)
        one = mean(zeros, partitions)
        assert_close(suite.model(run_id, 1), one)
        assert_close(suite.model(run_id, 2), mean(one, partitions))
        assert first["trainMetrics"]["train_loss"] > 0 and second["evaluateMetrics"]["loss"] > 0
    finally:
        for node in nodes:
            node.stop()
        suite.stop()
