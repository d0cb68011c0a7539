"""Stock start_numpy_client processes share rounds with a SuperNode, where operator and plan let them in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.aegis import Aegis
from harness.flwr_cli import FlwrCli
from harness.processes import Process, environment, wait_until
from harness.releases import APPS, Release
from harness.supernode import Server, SuperNode

APP = APPS / "legacy_numpy"
ROUNDS = 2
SCRIPT = Path(__file__).parent / "harness" / "join_client.py"


class JoinClient(Process):
    def __init__(self, release: Release, server: Server, folder: Path, partition: int) -> None:
        name = f"join-{partition}-{release}"
        command = [release.program("python"), str(SCRIPT), server.address, str(server.ca), str(partition)]
        super().__init__(name, command, folder / f"{name}.log", environment(folder / name, PYTHONPATH=str(APP)))


@pytest.fixture(scope="module")
def open_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aegis]:
    suite = Aegis(tmp_path_factory.mktemp("join") / "aegis", "--enrolment", "open", "--join")
    yield suite
    suite.stop()


def test_clients_of_two_releases_and_a_supernode_train_the_model_that_plain_numpy_gives(open_suite, tmp_path, releases) -> None:
    oldest, newest = releases[0], releases[-1]
    node = SuperNode(newest, open_suite.server, tmp_path, 0, 3)
    clients = [JoinClient(oldest, open_suite.server, tmp_path, 1), JoinClient(newest, open_suite.server, tmp_path, 2)]
    everybody = (node, *clients)
    try:
        wait_until(lambda: len(open_suite.online()) == 3, 120, "a SuperNode and two clients online", everybody)
        assert sorted(kind["dialect"] for kind in open_suite.nodes()) == ["http", "join", "join"]
        open_suite.import_app(APP, newest)
        cli = FlwrCli(newest, open_suite.server, tmp_path)

        alone = cli.run(APP, "num-server-rounds=1 min-available-nodes=1 min-train-nodes=1 min-evaluate-nodes=1")
        log = cli.log(alone, stream=True)
        assert cli.status(alone) == "finished:completed", log
        assert open_suite.run(alone)["history"][0]["cohort"] == 1
        assert not any("Received" in client.output for client in clients)

        sizes = "min-available-nodes=3 min-train-nodes=3 min-evaluate-nodes=3"
        shared = cli.run(APP, f"num-server-rounds={ROUNDS} aegis.join=true {sizes}")
        log = cli.log(shared, stream=True)
        assert cli.status(shared) == "finished:completed", "\n".join([log, *(process.tail() for process in everybody)])
        for summary in open_suite.run(shared)["history"]:
            assert (summary["cohort"], summary["accepted"], summary["evaluated"]) == (3, 3, 3)
        model = open_suite.model(shared, ROUNDS)
        for name, wanted in federated_by_hand().items():
            np.testing.assert_allclose(model[name], wanted, rtol=0, atol=1e-6)

        # as Flower's own server does, we send them home when their run is over
        wait_until(lambda: not any(client.alive for client in clients), 90, "the clients to end by themselves")
        assert [client.child.returncode for client in clients] == [0, 0]
    finally:
        for process in everybody:
            process.stop()


def test_a_client_where_join_is_off_reads_why(aegis, tmp_path, release) -> None:
    client = JoinClient(release, aegis.server, tmp_path, 0)
    try:
        wait_until(lambda: not client.alive, 120, "the client to end")
    finally:
        client.stop()
    assert client.child.returncode != 0
    assert "UNIMPLEMENTED" in client.output and "join: true" in client.output


def federated_by_hand() -> dict[str, np.ndarray]:
    """FedAvg without any network: what the three compute, and the mean by number of examples."""
    sys.path.insert(0, str(APP))
    try:
        from legacy_numpy.task import load, step
    finally:
        sys.path.remove(str(APP))
    weights, bias = np.zeros(3, np.float32), np.zeros((), np.float32)
    for _ in range(ROUNDS):
        updates, counts = [], []
        for part in range(3):
            x, y = load(part, 20 + 10 * part)
            w, b = weights, bias
            for _ in range(5):
                w, b = step(w, b, x, y, 0.1)
            updates.append((w, b))
            counts.append(len(x))
        weights = np.average([w for w, _ in updates], axis=0, weights=counts).astype(np.float32)
        bias = np.average([b for _, b in updates], axis=0, weights=counts).astype(np.float32)
    return {"0": weights, "1": bias}
