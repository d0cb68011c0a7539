"""The client: functions of the data owner, called with what the server asks for."""

from __future__ import annotations

import math
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from . import __version__
from .consent import Consent
from .endpoint import Pem, endpoint
from .key import node_key
from .link import Link
from .progress import Progress
from .task import Outcome, TaskConfig, TaskKind
from .tensors import Kind
from .work import Worker

TrainFunction = TypeVar("TrainFunction", bound=Callable[[Any, TaskConfig], tuple[Mapping[str, Any], Mapping[str, Any]]])
EvaluateFunction = TypeVar("EvaluateFunction", bound=Callable[[Any, TaskConfig], Mapping[str, Any]])

OUTCOMES_KEPT = 10_000


class Client:
    """A node of an Aegis server.

        client = aegis_fl.Client("aegis.example.org:9443", root_certificates="ca.pem", key="node.key")

        @client.train
        def train(model, config):
            ...
            return model, {"num_examples": len(x), "loss": loss}

        client.run()

    address             "host:port" of the server
    root_certificates   file (or PEM bytes) of the authorities that may have issued the server's certificate; default: those
                        that gRPC trusts by itself
    certificate         (chain, private key), files or PEM bytes, where the server wants a certificate from its clients
    insecure            plain text, for a development server on the same machine
    key                 file of the key this node is known by, made if there is none (`node.key`, and `node.key.pub` for the
                        operator). Without it every Client is a new node.
    invitation          token of `aegis nodes invite`, which lets an unknown key in, once. A known key does not need it any more.
    consent             {purpose: version of its text} that the data's owner agrees to: runs that ask for consent then may ask this
                        node. Said whole with every connection: what is not in it is withdrawn. Default: nothing is said.
    tensors             "numpy" (default) or "torch": what the functions are handed. They may return either.
    give_up_after       seconds without a connection until run() raises ServerUnreachable; None: try for ever
    progress            whether lines of progress go to stderr

    Raises KeyInvalid, CertificateRejected for files that cannot be used, ValueError for arguments that make no sense.
    """

    def __init__(
        self,
        address: str,
        *,
        root_certificates: Pem | None = None,
        certificate: tuple[Pem, Pem] | None = None,
        insecure: bool = False,
        key: Any = None,
        invitation: str | None = None,
        consent: Mapping[str, str] | None = None,
        tensors: Kind = "numpy",
        give_up_after: float | None = 600.0,
        progress: bool = True,
    ) -> None:
        if tensors not in ("numpy", "torch"):
            raise ValueError(f'tensors is "numpy" or "torch", not {tensors!r}')
        self._endpoint = endpoint(address, root_certificates, certificate, insecure)
        self._key = node_key(key)
        self._invitation = invitation or ""
        self._tensors: Kind = tensors
        self._give_up_after = give_up_after
        self._progress = Progress(progress)
        self._consent = Consent(consent, self._progress)
        self._functions: dict[TaskKind, Callable[..., Any]] = {}
        self._running = threading.Lock()
        self._link: Link | None = None
        self._stopped = False

    # --- what it can do

    def train(self, function: TrainFunction) -> TrainFunction:
        """Decorator: `function(model, config)` trains and returns `(model, metrics)`.

        `model` is a dict of writable arrays by name, the function's to change; `config` a dict with the run's typed values and the
        attributes of `TaskConfig`. The returned model has the same names, shapes and dtypes. `metrics` are numbers or lists of
        numbers; `num_examples` (or the run's own key, `config.weighted_by_key`) weighs the update and must be above 0.
        """
        self._functions["train"] = function
        return function

    def evaluate(self, function: EvaluateFunction) -> EvaluateFunction:
        """Decorator: `function(model, config)` returns metrics, `num_examples` among them."""
        self._functions["evaluate"] = function
        return function

    # --- doing it

    def run(
        self, *, rounds: int | None = None, idle: float | None = None, on_error: Literal["raise", "continue"] = "raise"
    ) -> list[Outcome]:
        """Connects, does what the server asks, and leaves: when stop() is called or Ctrl-C pressed, after the verdicts on
        `rounds` trainings, or when no work came for `idle` seconds (whichever is first; default: never). SIGTERM ends the process
        the same way.

        The functions run in the calling thread; the connection is kept by another one, comes back by itself, and goes on where
        it was. Returns how the tasks ended, oldest first (the last 10,000).

        With on_error="raise" an exception of a function, an answer that cannot be sent, and an update that the server refuses
        (UpdateRefused) end the run and are raised; with "continue" they are reported and the next task is awaited. An answer that
        came too late is only reported. What makes a connection pointless is always raised: NotEnrolled, CertificateRejected,
        ProtocolMismatch, ServerUnreachable.
        """
        if not self._functions:
            raise ValueError("nothing to do: decorate a function with @client.train or @client.evaluate first")
        if rounds is not None and rounds < 1:
            raise ValueError(f"rounds is {rounds}; it must be at least 1")
        if on_error not in ("raise", "continue"):
            raise ValueError(f'on_error is "raise" or "continue", not {on_error!r}')
        if not self._running.acquire(blocking=False):
            raise RuntimeError("this client is running already")
        try:
            self._stopped = False
            with _leaving_when_terminated():
                return self._run(math.inf if rounds is None else rounds, idle, on_error == "raise")
        finally:
            self._running.release()

    def stop(self) -> None:
        """Ends run() after the task at hand; from any thread, also from inside a function."""
        self._stopped = True
        if (link := self._link) is not None:
            link.wake()

    def _run(self, rounds: float, idle: float | None, raises: bool) -> list[Outcome]:
        outcomes: deque[Outcome] = deque(maxlen=OUTCOMES_KEPT)
        worker = Worker(self._functions, self._tensors, self._progress)
        name = f"aegis-fl/{__version__}"
        link = self._link = Link(
            self._endpoint, self._key, name, self._invitation, self._consent, self._give_up_after, self._progress
        )
        trained = 0
        try:
            while trained < rounds and not self._stopped:
                task = link.next_task(idle)
                if task is None:
                    break
                outcome = worker.do(link, task)
                link.done_with(task)
                outcomes.append(outcome)
                if raises and outcome.error is not None:
                    raise outcome.error
                if outcome.code == "FUNCTION_RAISED" and outcome.error is not None:
                    self._progress.line("".join(traceback.format_exception(outcome.error)).rstrip())
                if outcome.error is not None:
                    outcome.error.with_traceback(None)  # its frames hold models
                trained += outcome.kind == "train"
        except KeyboardInterrupt:
            self._progress.line("stopped by Ctrl-C")
        finally:
            self._link = None
            link.leave()
        return list(outcomes)


@contextmanager
def _leaving_when_terminated() -> Iterator[None]:
    """SIGTERM ends the process as it would, but through the goodbye. Whoever handles the signal goes on handling it."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    own = os.getpid()

    def end(number: int, _: object) -> None:
        if os.getpid() != own:  # a process that a function forked, a data loader perhaps
            os._exit(128 + number)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
