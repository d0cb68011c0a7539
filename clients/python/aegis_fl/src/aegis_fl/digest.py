"""The release-independent digest of a Flower app (README, "The app's digest")."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10; flwr brings tomli there
    import tomli as tomllib  # type: ignore[no-redef]

PYPROJECT = "pyproject.toml"
# Newer releases leave these out of a FAB, older ones put them in: they cannot count.
UNSTEADY_ROOTS = frozenset(
    [".flwr", "build", "eggs", ".eggs", "lib", "lib64", "parts", ".venv", "env", "venv", "ENV", "env.bak", "venv.bak"]
)


def app_digest(fab: bytes) -> str:
    """Return the digest of the app inside a FAB as 64 hex digits."""
    with zipfile.ZipFile(io.BytesIO(fab)) as bundle:
        names = [name for name in bundle.namelist() if counts(name)]
        lines = [
            name.encode() + b"\0" + hashlib.sha256(bundle.read(name)).hexdigest().encode() + b"\n"
            for name in sorted(names, key=lambda name: name.encode())
        ]
        project = tomllib.loads(bundle.read(PYPROJECT).decode("utf-8"))
    identity = hashlib.sha256(canonical_json(identity_of(project)).encode()).hexdigest()
    lines.append(b"pyproject\0" + identity.encode() + b"\n")
    return hashlib.sha256(b"".join(lines)).hexdigest()


def counts(path: str) -> bool:
    """Whether a file of a FAB takes part in the digest."""
    parts = path.split("/")
    name = parts[-1]
    if path.endswith("/") or path in (PYPROJECT, "LICENSE") or parts[0] == ".info":
        return False
    if parts[0] in UNSTEADY_ROOTS and len(parts) > 1:
        return False
    if any(part == "__pycache__" or part.endswith(".egg") for part in parts):
        return False
    return not (name.endswith("_test.py") or (name.startswith("test_") and name.endswith(".py")))


def identity_of(project: dict[str, Any]) -> dict[str, Any]:
    """The parts of a pyproject that make an app what it is; bundlers rewrite the rest."""
    app = project.get("tool", {}).get("flwr", {}).get("app", {})
    return {
        "project": _pick(project.get("project", {}), ("name", "version")),
        "tool": {"flwr": {"app": _pick(app, ("publisher", "components", "config"))}},
    }


def canonical_json(value: Any) -> str:
    """One text per value; the aggregator writes the same in TypeScript, down to how Python prints a float."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _pick(table: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: table[key] for key in keys if key in table}
