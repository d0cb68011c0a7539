"""The suite under test, started and asked through its own command."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from .keys import NodeKey
from .processes import Process, environment, wait_until
from .releases import ROOT, Release
from .supernode import Server


class Aegis:
    """`aegis up` with a state directory of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options, self.state = folder, options, folder / "state"
        self.env = environment(folder / "flwr", PATH=f"{ROOT / 'node_modules' / '.bin'}:{os.environ['PATH']}")
        self._start(port="0")
        self.server = Server(self.ready["address"], Path(self.ready["ca"]) if self.ready.get("ca") else None)

    def _start(self, port: str) -> None:
        command = ["npx", "--no-install", "aegis", "up", "--state", str(self.state), "--port", port, "--json", *self.options]
        self.process = Process("aegis", command, self.folder / "aegis.log", self.env, cwd=ROOT)
        try:
            wait_until(self._ready, 60, "aegis up", (self.process,))
        except BaseException:
            self.process.stop()
            raise
        ready = self._ready()
        assert ready is not None
        self.ready = ready

    def kill_and_start_again(self) -> None:
        """SIGKILL to everything at once, then the same state and port."""
        self.process.kill()
        self._start(port=self.server.address.rpartition(":")[2])

    def _ready(self) -> dict[str, Any] | None:
        for line in self.process.output.splitlines():
            if line.startswith("{") and '"address"' in line:
                return json.loads(line)
        return None

    def stop(self) -> None:
        """Through its own command: npx, which we started, does not hand signals on."""
        if self.process.alive:
            self.call("down")
        self.process.stop()

    def log_tail(self, lines: int = 15) -> str:
        log = Path(self.ready["log"])
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""

    def call(self, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        command = ["aegis", *arguments, "--state", str(self.state), "--json"]
        return subprocess.run(
            command, env=self.env, cwd=self.state.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
        )

    def json(self, *arguments: str) -> Any:
        done = self.call(*arguments)
        assert done.returncode == 0, f"aegis {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}\n{self.process.tail()}"
        return json.loads(done.stdout)

    def approve(self, key: NodeKey) -> int:
        return int(self.json("nodes", "approve", str(key.public))["nodeId"])

    def nodes(self) -> list[dict[str, Any]]:
        return self.json("nodes", "ls")

    def online(self) -> set[int]:
        return {int(node["nodeId"]) for node in self.nodes() if node["state"] == "online"}

    def import_app(self, app: Path, release: Release, *options: str) -> dict[str, Any]:
        return self.json("app", "import", str(app), "--python", release.program("python"), *options)

    def run(self, run_id: int) -> dict[str, Any]:
        return self.json("runs", "show", str(run_id))

    def stop_runs(self) -> None:
        """Ends what a failed test left running."""
        for run in self.json("runs", "ls"):
            if run["status"] != "finished":
                self.call("runs", "stop", str(run["runId"]))

    def model(self, run_id: int, number: int) -> dict[str, np.ndarray]:
        """The model of a run after a round, exported and read back."""
        file = self.state.parent / f"model-{run_id}-{number}.npz"
        self.json("models", "export", "--run", str(run_id), "--round", str(number), "--format", "npz", "--output", str(file))
        with np.load(file) as arrays:
            return {name: arrays[name] for name in arrays.files}
