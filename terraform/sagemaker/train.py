"""A SageMaker training job that is one node of a federation: what the container runs as `train`.

SageMaker's own layout, below /opt/ml or where SAGEMAKER_BASE_DIR says:

    input/config/hyperparameters.json     gateway (HOST:PORT, required), code, rounds, idle-seconds, give-up-after; all others are
                                          handed to the code as they are
    input/data/identity/                  ca.pem of the gateway; node.key or invitation; client.pem and client.key where it wants a certificate
    input/data/code/                      the code (`node.py` unless the hyperparameter `code` says otherwise), if it is not in the image
    input/data/<channel>/                 the data
    checkpoints/                          node.key, if this job had to make one: a job started again is the same node
    output/data/rounds.json               what came of each task
    output/failure                        why the job failed, if it did

The code is a Python file with `setup(channels, hyperparameters)` that returns `(train, evaluate)`, functions as aegis_fl.Client takes
them; evaluate may be None. `channels` are folders by name.

Ends when the run has no work for idle-seconds, after `rounds` trainings, or when SageMaker stops the job (SIGTERM), with exit code 0; with 1 and a
failure file otherwise. An exception of the code is named there by its type alone: its text may hold data.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aegis_fl

OURS = ("gateway", "code", "rounds", "idle-seconds", "give-up-after")
# Of the sagemaker SDK, if it started the job.
IGNORED_PREFIX = "sagemaker_"


class JobRefused(Exception):
    """The job cannot begin; the text says why and what to do."""


@dataclass(frozen=True)
class Settings:
    gateway: str
    code: str
    rounds: int | None
    idle_seconds: float
    give_up_after: float
    rest: dict[str, str]


def read_settings(hyperparameters: Mapping[str, Any]) -> Settings:
    """SageMaker hands every hyperparameter over as a string. Raises JobRefused."""
    values = {name: str(value) for name, value in hyperparameters.items() if not name.startswith(IGNORED_PREFIX)}
    gateway = values.get("gateway", "")
    host, _, port = gateway.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise JobRefused(f'Hyperparameter gateway must be HOST:PORT, not "{gateway}".')

    def number(name: str, default: float, least: float) -> float:
        try:
            value = float(values.get(name, default))
        except ValueError:
            value = -1.0
        if not least <= value < float("inf"):
            raise JobRefused(f'Hyperparameter {name} must be a number of at least {least:g}, not "{values.get(name)}".')
        return value

    rounds = number("rounds", 0, 0)
    if rounds != int(rounds):
        raise JobRefused(f'Hyperparameter rounds must be a whole number, not "{values["rounds"]}".')
    return Settings(
        gateway=gateway,
        code=values.get("code", "node.py"),
        rounds=int(rounds) or None,
        idle_seconds=number("idle-seconds", 900, 1),
        give_up_after=number("give-up-after", 600, 1),
        rest={name: value for name, value in values.items() if name not in OURS},
    )


def load_code(name: str, folders: list[Path]) -> Callable[[dict[str, Path], dict[str, str]], tuple[Any, Any]]:
    """`setup` of the first file of this name. Raises JobRefused."""
    if Path(name).name != name:
        raise JobRefused(f'Hyperparameter code must be the name of a file, not the path "{name}".')
    for file in (folder / name for folder in folders):
        if not file.is_file():
            continue
        spec = importlib.util.spec_from_file_location("aegis_node_code", file)
        if spec is None or spec.loader is None:
            break
        module = importlib.util.module_from_spec(spec)
        sys.path.insert(0, str(file.parent))
        spec.loader.exec_module(module)
        if not callable(setup := getattr(module, "setup", None)):
            raise JobRefused(f"{name} has no function setup(channels, hyperparameters).")
        return setup
    raise JobRefused(f"There is no Python file {name} in the channel code nor in the image.")


def identity(channel: Path, checkpoints: Path, private: Path) -> dict[str, Any]:
    """Arguments of aegis_fl.Client that say who this node is. `private` is a folder of this process alone. Raises JobRefused."""
    if not (ca := channel / "ca.pem").is_file():
        raise JobRefused("The channel identity has no ca.pem: the authority that issued the gateway's certificate.")
    options: dict[str, Any] = {"root_certificates": ca}
    if (given := channel / "node.key").is_file():
        # Channels are readable to everybody in the container, which a key must not be.
        options["key"] = private / "node.key"
        shutil.copyfile(given, options["key"])
        options["key"].chmod(0o600)
    else:
        checkpoints.mkdir(parents=True, exist_ok=True)
        options["key"] = checkpoints / "node.key"
        if options["key"].is_file():
            options["key"].chmod(0o600)  # SageMaker brought it back from S3, which keeps no modes
    if (invitation := channel / "invitation").is_file():
        options["invitation"] = invitation.read_text().strip()
    chain, key = channel / "client.pem", channel / "client.key"
    if chain.is_file() != key.is_file():
        raise JobRefused("The channel identity has only one of client.pem and client.key; they come together.")
    if chain.is_file():
        options["certificate"] = (chain, key)
    return options


def run(base: Path, image: Path) -> list[aegis_fl.Outcome]:
    """Takes part until there is nothing left to do. Raises JobRefused, aegis_fl.AegisError, and what the code raises."""
    file = base / "input" / "config" / "hyperparameters.json"
    settings = read_settings(json.loads(file.read_text()) if file.is_file() else {})
    data = base / "input" / "data"
    channels = {folder.name: folder for folder in sorted(data.iterdir()) if folder.is_dir()} if data.is_dir() else {}
    setup = load_code(settings.code, [data / "code", image])
    with tempfile.TemporaryDirectory() as private:
        options = identity(data / "identity", base / "checkpoints", Path(private))
        # The code is not handed the identity: it needs data, not the node's key.
        train, evaluate = setup({name: folder for name, folder in channels.items() if name not in ("identity", "code")}, settings.rest)
        client = aegis_fl.Client(settings.gateway, give_up_after=settings.give_up_after, **options)
        client.train(train)
        if evaluate is not None:
            client.evaluate(evaluate)
        return client.run(rounds=settings.rounds, idle=settings.idle_seconds)


def describe(outcome: aegis_fl.Outcome) -> dict[str, Any]:
    """One task for rounds.json and the log; metrics that are one number each."""
    metrics = {name: float(value) for name, value in outcome.metrics.items() if not hasattr(value, "__len__") and value is not None}
    return {
        "run": outcome.run_id,
        "round": outcome.round,
        "kind": outcome.kind,
        "accepted": outcome.accepted,
        "code": outcome.code,
        "seconds": round(outcome.seconds, 3),
        "metrics": metrics,
    }


def why(error: BaseException) -> str:
    """What may be told outside the container, where descriptions of jobs are read by more people than its log."""
    if isinstance(error, JobRefused | aegis_fl.AegisError):
        return str(error)
    return f"The code raised {type(error).__name__}; the job's log has the rest."


def main() -> int:
    # SageMaker ends a job by SIGTERM and gives it two minutes: the client then leaves as after Ctrl-C, and tells what it did.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    output = base / "output"
    try:
        outcomes = run(base, Path(__file__).resolve().parent)
    except KeyboardInterrupt:
        outcomes = []  # before there was anything to do
    except Exception as error:
        traceback.print_exc()
        output.mkdir(parents=True, exist_ok=True)
        (output / "failure").write_text(why(error)[:1024])
        return 1
    rounds = [describe(outcome) for outcome in outcomes]
    (output / "data").mkdir(parents=True, exist_ok=True)
    (output / "data" / "rounds.json").write_text(json.dumps(rounds, indent=2) + "\n")
    for entry in rounds:
        # What start_training.py's metric definitions look for.
        for name, value in entry["metrics"].items():
            print(f"aegis-metric {entry['kind']}:{name}={value:.6g};")
    print(f"aegis: {sum(entry['accepted'] for entry in rounds)} of {len(rounds)} answers were accepted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
