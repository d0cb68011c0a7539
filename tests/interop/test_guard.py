"""Stock SuperNodes behind guards, in one round with a bare one; an owner who forbids the app, one who wants it signed; a guard killed."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.aegis import Aegis
from harness.flwr_cli import FlwrCli
from harness.guard import Authority, Guard, Signer
from harness.processes import wait_until
from harness.releases import APPS, Release
from harness.supernode import SuperNode

POLICY = 'apps: [aegis/fedavg-msg]\nmetrics: [{name: train_loss, min: 0, max: 1000000}]\n'


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder / "authority")


@pytest.fixture(scope="module")
def guarded(folder: Path, authority: Authority) -> Iterator[Aegis]:
    """A suite of its own: nodes may show a certificate, and are bound to it."""
    asks = ("--client-certificates", "accept", "--client-ca", str(authority.root), "--client-crl", str(authority.crl))
    suite = Aegis(folder / "guarded", "--enrolment", "open", *asks)
    yield suite
    suite.stop()


@pytest.fixture(scope="module")
def app(folder: Path) -> Path:
    """Under a name that `flwr build` takes."""
    return shutil.copytree(APPS / "fedavg_msg", folder / "fedavg-msg", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture(scope="module")
def signer(folder: Path) -> Signer:
    return Signer(folder, "board")


@pytest.fixture(scope="module")
def guards(folder: Path, guarded: Aegis, authority: Authority, signer: Signer, releases: list[Release]) -> Iterator[list[Guard]]:
    """A guard before each release whose owner allows the app, the last only when it is signed, and one whose owner does not."""
    signed = f"{POLICY}require-signed-app: true\ntrusted-entities: {signer.trusted}\n"
    policies = [POLICY] * (len(releases) - 1) + [signed, "apps: [aegis/another-app]\n"]
    there = [
        Guard(release, guarded.server, authority, folder / f"guard-{at}", f"owner-{at}", at, len(policies) + 1, policy)
        for at, (release, policy) in enumerate(zip([*releases, releases[-1]], policies, strict=True))
    ]
    yield there
    with ThreadPoolExecutor() as pool:
        list(pool.map(Guard.stop, there))


@pytest.fixture(scope="module")
def nodes(folder, guarded, guards, signer, app, releases) -> Iterator[list[Guard | SuperNode]]:
    """The guards, and a bare SuperNode, which by itself runs only what is signed."""
    count = len(guards) + 1
    bare = SuperNode(releases[-1], guarded.server, folder / "bare", count - 1, count, more=("--trusted-entities", str(signer.trusted)))
    guarded.import_app(app, releases[-1])
    signer.sign(guarded, app, releases[-1])
    wait_until(lambda: len(guarded.online()) == count, 90, f"{count} nodes online", (*guards, bare))
    yield [*guards, bare]
    bare.stop()


def test_every_release_behind_a_guard_trains_with_a_bare_node_and_what_an_owner_forbids_stays(guarded, guards, nodes, app, folder, releases) -> None:
    cli = FlwrCli(releases[-1], guarded.server, folder)
    run_id = cli.run(app, "num-server-rounds=1")
    log = cli.log(run_id, stream=True)

    assert cli.status(run_id) == "finished:completed", log
    (only,) = guarded.run(run_id)["history"]
    assert (only["cohort"], only["accepted"]) == (len(nodes), len(nodes) - 1), log
    assert sorted(node["dialect"] for node in guarded.nodes()) == sorted(["guard"] * len(guards) + ["http"])
    *allowing, forbidding = guards
    for guard in allowing:
        (released,) = [line for line in guard.events("answer-released") if line["kind"] == "train"]
        assert (released["tensors"], released["metrics"], released["withheld"]) == (["w", "b"], ["train_loss"], [])
        evaluated = [line for line in guard.events("answer-released") if line["kind"] == "evaluate"]
        assert all((line["tensors"], line["metrics"], line["withheld"]) == ([], [], ["eval_loss"]) for line in evaluated)
    assert allowing[-1].events("offer-allowed")[0]["signedBy"] == ["board"]
    # The operator reads it in the run's log, the owner in the audit file and in words.
    assert "data owner's guard refuses" in log and "(policy: apps)" in log, log
    assert {line["rule"] for line in forbidding.events("offer-refused")} == {"apps"}
    assert forbidding.events("answer-released") == []
    explained = forbidding.explain(run_id)
    assert explained["run"]["appId"] == "aegis/fedavg-msg"
    assert {task["decision"].get("rule") for task in explained["tasks"]} == {"apps"}


def test_guard_and_supernode_killed_after_the_answer_give_no_other_one(guarded, guards, nodes, app, folder, releases) -> None:
    """The server stands still while the answer is written down; the guard is killed, and its SuperNode with it."""
    guard = guards[0]
    online = guarded.online()
    cli = FlwrCli(releases[-1], guarded.server, folder)
    run_id = cli.run(app, "num-server-rounds=1")
    pid = int(guarded.ready["pid"])
    here = lambda event: [line for line in guard.events(event) if line["run"] == str(run_id) and line["kind"] == "train"]  # noqa: E731
    # Later than allowed: the guard reads the model from the server first, and a SuperNode that says this has all it needs.
    wait_until(lambda: here("offer-allowed") and f"[RUN {run_id}" in guard.output, 60, "the SuperNode to have its task", (guard,))
    try:
        os.kill(pid, signal.SIGSTOP)
        # Said once the guard has the answer in its journal; the audit line comes before that, and must.
        wait_until(lambda: "Sent successfully" in guard.output.partition(f"[RUN {run_id}")[2], 60, "the answer", (guard,))
        assert here("answer-released") and not guard.verdicts(here("answer-released")[0]["task"])
        guard.kill()
    finally:
        os.kill(pid, signal.SIGCONT)
    guard.start()
    log = cli.log(run_id, stream=True)

    assert cli.status(run_id) == "finished:completed", log
    (only,) = guarded.run(run_id)["history"]
    assert (only["cohort"], only["accepted"]) == (len(nodes), len(nodes) - 1), log
    assert len(here("answer-released")) == 1
    assert guard.verdicts(here("answer-released")[0]["task"]) == [True]
    wait_until(lambda: guarded.online() == online, 60, "the same nodes online", (guard,))
