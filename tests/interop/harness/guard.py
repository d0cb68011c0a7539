"""The data owner's guard, with a stock SuperNode behind it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from .aegis import Aegis
from .processes import Process, environment, free_port
from .releases import ROOT, Release
from .supernode import Server

BIN = ROOT / "node_modules" / ".bin"
# The single-file executable instead of the command: `make guard-executable-round`.
GUARD = [os.environ["AEGIS_GUARD"]] if "AEGIS_GUARD" in os.environ else [str(BIN / "aegis"), "guard"]


class Authority:
    """A federation's root, and what it issued."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.env = folder, environment(folder / "flwr")
        folder.mkdir(parents=True)
        self._aegis("init")
        self.root, self.crl = folder / "ca" / "root.pem", folder / "ca" / "crl.pem"

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a guard."""
        self._aegis("issue", name, "--kind", "guard", "--out", str(self.folder))
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def signing(self, name: str) -> list[str]:
        """What a guard needs to take part in masked rounds."""
        self._aegis("issue", name, "--kind", "signing", "--out", str(self.folder))
        certificate, key = self.folder / f"{name}.signing.pem", self.folder / f"{name}.signing.key"
        return ["--signing-certificate", str(certificate), "--signing-key", str(key), "--federation-root", str(self.root)]

    def _aegis(self, *arguments: str) -> None:
        command = [str(BIN / "aegis"), "ca", *arguments, "--dir", str(self.folder / "ca")]
        subprocess.run(command, env=self.env, cwd=self.folder, check=True, capture_output=True)


class Signer:
    """Somebody who signs apps with a key that the server does not hold."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.key, self.trusted = name, folder / f"{name}.key", folder / f"{name}.yaml"
        private = ed25519.Ed25519PrivateKey.generate()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.key.touch(mode=0o600)
        self.key.write_bytes(pem)
        line = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        self.trusted.write_text(json.dumps({name: line}))

    def sign(self, aegis: Aegis, app: Path, release: Release) -> None:
        """The bundle as this release builds it."""
        subprocess.run([release.program("flwr"), "build", "--app", str(app)], env=aegis.env, cwd=self.key.parent, check=True, capture_output=True)
        (fab,) = self.key.parent.glob("*.fab")
        aegis.json("app", "sign", str(fab), "--key", str(self.key), "--id", self.name)


class Guard(Process):
    """`aegis guard -- flower-supernode …` with a state folder of its own, which may be started again."""

    def __init__(
        self,
        release: Release,
        server: Server,
        authority: Authority,
        folder: Path,
        name: str,
        partition: int,
        partitions: int,
        policy: str,
        masks: bool = False,
    ) -> None:
        self.release, self.folder = release, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.policy = folder / "policy.yaml"
        self.policy.write_text(policy)
        self.state = folder / "state"
        certificate, key = authority.issue(name)
        local = str(free_port())
        supernode = Path(release.program("flower-supernode"))
        self.command = [
            *GUARD, "--server", server.address, "--ca", str(server.ca),
            "--certificate", str(certificate), "--key", str(key), "--policy", str(self.policy), "--state", str(self.state),
            *(authority.signing(name) if masks else ()), "--",
            str(supernode), "--node-config", f"partition-id={partition} num-partitions={partitions}",
            release.port_option, f"127.0.0.1:{local}" if release.port_option.endswith("address") else local,
        ]  # fmt: skip
        # The client app is a program of the same environment, found by PATH.
        self.env = environment(folder / "flwr", PATH=f"{supernode.parent}:{BIN}:{environment(folder)['PATH']}")
        self.title = f"guard-{name}-{release}"
        self.start()

    def start(self) -> None:
        super().__init__(self.title, self.command, self.folder / "guard.log", self.env, cwd=self.folder)

    @property
    def audit(self) -> list[dict[str, Any]]:
        file = self.state / "audit.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.audit if line["event"] == name]

    def verdicts(self, task: str) -> list[bool]:
        """What the server said of the answer to a task: whether it took it."""
        return [line["accepted"] for line in self.events("verdict") if line["task"] == task]

    def explain(self, run_id: int) -> dict[str, Any]:
        command = [*GUARD, "--policy", str(self.policy), "--state", str(self.state), "--explain", str(run_id), "--json"]
        done = subprocess.run(command, env=self.env, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
