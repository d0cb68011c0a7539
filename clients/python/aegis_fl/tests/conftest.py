from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
SRC = Path(__file__).resolve().parent.parent / "src"
# The package is not installed here: tests and importer find it the way `aegis app import` does.
sys.path.insert(0, str(SRC))
collect_ignore = [] if importlib.util.find_spec("torch") else ["test_torch_tensors.py"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning")  # flwr's own dependencies


@dataclass
class Imported:
    """What one run of the importer gave."""

    code: int
    answer: dict[str, Any]
    out: Path

    @property
    def plan(self) -> dict[str, Any]:
        assert self.answer["ok"], self.answer["error"]
        return self.answer["plan"]

    @property
    def error(self) -> dict[str, Any]:
        assert not self.answer["ok"], self.answer
        return self.answer["error"]


@pytest.fixture
def import_app(tmp_path: Path) -> Callable[..., Imported]:
    """Run the importer as its users do: a command in the environment that has flwr."""

    def run(app: Path, *options: str) -> Imported:
        out = tmp_path / "captured"
        command = [sys.executable, "-m", "aegis_fl.app_import", str(app), "--out", str(out), "--json", *options]
        environment = {**os.environ, "PYTHONPATH": str(SRC)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # the importer itself must leave nothing behind
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, timeout=120, check=False)
        return Imported(done.returncode, json.loads(done.stdout), out)

    return run


PYPROJECT = """
[project]
name = "small"
version = "1.0.0"
license = "Apache-2.0"
dependencies = ["flwr"]

[tool.flwr.app]
publisher = "aegis"

[tool.flwr.app.components]
serverapp = "small.server_app:app"
clientapp = "small.client_app:app"

[tool.flwr.app.config]
num-server-rounds = 3
lr = 1.0
[tool.flwr.app.config.model]
hidden = 8
"""

CLIENT = "from flwr.clientapp import ClientApp\n\napp = ClientApp()\n"


@pytest.fixture
def make_app(tmp_path: Path) -> Callable[..., Path]:
    """An app folder around the given ServerApp source."""

    def make(server: str, **files: str) -> Path:
        app = tmp_path / "small"
        (app / "small").mkdir(parents=True)
        (app / "pyproject.toml").write_text(PYPROJECT)
        (app / "small" / "__init__.py").write_text("")
        (app / "small" / "client_app.py").write_text(CLIENT)
        (app / "small" / "server_app.py").write_text(server)
        for name, text in files.items():
            (app / "small" / f"{name}.py").write_text(text)
        return app

    return make
