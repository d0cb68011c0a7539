"""One task from its offer to its verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from .errors import AegisError, AnswerInvalid, ModelUnreadable, TaskCancelled, UpdateRefused
from .exchange import Answer, hand_in, read_model
from .link import ANSWER_UNAVAILABLE, FUNCTION_MISSING, FUNCTION_RAISED, Link
from .progress import Progress, megabytes
from .task import Outcome, Refused, Task, TaskConfig, TaskKind
from .tensors import Kind, npy_files, open_model
from .values import write_metrics

# The answer came too late or a second time: nobody's mistake.
LATE = ("TASK_", "RUN_", "PART_NOT_FOUND")
WEIGHT_ALIAS = "num_examples"

Functions = Mapping[TaskKind, Callable[..., Any]]


class Worker:
    """Calls the functions of a client, in the thread that calls `do`."""

    def __init__(self, functions: Functions, tensors: Kind, progress: Progress) -> None:
        self._functions, self._tensors, self._progress = functions, tensors, progress

    def do(self, link: Link, task: Task) -> Outcome:
        """One task from offer to verdict. Whatever goes wrong with the task alone is in the outcome."""
        progress = self._progress
        config = TaskConfig(task)
        metrics: dict[str, Any] = {}
        seconds = 0.0

        def ended(accepted: bool, code: str = "", detail: str = "", error: Exception | None = None) -> Outcome:
            return Outcome(config.run_id, config.round, task.kind, accepted, code, detail, metrics, seconds, error)

        try:
            function = self._function(task)
            model = self._model(link, task)
            progress.line(f"{task.name}: {_doing(task)}")
            begun = time.monotonic()
            try:
                returned = function(model, config)
            finally:
                seconds = time.monotonic() - begun
            del model
            config.raise_if_cancelled()
            answer, metrics = self._answer(task, config, returned, seconds)
            del returned
            verdict = hand_in(link, task, answer, progress)
        except TaskCancelled as cancelled:
            progress.line(f"{task.name}: given up. {cancelled.detail}")
            # Also a withdrawn task is failed, so that the server knows that this node is free again.
            link.fail(task, ANSWER_UNAVAILABLE, "given up")
            return ended(False, cancelled.code, cancelled.detail)
        except Refused as refused:
            return self._refused(task, refused.code, refused.detail, ended)
        except _FunctionMissing as missing:
            progress.line(f"{task.name}: {missing}")
            link.fail(task, FUNCTION_MISSING, str(missing))
            return ended(False, "FUNCTION_MISSING", str(missing))
        except (AnswerInvalid, ModelUnreadable) as error:
            progress.line(f"{task.name}: {error}")
            link.fail(task, ANSWER_UNAVAILABLE, error.code)
            return ended(False, error.code, error.detail, error)
        except AegisError:
            raise  # of the connection, not of this task
        except Exception as error:
            # The text stays here: it may show data that is nobody else's business.
            link.fail(task, FUNCTION_RAISED, f"{type(error).__name__} in {task.kind}")
            progress.line(f"{task.name}: {_doing(task)} failed: {error!r}")
            return ended(False, "FUNCTION_RAISED", f"{type(error).__name__}: {error}", error)
        if not verdict.accepted:
            return self._refused(task, verdict.code, verdict.detail, ended)
        size = f", {megabytes(answer.bytes)} sent" if answer.bytes else ""
        progress.line(f"{task.name}: {task.kind} accepted ({seconds:.1f} s{size})")
        return ended(True)

    def _function(self, task: Task) -> Callable[..., Any]:
        if task.kind is None:
            raise _FunctionMissing("this client does not know such a task; a newer release may")
        if task.kind not in self._functions:
            raise _FunctionMissing(f"this client has no {task.kind} function")
        return self._functions[task.kind]

    def _model(self, link: Link, task: Task) -> dict[str, Any]:
        body = read_model(link, task, self._progress)
        return open_model(task.offer.model.tensors, body, self._tensors)

    def _answer(self, task: Task, config: TaskConfig, returned: Any, seconds: float) -> tuple[Answer, dict[str, Any]]:
        if task.kind == "evaluate":
            metrics = _metrics(returned, config, "evaluate must return its metrics")
            return Answer([], write_metrics(metrics), seconds), metrics
        if not (isinstance(returned, tuple) and len(returned) == 2):
            raise AnswerInvalid("ANSWER_INVALID", f"train returned a {type(returned).__name__}.", "It must return (model, metrics).")
        model, metrics = returned[0], _metrics(returned[1], config, "train must return (model, metrics)")
        return Answer(npy_files(model, task.offer.model.tensors), write_metrics(metrics), seconds), metrics

    def _refused(self, task: Task, code: str, detail: str, ended: Callable[..., Outcome]) -> Outcome:
        if code.startswith(LATE):
            self._progress.line(f"{task.name}: not counted, it came too late. {detail} [{code}]")
            return ended(False, code, detail)
        self._progress.line(f"{task.name}: refused. {detail} [{code}]")
        return ended(False, code, detail, UpdateRefused(code, f"The server refused the answer to {task.name}: {detail}"))


class _FunctionMissing(Exception):
    """The server asks for what this client cannot do."""


def _metrics(returned: Any, config: TaskConfig, rule: str) -> dict[str, Any]:
    if not isinstance(returned, Mapping):
        raise AnswerInvalid("ANSWER_INVALID", f"The metrics are a {type(returned).__name__}.", f"{rule}, a dict of numbers by name.")
    metrics, key = dict(returned), config.weighted_by_key
    if key and key not in metrics:
        if WEIGHT_ALIAS not in metrics:
            raise AnswerInvalid(
                "UPDATE_WEIGHT",
                f"The metrics lack {key!r}, which weighs the answer.",
                f"Return {key!r} or {WEIGHT_ALIAS!r}: how many examples.",
            )
        metrics[key] = metrics.pop(WEIGHT_ALIAS)
    return metrics


def _doing(task: Task) -> str:
    return "training" if task.kind == "train" else "evaluating"
