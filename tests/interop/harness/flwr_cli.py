"""The stock `flwr` command of a given release, pointed at one server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from .processes import environment
from .releases import Release
from .supernode import Server

CONNECTION = "aegis"


class FlwrCli:
    """Each release gets its connection in the way it reads it; apps are copied, as some releases write beside them."""

    def __init__(self, release: Release, server: Server, folder: Path, *, accounts: bool = False) -> None:
        self.release, self.server, self.accounts = release, server, accounts
        self.home = folder / f"flwr-{release}"
        self.home.mkdir(parents=True, exist_ok=True)
        self._app: Path | None = None
        if release.has_user_connections:
            lines = ["[superlink]", f'default = "{CONNECTION}"', "", f"[superlink.{CONNECTION}]", *self._connection()]
            (self.home / "config.toml").write_text("\n".join(lines) + "\n")

    def _connection(self) -> list[str]:
        trust = "insecure = true" if self.server.ca is None else f'root-certificates = "{self.server.ca}"'
        return [f'address = "{self.server.address}"', trust]

    def use(self, app: Path) -> Path:
        """A copy of the app that this command line runs."""
        copy = self.home / "apps-to-run" / app.name
        if not copy.exists():
            shutil.copytree(app, copy, ignore=shutil.ignore_patterns("__pycache__"))
            if not self.release.has_user_connections:
                table = ["", f"[tool.flwr.federations.{CONNECTION}]", *self._connection()]
                if self.accounts:
                    table.append("enable-user-auth = true")
                with (copy / "pyproject.toml").open("a") as project:
                    project.write("\n".join(table) + "\n")
        self._app = copy
        return copy

    @property
    def env(self) -> dict[str, str]:
        return environment(self.home)

    @property
    def where(self) -> list[str]:
        """The arguments that name the server: older releases read it from an app."""
        if self.release.has_user_connections:
            return [CONNECTION]
        assert self._app is not None, "run an app first"
        return [str(self._app), CONNECTION]

    def run(self, app: Path, config: str = "") -> int:
        """Start a run and return its id."""
        copy = self.use(app)
        answer = self.json("run", str(copy), CONNECTION, *(["--run-config", config] if config else []))
        assert answer["success"], answer
        return int(answer["run-id"])

    def list_runs(self, run_id: int | None = None) -> list[dict[str, Any]]:
        return self.json("ls", *self.where, *(["--run-id", str(run_id)] if run_id else []))["runs"]

    def status(self, run_id: int) -> str:
        """For example "finished:completed"."""
        return next(run["status"] for run in self.list_runs(run_id) if int(run["run-id"]) == run_id)

    def log(self, run_id: int, *, stream: bool, seconds: float = 240) -> str:
        """What the run has said so far; with `stream`, until it ends."""
        return self.text("log", str(run_id), *self.where, "--stream" if stream else "--show", seconds=seconds)

    def stop(self, run_id: int) -> dict[str, Any]:
        return self.json("stop", str(run_id), *self.where)

    def list_nodes(self) -> list[dict[str, Any]]:
        return self.json("supernode", "ls", *self.where)["nodes"]

    def register_node(self, public_key: Path) -> dict[str, Any]:
        return self.json("supernode", "register", str(public_key), *self.where)

    def unregister_node(self, node_id: int) -> dict[str, Any]:
        return self.json("supernode", "unregister", str(node_id), *self.where)

    def json(self, *arguments: str) -> dict[str, Any]:
        text = self.text(*arguments, "--format", "json")
        found = re.search(r"^\s*\{.*\}\s*$", text, re.DOTALL | re.MULTILINE)
        assert found, f"flwr {' '.join(arguments)} printed no JSON:\n{text}"
        return json.loads(found.group(0))

    def text(self, *arguments: str, seconds: float = 120) -> str:
        done = self.call(*arguments, seconds=seconds)
        assert done.returncode == 0, f"flwr {self.release} {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def call(self, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run the command; its failure is for the caller to judge."""
        command = [self.release.program("flwr"), *arguments]
        return subprocess.run(
            command,
            env=self.env,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
