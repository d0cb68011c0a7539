"""A client with nothing but HTTP, in one round with a SuperNode."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from harness.aegis import Aegis
from harness.flwr_cli import FlwrCli
from harness.processes import Process, environment, wait_until
from harness.releases import EXAMPLES, Release
from harness.supernode import SuperNode

EXAMPLE = EXAMPLES / "rest-client" / "train.py"


def test_requests_and_numpy_alone_train_in_one_round_with_a_supernode(
    releases: list[Release], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = releases[-1]
    monkeypatch.syspath_prepend(str(EXAMPLES / "digits-numpy"))
    from digits_numpy import task

    (x, labels), _ = task.node_data(1, 2)
    y = np.eye(10, dtype=np.float32)[labels]
    np.savez(tmp_path / "data.npz", x=x, y=y)
    aegis = Aegis(tmp_path / "aegis", "--enrolment", "open")
    started: list[Process] = []
    try:
        started.append(SuperNode(newest, aegis.server, tmp_path, 0, 2))
        arguments = [f"https://{aegis.server.address}", str(aegis.server.ca), "data.npz"]
        command = [newest.program("python"), str(EXAMPLE), *arguments]
        client = Process("rest-client", command, tmp_path / "rest-client.log", environment(tmp_path / "home"), cwd=tmp_path)
        started.append(client)
        aegis.import_app(EXAMPLES / "digits-numpy", newest)
        wait_until(lambda: len(aegis.online()) == 2, 60, "both nodes online", tuple(started))
        cli = FlwrCli(newest, aegis.server, tmp_path)

        run_id = cli.run(EXAMPLES / "digits-numpy", "num-server-rounds=1")
        log = cli.log(run_id, stream=True)

        run = aegis.run(run_id)
        assert (run["status"], run["subStatus"]) == ("finished", "completed"), log + client.tail()
        (only,) = run["history"]
        assert (only["cohort"], only["accepted"], only["dropped"]) == (2, 2, 0), log + client.tail()
        wait_until(lambda: "evaluate accepted" in client.output, 30, "both verdicts", (client,))
        assert "train accepted" in client.output

        (first_x, first_y), _ = task.node_data(0, 2)
        theirs = task.train(task.initial_arrays(), first_x, first_y, epochs=8, learning_rate=0.3, seed=1)
        mine, said = runpy.run_path(str(EXAMPLE))["work"](task.initial_arrays(), x, y, 100, 0.3)
        model = aegis.model(run_id, 1)
        for name, array in mine.items():
            expected = np.average([theirs[name], array], axis=0, weights=[len(first_x), said["numExamples"]])
            np.testing.assert_allclose(model[name], expected, rtol=0, atol=1e-5)
    finally:
        for process in reversed(started):
            process.stop()
        aegis.stop()
