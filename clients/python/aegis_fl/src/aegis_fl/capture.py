"""The child process of the importer: runs the app's ServerApp and writes down what it was about to do.

    python -m aegis_fl.capture REQUEST.json

A process of its own, because app code may print, hang, leave threads behind or end the process. The request names the app's folder, a
scratch copy of it to run from, and where to put the result. The answer is `capture.json`: the plan, or a refusal.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from . import records
from .fab import build_fab
from .refusal import Refusal

OLDEST = (1, 22)
AEGIS_KEYS = "aegis."  # ours: allowed as overrides although no app declares them


def main() -> None:
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    out = Path(request["out"])
    try:
        answer = capture(request, out)
    except Refusal as refusal:
        answer = {"error": refusal.to_json()}
    (out / "capture.json").write_text(json.dumps(answer), encoding="utf-8")
    sys.stdout.flush()
    # Apps may leave threads that would keep the process alive.
    os._exit(0)


def capture(request: dict[str, Any], out: Path) -> dict[str, Any]:
    release = flwr_release()
    # Only now: what reads TOML on Python 3.10 comes with flwr.
    from .digest import PYPROJECT, app_digest, tomllib

    fab = build_fab(Path(request["app"]))
    copy = Path(request["copy"])
    project = tomllib.loads((copy / PYPROJECT).read_text(encoding="utf-8"))
    run_config = read_run_config(project, request["run_config"])

    component = project["tool"]["flwr"]["app"]["components"]["serverapp"]
    run, grid = record(copy, component, run_config, request["nodes"])
    foreign = run.foreign_aggregation()
    strategy = type(run.strategy if run.unwrapped.wrapper is None else run.unwrapped.wrapper)
    class_name = f"{strategy.__module__}.{strategy.__qualname__}"
    if foreign and not request["as_fedavg"]:
        raise Refusal(
            "STRATEGY_UNSUPPORTED",
            f"Strategy {class_name} has its own {' and '.join(foreign)}; Aegis aggregates with FedAvg.",
            "If it only logs or saves and the model is still FedAvg's weighted mean, import with --as-fedavg.",
        )
    left_out = run.left_out() + [f"{name} of {class_name}: FedAvg instead, as you stated (--as-fedavg)" for name in foreign]

    tensors = run.tensors()
    train, evaluate = run.configs(grid)
    if tensors is not None:
        arrays = records.describe(tensors)
        records.write_npz(out / "init.npz", tensors)
    privacy = run.unwrapped.privacy()
    secagg = run.secagg()
    plan = {
        "schema": 1,
        "flwr": release,
        "app-id": f"{project['tool']['flwr']['app']['publisher']}/{project['project']['name']}",
        "app-digest": app_digest(fab),
        "records": run.records,
        "num-server-rounds": run.rounds,
        **run.settings(),
        "strategy": "fedavg",
        "strategy-class": class_name,
        "train-config": per_round(train),
        "evaluate-config": per_round(evaluate),
        "initial-model": "node" if tensors is None else "captured",
        "left-out": left_out,
        **({} if privacy is None else {"privacy": privacy}),
        **({} if secagg is None else {"secagg": secagg}),
        "run-config": records.run_config(run_config),
    }
    return {
        "plan": plan,
        "app-hash": hashlib.sha256(fab).hexdigest(),
        "fab-bytes": len(fab),
        "arrays": [] if tensors is None else arrays,
    }


def flwr_release() -> str:
    """The installed release; the app's own dependencies are the reason to run in the user's environment."""
    try:
        from flwr.common.version import package_version
    except ImportError:
        try:
            from flwr.supercore.version import package_version
        except ImportError:
            raise Refusal(
                "FLWR_MISSING",
                f"flwr is not installed for {sys.executable}.",
                "Activate the environment in which you develop the app, or name its interpreter.",
            ) from None
    numbers = tuple(int(part) for part in package_version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST:
        raise Refusal("FLWR_TOO_OLD", f"flwr {package_version} is too old to import from.", "Use flwr 1.22 or newer.")
    return str(package_version)


def read_run_config(project: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """The app's config, flattened as Flower does, with the overrides of the command line."""
    from flwr.common.config import flatten_dict, parse_config_args

    config = flatten_dict(project["tool"]["flwr"]["app"].get("config", {}))
    try:
        given = parse_config_args(overrides or None)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - click's own exceptions among them
        raise Refusal("PLAN_INVALID", f"--run-config cannot be read: {error}", "Write it as for `flwr run`: 'k=1 s=\"x\"'.") from error
    unknown = [key for key in given if key not in config and not key.startswith(AEGIS_KEYS)]
    if unknown:
        raise Refusal(
            "PLAN_INVALID",
            f"--run-config names {', '.join(unknown)}, which [tool.flwr.app.config] does not have.",
            f"It has: {', '.join(config) or 'nothing'}.",
        )
    return {**config, **given}


def record(copy: Path, component: str, run_config: dict[str, Any], nodes: int) -> tuple[Any, Any]:
    """Run the ServerApp until it shows what it would do."""
    from . import legacy_run, message_run
    from .recording import Recording, Stop, make_context, make_grid

    recording = Recording()
    message_run.watch(recording)
    legacy_run.watch(recording)
    grid = make_grid(recording, nodes)
    module, _, attribute = component.partition(":")
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    try:
        app: Any = importlib.import_module(module)
        for part in attribute.split("."):
            app = getattr(app, part)
        app(grid, make_context(dict(run_config)))
    except Stop:
        pass
    except ModuleNotFoundError as error:
        if recording.found is None:
            raise Refusal(
                "APP_FAILED",
                f"The ServerApp needs the package '{error.name}', which {sys.executable} does not have.",
                "Install the app's dependencies into this environment: pip install DIR",
            ) from error
    except BaseException as error:  # noqa: BLE001 - app code; SystemExit included
        if recording.found is None:
            traceback.print_exc()
            raise Refusal(
                "APP_FAILED",
                f"The ServerApp ({component}) raised {type(error).__name__}: {error}{_where(error, copy)}",
                "It must run up to its first message to a node on this machine. Its output is shown below.",
            ) from error
    if isinstance(recording.found, Refusal):
        raise recording.found
    if recording.found is None and recording.pushed_itself:
        raise Refusal(
            "STRATEGY_UNSUPPORTED",
            f"The ServerApp ({component}) sends messages itself instead of through a Strategy, so its aggregation is its own.",
            "Native mode runs strategies: use flwr.serverapp.strategy.FedAvg.",
        )
    if recording.found is None:
        raise Refusal(
            "NO_PUSH",
            f"The ServerApp ({component}) ended without sending anything to a node.",
            "Check its run config: does it train in this configuration?",
        )
    return recording.found, grid


def _where(error: BaseException, copy: Path) -> str:
    """The innermost line of the app's own code in a traceback."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(copy))]
    return f" ({Path(frames[-1].filename).relative_to(copy)}, line {frames[-1].lineno})" if frames else ""


def per_round(configs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One item for round 0 (every round) when nothing varies, else one item per round."""
    if all(config == configs[0] for config in configs):
        return [{"round": 0, "entries": configs[0] if configs else []}]
    return [{"round": number, "entries": config} for number, config in enumerate(configs, start=1)]


if __name__ == "__main__":
    main()
