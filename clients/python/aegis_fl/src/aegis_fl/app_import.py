"""Capture the plan of a Flower app from its own ServerApp.

    python -m aegis_fl.app_import DIR --out FOLDER

Writes FOLDER/plan.json, FOLDER/app.json and, if the app brings its first model, FOLDER/init.npz. The app's folder is only read.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .refusal import Refusal

# Never part of an app, and often huge.
NOT_COPIED = {".git", ".hg", "__pycache__", ".venv", "venv", "env", "node_modules", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
COPY_UP_TO = 16 * 1024 * 1024  # larger files are linked
LAST_LINES = 40


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    app, out = options.app.expanduser().resolve(), options.out.expanduser().resolve()
    output: list[str] = []
    try:
        captured = import_app(app, out, options, output)
    except Refusal as refusal:
        if options.json:
            print(json.dumps({"ok": False, "error": {**refusal.to_json(), "output": output}}))
        else:
            report(refusal, output)
        return 1
    if options.json:
        plan = {"plan": captured["plan"], "app-digest": captured["plan"]["app-digest"]}
        print(json.dumps({"ok": True, "out": str(out), "app-hash": captured["app-hash"], "arrays": captured["arrays"], **plan}))
    else:
        print(summary(captured, out))
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="aegis_fl.app_import", description="Capture the plan of a Flower app from its own ServerApp.")
    parser.add_argument("app", type=Path, metavar="DIR", help="folder of the app (with its pyproject.toml)")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where plan.json and init.npz go")
    parser.add_argument("--run-config", action="append", default=[], metavar="'k=v …'", help="overrides, as for flwr run")
    parser.add_argument("--nodes", type=int, default=10, help="nodes the app finds connected (default 10)")
    parser.add_argument("--timeout", type=float, default=300, metavar="S", help="seconds until the first message (default 300)")
    parser.add_argument("--as-fedavg", action="store_true", help="the strategy's own aggregation still computes FedAvg")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    return parser.parse_args(argv)


def import_app(app: Path, out: Path, options: argparse.Namespace, output: list[str]) -> dict[str, Any]:
    if not (app / "pyproject.toml").is_file():
        raise Refusal("APP_INVALID", f"{app} has no pyproject.toml.", "Name the folder of a Flower app.")
    with tempfile.TemporaryDirectory(prefix="aegis-import-") as folder:
        scratch = Path(folder)
        copy_app(app, scratch / "app")
        request = {
            "app": str(app),
            "copy": str(scratch / "app"),
            "out": str(scratch),
            "run_config": options.run_config,
            "nodes": max(1, options.nodes),
            "as_fedavg": options.as_fedavg,
        }
        (scratch / "request.json").write_text(json.dumps(request), encoding="utf-8")
        run_child(scratch, options.timeout, output)
        answer = json.loads((scratch / "capture.json").read_text(encoding="utf-8"))
        if "error" in answer:
            error = answer["error"]
            raise Refusal(error["code"], error["detail"].replace(str(scratch / "app"), str(app)), error["hint"])
        out.mkdir(parents=True, exist_ok=True)
        model = out / "init.npz"
        model.unlink(missing_ok=True)  # of an earlier import
        if (scratch / "init.npz").exists():
            shutil.move(scratch / "init.npz", model)
    app_facts = {"app-hash": answer["app-hash"], "app-digest": answer["plan"]["app-digest"], "fab-bytes": answer["fab-bytes"]}
    (out / "plan.json").write_text(json.dumps(answer["plan"], indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "app.json").write_text(json.dumps(app_facts, indent=2) + "\n", encoding="utf-8")
    return answer


def copy_app(app: Path, copy: Path) -> None:
    """The app runs from a copy: whatever it writes next to itself stays out of the user's folder."""

    def copy_or_link(source: str, target: str) -> None:
        if os.path.getsize(source) > COPY_UP_TO:
            os.symlink(source, target)
        else:
            shutil.copy2(source, target)

    def skip(_: str, names: list[str]) -> set[str]:
        return NOT_COPIED.intersection(names)

    shutil.copytree(app, copy, ignore=skip, copy_function=copy_or_link, ignore_dangling_symlinks=True)


def run_child(scratch: Path, timeout: float, output: list[str]) -> None:
    """Run the capture in a process group of its own, so that nothing the app starts outlives it."""
    own = str(Path(__file__).resolve().parent.parent)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [own, os.environ.get("PYTHONPATH", "")])),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "FLWR_HOME": str(scratch / "flwr"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }
    command = [sys.executable, "-m", "aegis_fl.capture", str(scratch / "request.json")]
    with open(scratch / "output", "w+b") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            code = child.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
        log.seek(0)
        output.extend(log.read().decode("utf-8", "replace").splitlines()[-LAST_LINES:])
    if code is None:
        raise Refusal(
            "APP_TIMEOUT",
            f"The ServerApp sent nothing to a node within {timeout:g} s.",
            "Does it wait for more nodes (--nodes N) or prepare something long (--timeout S)?",
        )
    if not (scratch / "capture.json").exists():
        raise Refusal("APP_FAILED", f"The ServerApp ended its process (exit code {code}).", "Its output is shown below.")


def report(refusal: Refusal, output: list[str]) -> None:
    if output and refusal.code in ("APP_FAILED", "APP_TIMEOUT", "NO_PUSH"):
        print("--- output of the app ---", *output, "-------------------------", sep="\n", file=sys.stderr)
    print(f"{refusal.code}: {refusal.detail}", file=sys.stderr)
    if refusal.hint:
        print(refusal.hint, file=sys.stderr)


def summary(captured: dict[str, Any], out: Path) -> str:
    plan, arrays = captured["plan"], captured["arrays"]
    numbers = sum(_product(array["shape"]) for array in arrays)
    model = f"{len(arrays)} arrays, {numbers:,} numbers" if plan["initial-model"] == "captured" else "asked from a node"
    rows = [
        ("app", plan["app-id"]),
        ("records", "Message API" if plan["records"] == "message" else "legacy"),
        ("strategy", plan["strategy-class"]),
        ("rounds", plan["num-server-rounds"]),
        ("first model", model),
        ("train nodes", f"fraction {plan['fraction-train']:g}, at least {plan['min-train-nodes']}"),
        ("evaluate nodes", f"fraction {plan['fraction-evaluate']:g}, at least {plan['min-evaluate-nodes']}"),
        ("start with", f"{plan['min-available-nodes']} nodes"),
        ("train config", _config(plan["train-config"])),
        ("evaluate config", _config(plan["evaluate-config"])),
        *_privacy(plan.get("privacy")),
        *[("left out", line) for line in plan["left-out"]],
        ("digest", plan["app-digest"][:16]),
        ("written to", out),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _product(shape: list[int]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size


def _privacy(privacy: dict[str, Any] | None) -> list[tuple[str, str]]:
    if privacy is None:
        return []
    adapts = "" if privacy["adaptive-clip"] is None else ", adaptive"
    text = f"clip {privacy['clip']:g}{adapts}, noise multiplier {privacy['noise-multiplier']:g}, sum divided by {privacy['denominator']:g}"
    return [("private", text)]


def _config(items: list[dict[str, Any]]) -> str:
    names = ", ".join(entry["key"] for entry in items[0]["entries"]) if items else ""
    if len(items) > 1:
        return f"{names or 'none at first'} (changes with the round)"
    return names or "none"


if __name__ == "__main__":
    sys.exit(main())
