"""Apps on the Message API: `strategy.start(grid, initial_arrays, …)`."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

from . import records
from .private_strategy import Unwrapped
from .recording import Recording
from .refusal import Refusal

SERVER_ROUND = "server-round"  # the server sets it anew in every round


class MessageRun:
    """A call of Strategy.start, stopped before it did anything."""

    records = "message"

    def __init__(self, strategy: Any, call: dict[str, Any], caller: Any) -> None:
        self.unwrapped = Unwrapped(strategy)
        self.strategy = self.unwrapped.strategy
        self.arrays = call["initial_arrays"]
        self.rounds = int(call["num_rounds"])
        self.train_config = call["train_config"]
        self.evaluate_config = call["evaluate_config"]
        self.evaluate_fn = call["evaluate_fn"]
        self.caller = (caller.f_code.co_filename, caller.f_lineno)

    def settings(self) -> dict[str, Any]:
        s = self.strategy
        return {
            "fraction-train": float(getattr(s, "fraction_train", 1.0)),
            "fraction-evaluate": float(getattr(s, "fraction_evaluate", 1.0)),
            "min-train-nodes": int(getattr(s, "min_train_nodes", 2)),
            "min-evaluate-nodes": int(getattr(s, "min_evaluate_nodes", 2)),
            "min-available-nodes": int(getattr(s, "min_available_nodes", 2)),
            "weighted-by-key": str(getattr(s, "weighted_by_key", "num-examples")),
            "arrayrecord-key": str(getattr(s, "arrayrecord_key", "arrays")),
            "configrecord-key": str(getattr(s, "configrecord_key", "config")),
        }

    def secagg(self) -> None:
        """Flower's SecAgg+ is a workflow of legacy apps alone."""

    def foreign_aggregation(self) -> list[str]:
        """Methods that decide what the model becomes and are not FedAvg's own."""
        from flwr.serverapp.strategy import FedAvg

        return [] if type(self.strategy).aggregate_train is FedAvg.aggregate_train else ["aggregate_train"]

    def left_out(self) -> list[str]:
        from flwr.serverapp.strategy import FedAvg

        strategy, lines = type(self.strategy), self.unwrapped.left_out()
        if self.evaluate_fn is not None:
            lines.append(f"evaluate_fn ({_name(self.evaluate_fn)}): central evaluation on the server")
        if strategy.aggregate_evaluate is not FedAvg.aggregate_evaluate:
            lines.append(f"{strategy.__name__}.aggregate_evaluate: metrics are weighted means instead")
        for setting in ("train_metrics_aggr_fn", "evaluate_metrics_aggr_fn"):
            function = getattr(self.strategy, setting, None)
            if function is not None and not getattr(function, "__module__", "").startswith("flwr."):
                lines.append(f"{setting} ({_name(function)}): metrics are weighted means instead")
        after = code_after(*self.caller)
        if after:
            lines.append(f"code after strategy.start ({after}), e.g. saving the model: use `aegis models export`")
        return lines

    def tensors(self) -> list[records.Tensor] | None:
        return records.tensors_of_record(self.arrays)

    def configs(self, grid: Any) -> tuple[list[list[dict[str, Any]]], list[list[dict[str, Any]]]]:
        """Train and evaluate config of every round, from the strategy's own configure methods.

        One ConfigRecord of each kind goes through all rounds, as in Strategy.start: apps change it as they go.
        """
        from flwr.app import ConfigRecord

        settings = self.settings()
        wanted = [settings[key] for key in ("min-train-nodes", "min-evaluate-nodes", "min-available-nodes")]
        grid.at_least(max(wanted))
        train, evaluate = [], []
        train_config = ConfigRecord() if self.train_config is None else self.train_config
        evaluate_config = ConfigRecord() if self.evaluate_config is None else self.evaluate_config
        for number in range(1, self.rounds + 1):
            messages = self.strategy.configure_train(number, self.arrays, train_config, grid)
            train.append(self._config(messages, "train", number))
            messages = self.strategy.configure_evaluate(number, self.arrays, evaluate_config, grid)
            evaluate.append(self._config(messages, "evaluate", number))
        return train, evaluate

    def _config(self, messages: Any, kind: str, number: int) -> list[dict[str, Any]]:
        where = f"configure_{kind} of {type(self.strategy).__name__}, round {number}"
        settings, seen = self.settings(), None
        arrays_key, config_key = settings["arrayrecord-key"], settings["configrecord-key"]
        for message in messages:
            if message.metadata.message_type != kind:
                raise unsupported(
                    f"{where} sends messages of type '{message.metadata.message_type}'; native mode sends '{kind}'."
                )
            extra = [name for name in message.content if name not in (arrays_key, config_key)]
            if extra or arrays_key not in message.content:
                raise unsupported(
                    f"{where} sends the records {list(message.content)}; native mode sends one ArrayRecord and one ConfigRecord."
                )
            if not _same(message.content[arrays_key], self.arrays):
                raise unsupported(f"{where} changes the arrays before sending them.")
            config = message.content[config_key] if config_key in message.content else {}
            entries = records.entries(config, where, drop=SERVER_ROUND)
            if seen is not None and entries != seen:
                raise unsupported(f"{where} sends different configs to different nodes.")
            seen = entries
        return seen or []


def _same(one: Any, other: Any) -> bool:
    return one is other or (list(one) == list(other) and all(one[name].data == other[name].data for name in one))


def unsupported(detail: str) -> Refusal:
    return Refusal(
        "STRATEGY_UNSUPPORTED", detail, "Native mode cannot run this app as it is; use a strategy without this, e.g. plain FedAvg."
    )


def watch(recording: Recording) -> None:
    """Make every Strategy.start of the Message API record its arguments and stop."""
    try:
        from flwr.serverapp.strategy import Strategy
    except ImportError:
        return  # before 1.21; the command checks the release

    def start(
        self: Any,
        grid: Any,
        initial_arrays: Any,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: Any = None,
        evaluate_config: Any = None,
        evaluate_fn: Any = None,
        **_: Any,
    ) -> None:
        recording.stop(MessageRun(self, locals(), sys._getframe(1)))

    Strategy.start = start


def code_after(filename: str, line: int) -> str:
    """Where statements follow the given line in its function, as 'file, lines 3-5'; printing and logging do not count."""
    try:
        tree = ast.parse(Path(filename).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return ""
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    if not functions:
        return ""
    innermost = max(functions, key=lambda node: node.lineno)
    rest = [node for node in innermost.body if node.lineno > line and not _only_talks(node)]
    if not rest:
        return ""
    first, last = rest[0].lineno, rest[-1].end_lineno
    return f"{Path(filename).name}, line{f' {first}' if first == last else f's {first}-{last}'}"


def _only_talks(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        called = ast.unparse(node.value.func)
        return called in ("print", "log") or called.startswith(("log.", "logger.", "logging."))
    return isinstance(node, (ast.Pass, ast.Return))


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", None) or type(function).__name__
