"""Which flwr releases take part, and where their programs are."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
APPS = ROOT / "tests" / "interop" / "apps"
EXAMPLES = ROOT / "examples"

DEFAULT = ("1.22.0", "1.39.0", "1.41.0")
MORE = ("1.26.0", "1.32.0", "1.38.0")


@dataclass(frozen=True, order=True)
class Release:
    """One flwr release in an environment of its own."""

    numbers: tuple[int, ...]

    @classmethod
    def of(cls, text: str) -> Release:
        return cls(tuple(int(part) for part in text.split(".")))

    def __str__(self) -> str:
        return ".".join(map(str, self.numbers))

    def program(self, name: str) -> str:
        return str(environment(str(self)) / name)

    @property
    def needs_public_key_file(self) -> bool:
        """Up to 1.22 a SuperNode wants both halves of its key."""
        return self.numbers < (1, 23)

    @property
    def port_option(self) -> str:
        """How a SuperNode is told where its own local API listens; the default is one fixed port for all."""
        return "--clientappio-api-address" if self.numbers < (1, 34) else "--port"

    @property
    def has_user_connections(self) -> bool:
        """Connections stand in $FLWR_HOME/config.toml; before, in the app's pyproject."""
        return self.numbers >= (1, 26)

    @property
    def has_supernode_commands(self) -> bool:
        return self.numbers >= (1, 23)


def chosen() -> list[Release]:
    """AEGIS_ALL_RELEASES=1 takes the long list, AEGIS_RELEASES="1.30.0 1.41.0" exactly these."""
    if names := os.environ.get("AEGIS_RELEASES", "").split():
        return [Release.of(name) for name in names]
    return sorted(Release.of(name) for name in (*DEFAULT, *(MORE if os.environ.get("AEGIS_ALL_RELEASES") == "1" else ())))


@cache
def environment(version: str) -> Path:
    """The bin folder of a release; made on first use. scikit-learn carries the digits of the examples."""
    command = [str(ROOT / "scripts" / "flwr-venv.sh"), version, "scikit-learn"]
    return Path(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
