"""The Python client without Flower, through the real door: beside SuperNodes in one round, through a crash, and refused."""

from __future__ import annotations

import os
import runpy
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.aegis import Aegis
from harness.flwr_cli import FlwrCli
from harness.keys import make_key
from harness.processes import Process, environment, wait_until
from harness.releases import APPS, EXAMPLES, ROOT, Release
from harness.wire import Wire

sys.path.insert(0, str(ROOT / "clients" / "python" / "aegis_fl" / "src"))
import aegis_fl  # noqa: E402

# The oldest environment there is brings the oldest protobuf; this process has the newest.
OLDEST = Release.of("1.22.0")
EXAMPLE = EXAMPLES / "python-client" / "train.py"


class ExampleClient(Process):
    """The example as its reader starts it. Its key is `node.key` in its folder."""

    def __init__(self, aegis: Aegis, folder: Path, share: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        ca = str(aegis.server.ca)
        command = [OLDEST.program("python"), str(EXAMPLE), aegis.server.address, ca, share]
        env = environment(folder, PYTHONPATH=os.path.dirname(os.path.dirname(aegis_fl.__file__)), PYTHONDONTWRITEBYTECODE="1")
        super().__init__("python-client", command, folder / "python-client.log", env, cwd=folder)


def test_forty_lines_without_flower_train_in_one_round_with_supernodes_of_all_dialects(
    aegis, cohort, folder, releases, monkeypatch
) -> None:
    newest, home = releases[-1], folder / "python-client"
    stranger = aegis_fl.Client(aegis.server.address, root_certificates=aegis.server.ca, key=home / "node.key")
    stranger.evaluate(lambda model, config: {})
    with pytest.raises(aegis_fl.NotEnrolled, match=r"aegis nodes approve .*node\.key\.pub \[NODE_KEY_UNKNOWN\]"):
        stranger.run()
    supernodes = cohort.be(releases if len(releases) > 1 else releases * 2)
    aegis.json("nodes", "approve", str(home / "node.key.pub"))
    client = ExampleClient(aegis, home, "2/3")
    try:
        aegis.import_app(EXAMPLES / "digits-numpy", newest)
        everybody = len(supernodes) + 1
        wait_until(lambda: len(aegis.online()) == everybody, 60, "all nodes online", (client, *supernodes))
        cli = FlwrCli(newest, aegis.server, folder)

        run_id = cli.run(EXAMPLES / "digits-numpy", "num-server-rounds=1")
        log = cli.log(run_id, stream=True)

        run = aegis.run(run_id)
        assert (run["status"], run["subStatus"]) == ("finished", "completed"), log + client.tail()
        (only,) = run["history"]
        assert (only["round"], only["cohort"], only["accepted"], only["dropped"]) == (1, everybody, everybody, 0)
        assert {"accuracy", "loss"} <= set(only["trainMetrics"]) & set(only["evaluateMetrics"])
        model = aegis.model(run_id, 1)
        for name, array in by_hand(monkeypatch, home, str(aegis.server.ca), len(supernodes)).items():
            np.testing.assert_allclose(model[name], array, rtol=0, atol=1e-5)
        wait_until(lambda: "evaluate accepted" in client.output, 60, "both verdicts", (client,))
        assert "round 1: train accepted" in client.output
    finally:
        client.stop()
    assert len(aegis.online()) == len(supernodes), "a client that is told to end says goodbye"


def by_hand(monkeypatch: pytest.MonkeyPatch, home: Path, ca: str, supernodes: int) -> dict[str, np.ndarray]:
    """The mean by number of examples, of what all of them compute without any network."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "digits-numpy"))
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "argv", ["train.py", "127.0.0.1:1", ca, "2/3"])
    from digits_numpy import task

    updates, weights = [], []
    for i in range(supernodes):
        (x, y), _ = task.node_data(i, supernodes)
        updates.append(task.train(task.initial_arrays(), x, y, epochs=8, learning_rate=0.3, seed=1))
        weights.append(len(x))
    example = runpy.run_path(str(EXAMPLE))
    mine, metrics = example["train"](task.initial_arrays(), {"learning-rate": 0.3})
    return {
        name: np.average([*(update[name] for update in updates), mine[name]], axis=0, weights=[*weights, metrics["num_examples"]])
        for name in mine
    }


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aegis]:
    suite = Aegis(tmp_path_factory.mktemp("native") / "mortal", "--enrolment", "open")
    yield suite
    suite.stop()


@pytest.fixture(scope="module")
def start_run(mortal, releases, tmp_path_factory):
    """Starts a run of the wide app, whose only node is a native client."""
    mortal.import_app(APPS / "wide_msg", releases[-1])
    cli = FlwrCli(releases[-1], mortal.server, tmp_path_factory.mktemp("cli"))
    return lambda: cli.run(APPS / "wide_msg")


class Running:
    """A client at work in a thread."""

    def __init__(self, client: aegis_fl.Client, **options) -> None:
        self.client, self.outcomes, self.error = client, [], None
        self._thread = threading.Thread(target=self._run, args=(options,), daemon=True)
        self._thread.start()

    def _run(self, options) -> None:
        try:
            self.outcomes = self.client.run(**options)
        except Exception as error:
            self.error = error

    @property
    def has_ended(self) -> bool:
        return not self._thread.is_alive()


def test_client_goes_on_with_the_missing_parts_after_the_server_was_killed_in_the_middle_of_its_upload(mortal, start_run) -> None:
    wire = Wire(mortal.server.address)
    client = aegis_fl.Client(wire.address, root_certificates=mortal.server.ca)
    calls = []

    @client.train
    def train(model, config):
        calls.append(config.round)
        random = np.random.default_rng(9)
        answer = {name: random.standard_normal(array.shape).astype(array.dtype) for name, array in model.items()}
        wire.block_after(9_000_000)  # of 16.8 MB
        return answer, {"num_examples": 10}

    running = Running(client, rounds=1)
    try:
        wait_until(mortal.online, 60, "the client online")
        run_id = start_run()
        assert wire.blocked.wait(60), "the upload did not begin"

        mortal.kill_and_start_again()
        wire.open()
        before = wire.carried
        wait_until(lambda: running.has_ended, 60, "the verdict")

        assert running.error is None and [outcome.accepted for outcome in running.outcomes] == [True]
        assert calls == [1], "trained once"
        assert wire.carried - before < 12_000_000, "what was stored is not sent again"
        wait_until(lambda: mortal.run(run_id)["status"] == "finished", 60, "the run to finish")
        model, random = mortal.model(run_id, 1), np.random.default_rng(9)
        for array in model.values():
            np.testing.assert_array_equal(array, random.standard_normal(array.shape).astype(array.dtype))
    finally:
        client.stop()
        wire.close()


def test_update_that_is_not_finite_is_refused_readably_and_the_client_goes_on(mortal, start_run) -> None:
    client = aegis_fl.Client(mortal.server.address, root_certificates=mortal.server.ca)
    calls = []

    @client.train
    def train(model, config):
        calls.append(config.run_id)
        if len(calls) == 1:
            model["b"][1] = np.nan
        return model, {"num_examples": 10}

    running = Running(client, on_error="continue", rounds=2)
    try:
        wait_until(mortal.online, 60, "the client online")
        run_id = start_run()
        wait_until(lambda: running.has_ended, 60, "the second training")
        wait_until(lambda: mortal.run(run_id)["status"] == "finished", 60, "the run to finish")
    finally:
        client.stop()

    # The round still waits for a node, so the same one is asked once more.
    refused, accepted = running.outcomes
    assert calls == [run_id, run_id]
    assert (refused.accepted, refused.code) == (False, "UPDATE_NOT_FINITE") and "tensor b" in refused.detail
    assert accepted.accepted


def test_two_clients_with_one_key_do_not_throw_each_other_out_for_ever(mortal, tmp_path) -> None:
    key = make_key(tmp_path, "node").private
    options = SimpleNamespace(root_certificates=mortal.server.ca, key=key)
    first, second = (aegis_fl.Client(mortal.server.address, **vars(options)) for _ in range(2))
    for client in (first, second):
        client.evaluate(lambda model, config: {})
    older = Running(first)
    wait_until(mortal.online, 60, "the first client online")
    newer = Running(second)
    try:
        wait_until(lambda: older.has_ended, 60, "the older client to give way")
        assert isinstance(older.error, aegis_fl.KeyInUse) and not newer.has_ended
    finally:
        second.stop()
    wait_until(lambda: newer.has_ended, 60, "the newer client to leave")
    wait_until(lambda: not mortal.online(), 60, "the node to be offline at once")
