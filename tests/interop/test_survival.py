"""A server that dies in the middle of a run is a pause, not an end: stock nodes come back and the model is the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.aegis import Aegis
from harness.flwr_cli import FlwrCli
from harness.processes import wait_until
from harness.releases import APPS
from harness.supernode import SuperNode
from test_results import assert_reference


@pytest.fixture
def mortal(tmp_path) -> Iterator[Aegis]:
    suite = Aegis(tmp_path / "mortal", "--enrolment", "open")
    yield suite
    suite.stop()


def test_run_goes_on_in_the_same_round_after_the_whole_suite_was_killed(mortal, releases, tmp_path) -> None:
    oldest, newest = releases[0], releases[-1]
    nodes = [SuperNode(release, mortal.server, tmp_path, i, 2) for i, release in enumerate((oldest, newest))]
    try:
        wait_until(lambda: len(mortal.online()) == 2, 60, "both nodes online", tuple(nodes))
        mortal.import_app(APPS / "fedavg_msg", newest)
        run_id = FlwrCli(newest, mortal.server, tmp_path).run(APPS / "fedavg_msg")
        wait_until(lambda: any(f"[RUN {run_id}" in node.output for node in nodes), 60, "the nodes to be at work", tuple(nodes))

        mortal.kill_and_start_again()
        wait_until(lambda: len(mortal.run(run_id)["history"]) >= 1, 120, "the first round", tuple(nodes))
        mortal.kill_and_start_again()

        wait_until(lambda: mortal.run(run_id)["status"] == "finished", 180, "the run to finish", tuple(nodes))
        assert mortal.run(run_id)["subStatus"] == "completed"
        assert_reference(mortal.model(run_id, 1), "fedavg_msg", 1)
        assert_reference(mortal.model(run_id, 2), "fedavg_msg", 2)
    finally:
        for node in nodes:
            node.stop()
