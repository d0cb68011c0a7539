"""A real OpenID provider, and people who log in at it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from .flwr_cli import FlwrCli
from .processes import Process, environment, wait_until
from .releases import ROOT

NODE = str(ROOT / "node_modules" / ".bin" / "node")
SCRIPT = str(ROOT / "tests" / "interop" / "harness" / "oidc.ts")


class OidcProvider(Process):
    """Beside the suite; its ID tokens are good for `seconds`."""

    def __init__(self, folder: Path, client: str, seconds: int, people: dict[str, dict[str, object]]) -> None:
        super().__init__("oidc", [NODE, SCRIPT, "serve", client, str(seconds), json.dumps(people)], folder / "oidc.log", environment(folder), cwd=ROOT)
        wait_until(lambda: "issuer http" in self.output, 60, "the provider", (self,))
        found = re.search(r"issuer (http\S+)", self.output)
        assert found
        self.issuer = found.group(1)


class LogIn(Process):
    """`flwr login`, and whoever approves it in a browser."""

    def __init__(self, cli: FlwrCli) -> None:
        self.cli = cli
        command = [cli.release.program("flwr"), "login", *cli.where]
        super().__init__(f"login-{cli.release}", command, cli.home / "login.log", cli.env, cwd=cli.home)

    def approve(self, subject: str) -> str:
        """What the command said, once it has ended."""
        wait_until(lambda: self._address() or not self.alive, 60, "an address to log in at")
        address = self._address()
        assert address, self.tail()
        subprocess.run([NODE, SCRIPT, "approve", address, subject], env=self.cli.env, cwd=ROOT, check=True, capture_output=True)
        wait_until(lambda: not self.alive, 60, "the command to see it")
        return self.output

    def _address(self) -> str | None:
        found = re.search(r"http://127\.0\.0\.1:\d+/device\?user_code=[\w-]+", self.output)
        return found and found.group(0)
