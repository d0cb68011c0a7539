"""A client with nothing but HTTP, in one round with a SuperNode."""

from __future__ import annotations

import io
import json
import runpy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests

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
        wait_until(lambda: "evaluate accepted" in client.output, 60, "both verdicts", (client,))
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


def quantised(difference: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[dict], dict[str, np.ndarray]]:
    """int8 with a scale for every index of the first axis: the arrays to send, how to say so, and what they stand for."""
    arrays, said, means = {}, [], {}
    for name, array in difference.items():
        rows = np.abs(array).reshape(len(array), -1).max(axis=1)
        scale = np.maximum(rows / 127, 1e-12).astype(np.float32)
        across = scale.reshape(-1, *[1] * (array.ndim - 1)).astype(np.float64)
        q = np.rint(array / across).astype(np.int8)
        arrays |= {f"{name}.q": q, f"{name}.scale": scale}
        said.append({"as": "quantised", "of": "difference", "name": name, "values": f"{name}.q", "scale": f"{name}.scale"})
        means[name] = q.astype(np.float64) * across
    return arrays, said, means


def sparse(difference: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[dict], dict[str, np.ndarray]]:
    """The tenth of all values that changed most."""
    arrays, said, means = {}, [], {}
    for name, array in difference.items():
        flat = array.ravel()
        most = np.sort(np.argsort(-np.abs(flat))[: max(1, flat.size // 10)])
        arrays |= {f"{name}.i": most, f"{name}.v": flat[most]}
        said.append({"as": "sparse", "name": name, "indices": f"{name}.i", "values": f"{name}.v"})
        means[name] = np.zeros(array.shape)
        means[name].ravel()[most] = flat[most]
    return arrays, said, means


def test_sparse_and_quantised_updates_are_folded_as_what_they_stand_for(releases: list[Release], tmp_path: Path) -> None:
    newest = releases[-1]
    example = runpy.run_path(str(EXAMPLE))
    aegis = Aegis(tmp_path / "aegis", "--enrolment", "open")
    server, ca = f"https://{aegis.server.address}", str(aegis.server.ca)

    def work(node, encode, weight: int, expected: dict) -> None:
        while (task := node.call("GET", "/tasks?wait=20").json()["task"])["kind"] != "evaluate":
            model = dict(np.load(io.BytesIO(node.call("GET", f"/model?task={task['taskId']}").content)))
            noise = np.random.default_rng(weight)
            difference = {name: noise.normal(size=array.shape).astype(array.dtype) for name, array in model.items()}
            arrays, said, means = encode(difference)
            expected[weight] = {name: (array + means[name]).astype(np.float32) for name, array in model.items()}
            status = node.answer(task["taskId"], arrays, {"encoded": said, "numExamples": weight, "metrics": {"loss": 1.0}})
            assert status == "accepted"
        node.answer(task["taskId"], {}, {"numExamples": weight, "metrics": {"accuracy": 0.5, "loss": 1.0}})

    expected: dict[int, dict[str, np.ndarray]] = {}
    try:
        nodes = [example["Node"](server, ca) for _ in range(2)]
        aegis.import_app(EXAMPLES / "digits-numpy", newest)
        with ThreadPoolExecutor() as both:
            working = [both.submit(work, *each, expected) for each in zip(nodes, (quantised, sparse), (10, 30), strict=True)]
            cli = FlwrCli(newest, aegis.server, tmp_path)
            run_id = cli.run(EXAMPLES / "digits-numpy", "num-server-rounds=1")
            token = (aegis.state / "operator.token").read_text().strip()
            headers = {"authorization": f"Bearer {token}"}
            with requests.get(f"{server}/api/v1/runs/{run_id}/events", headers=headers, verify=ca, stream=True, timeout=120) as told:
                lines = [json.loads(line[6:]) for line in told.iter_lines(decode_unicode=True) if line.startswith("data: ")]
            for each in working:
                each.result()
        assert (lines[-1]["run"]["status"], lines[-1]["run"]["subStatus"]) == ("finished", "completed")
        assert lines[-1]["run"]["history"][0]["accepted"] == 2
        model = aegis.model(run_id, 1)
        assert set(model) == set(expected[10])
        for name, array in model.items():
            mean = np.average([expected[10][name], expected[30][name]], axis=0, weights=[10, 30])
            np.testing.assert_allclose(array, mean, rtol=0, atol=1e-6)
    finally:
        aegis.stop()
