"""From an invitation to a trained round: a stock SuperNode behind a guard that made its own key, and what a revocation does to it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.aegis import Aegis
from harness.flwr_cli import FlwrCli
from harness.guard import BIN, Authority
from harness.processes import Process, environment, free_port, wait_until
from harness.releases import APPS, Release

POLICY = "apps: [aegis/fedavg-msg]\nmetrics: [{name: train_loss, min: 0, max: 1000000}]\n"


class Federation(Authority):
    """An offline root, and an issuer beside the suite that certifies for a little over a minute."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._aegis("issuer", "edge", "--out", str(folder))
        self.address = f"127.0.0.1:{free_port()}"
        files = ["--certificate", str(folder / "edge.issuer.pem"), "--key", str(folder / "edge.issuer.key")]
        self.command = [str(BIN / "aegis"), "issuer", *files, "--listen", self.address, "--life", "1m", "--state", str(folder / "suite" / "state")]
        self.start()

    def start(self) -> None:
        self.process = Process("issuer", self.command, self.folder / "issuer.log", self.env, cwd=self.folder)
        wait_until(lambda: "The issuer is up" in self.process.output, 60, "the issuer", (self.process,))


@pytest.fixture(scope="module")
def federation(folder: Path) -> Iterator[Federation]:
    made = Federation(folder / "federation")
    yield made
    made.process.stop()


@pytest.fixture(scope="module")
def suite(folder: Path, federation: Federation) -> Iterator[Aegis]:
    asks = ("--client-certificates", "require", "--client-ca", str(federation.root), "--client-crl", str(federation.crl))
    made = Aegis(federation.folder / "suite", "--enrolment", "registered", *asks, "--issuer", federation.address)
    yield made
    made.stop()


class InvitedGuard(Process):
    def __init__(self, release: Release, suite: Aegis, federation: Federation, folder: Path, token: str | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "policy.yaml").write_text(POLICY)
        self.state = folder / "state"
        supernode = Path(release.program("flower-supernode"))
        local = str(free_port())
        command = [
            str(BIN / "aegis"), "guard", "--server", suite.server.address, "--ca", str(suite.server.ca),
            "--federation-root", str(federation.root), *(("--invite", token) if token else ()),
            "--policy", str(folder / "policy.yaml"), "--state", str(self.state), "--",
            str(supernode), "--node-config", "partition-id=0 num-partitions=1",
            release.port_option, f"127.0.0.1:{local}" if release.port_option.endswith("address") else local,
        ]  # fmt: skip
        env = environment(folder / "flwr", PATH=f"{supernode.parent}:{BIN}:{environment(folder)['PATH']}")
        super().__init__("invited-guard", command, folder / f"guard-{local}.log", env, cwd=folder)

    def certificates(self) -> list[str]:
        """How it came by each of its certificates."""
        file = self.state / "audit.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [line["how"] for line in lines if line["event"] == "certificate"]


def test_an_invited_guard_trains_is_renewed_comes_back_without_its_token_and_is_shut_out(
    suite: Aegis, federation: Federation, folder: Path, releases: list[Release]
) -> None:
    newest, home = releases[-1], folder / "invited"
    app = shutil.copytree(APPS / "fedavg_msg", folder / "fedavg-msg-enrolled", ignore=shutil.ignore_patterns("__pycache__"))
    suite.import_app(app, newest)
    token = suite.json("nodes", "invite", "--name", "hospital-a", "--expires", "1h")["token"]
    guard = InvitedGuard(newest, suite, federation, home, token)
    try:
        wait_until(lambda: len(suite.online()) == 1, 60, "the invited guard online", (guard, federation.process))
        assert (home / "state" / "identity" / "node.key").stat().st_mode & 0o777 == 0o600
        (node,) = suite.nodes()
        assert (node["name"], node["certificate"], node["selfRegistered"]) == ("hospital-a", "O=aegis, CN=hospital-a", False)
        assert node["certificateUntil"] is not None

        # Another machine with the same token is nobody.
        thief = InvitedGuard(newest, suite, federation, folder / "thief", token)
        wait_until(lambda: not thief.alive, 60, "the second one to be refused")
        assert "invitation" in thief.output

        cli = FlwrCli(newest, suite.server, folder)
        run_id = cli.run(app, "num-server-rounds=1 min-train-nodes=1 min-available-nodes=1 min-evaluate-nodes=1")
        log = cli.log(run_id, stream=True)
        assert cli.status(run_id) == "finished:completed", log + guard.tail()

        # The issuer away for a moment costs nothing; then the next certificate comes, for the same node.
        federation.process.kill()
        federation.start()
        wait_until(lambda: "renewed" in guard.certificates(), 90, "the certificate renewed", (guard, federation.process))
        assert {int(one["nodeId"]) for one in suite.nodes()} == {int(node["nodeId"])}

        guard.stop()
        guard = InvitedGuard(newest, suite, federation, home, None)
        wait_until(lambda: "as node" in guard.output, 60, "the guard back without its token", (guard,))
        assert f"as node {node['nodeId']}" in guard.output

        suite.json("nodes", "remove", str(node["nodeId"]))
        wait_until(lambda: not guard.alive, 60, "the removed guard to end")
        again = InvitedGuard(newest, suite, federation, home, None)
        wait_until(lambda: not again.alive, 60, "it to be refused")
        assert "CERTIFICATE_REVOKED" in again.output or "revoked" in again.output
        done = subprocess.run(
            ["openssl", "verify", "-CAfile", str(federation.root), "-untrusted", str(federation.folder / "edge.issuer.pem"),
             str(home / "state" / "identity" / "node.pem")], capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout.strip().endswith("OK"), done.stdout + done.stderr
    finally:
        guard.stop()
