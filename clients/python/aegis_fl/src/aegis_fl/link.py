"""The connection that is kept: streams come and go, tasks stay."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import grpc

from . import _wire
from .backoff import Backoff
from .consent import Consent
from .endpoint import Endpoint, final_error, unreachable
from .errors import AegisError, TaskCancelled
from .key import NodeKey
from .progress import Progress
from .stream import Stream, StreamLost, shown
from .task import Task

# A stream that lived for so long was no accident: after it, trying again begins quickly. Seconds.
STEADY = 10.0
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
LEAVE_SECONDS = 2.0
# Flower's numbers for what can go wrong with a message; the server shows them by name.
FUNCTION_MISSING, FUNCTION_RAISED, ANSWER_UNAVAILABLE, NODE_UNAVAILABLE = 1, 2, 4, 5


class Link:
    """Keeps a stream open in a thread of its own. All other methods are for the one thread that works on tasks."""

    def __init__(
        self,
        endpoint: Endpoint,
        key: NodeKey,
        client: str,
        invitation: str,
        consent: Consent,
        give_up_after: float | None,
        progress: Progress,
    ) -> None:
        self._endpoint, self._key, self._client, self._invitation = endpoint, key, client, invitation
        self._consent, self._give_up_after, self._progress = consent, give_up_after, progress
        self._changed = threading.Condition()
        self._stream: Stream | None = None  # opened
        self._latest: Stream | None = None  # perhaps not open yet
        self._failure: AegisError | None = None
        self._offers: dict[str, Task] = {}
        self._at_work: Task | None = None
        self._woken = False
        self._closing = threading.Event()
        self._request_ids = itertools.count(1)
        self._thread = threading.Thread(target=self._keep, name="aegis-link", daemon=True)
        self._thread.start()

    # --- for the thread that works

    def next_task(self, seconds: float | None) -> Task | None:
        """Waits for work and takes it; None after `seconds` without any, or when woken. Raises what makes going on pointless."""
        until = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while True:
                self._raise_failure()
                if self._offers:
                    task = self._offers.pop(next(iter(self._offers)))
                    self._at_work = task
                    if self._stream is not None:
                        self._accept(self._stream, task)
                    return task
                if self._woken or (until is not None and time.monotonic() >= until):
                    self._woken = False
                    return None
                self._changed.wait(_slice(until))

    def stream_for(self, task: Task) -> Stream:
        """The open stream; waits for one as long as the task is wanted. Raises TaskCancelled, and what makes going on pointless."""
        with self._changed:
            while self._stream is None or self._stream.ended:
                self._raise_failure()
                if task.cancelled and not task.submitted:
                    raise TaskCancelled("TASK_CANCELLED", "The round ended before the server was there again.")
                self._changed.wait(_slice(None))
            return self._stream

    def next_request_id(self) -> int:
        return next(self._request_ids)

    def done_with(self, task: Task) -> None:
        with self._changed:
            if self._at_work is task:
                self._at_work = None

    def fail(self, task: Task, code: int, reason: str) -> None:
        """The task will have no answer. Best effort: a lost stream offers it again."""
        with self._changed:
            stream = self._stream
        try:
            if stream is not None:
                stream.send(_wire.ClientFrame(fail_task={"task_id": task.task_id, "code": code, "reason": reason}))
        except StreamLost:
            pass

    def wake(self) -> None:
        """From any thread, also a signal's: the wait for work ends."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def leave(self) -> None:
        """Says goodbye, so that no round waits for this node, and ends."""
        self._closing.set()
        with self._changed:
            stream, latest = self._stream, self._latest
        if stream is not None:
            try:
                if self._at_work is not None:
                    self.fail(self._at_work, NODE_UNAVAILABLE, "the client was stopped")
                stream.send(_wire.ClientFrame(leave={}))
                stream.finish()
                self._thread.join(LEAVE_SECONDS)
            except StreamLost:
                pass
        if latest is not None:
            latest.close()
        self._thread.join(LEAVE_SECONDS)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # --- the thread that keeps the stream

    def _keep(self) -> None:
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        without_since = time.monotonic()
        while not self._closing.is_set():
            opened: float | None = None
            stream: Stream | None = None
            try:
                stream = self._latest = Stream(self._endpoint)
                stream.open(self._key, self._client, self._invitation)
                opened = time.monotonic()
                self._up(stream)
                for frame, content in stream:
                    self._dispatch(stream, frame, content)
                raise StreamLost("the server closed the stream")
            except Exception as error:  # whatever it is, the thread that works must hear of it
                lost = error
            finally:
                if stream is not None:
                    self._down(stream)
            if self._closing.is_set():
                return
            now = time.monotonic()
            if opened is not None:
                without_since = now
                if now - opened > STEADY:
                    backoff.reset()
            if (failure := self._final(lost, now - without_since)) is not None:
                return self._fail(failure)
            asked = lost.after if isinstance(lost, StreamLost) else 0.0
            wait = asked + backoff.next()
            word = "lost the connection to" if opened is not None else "no connection to"
            self._progress.waiting(f"{word} {self._endpoint.address} ({shown(lost)}); trying again in {wait:.1f} s")
            self._closing.wait(wait)

    def _final(self, error: Exception, seconds: float) -> AegisError | None:
        if isinstance(error, AegisError):
            return error
        if isinstance(error, grpc.RpcError):
            found = final_error(error, self._endpoint.address, self._key.public)
            if found is not None:
                return found
        elif not isinstance(error, StreamLost):
            return AegisError("CLIENT_INTERNAL", f"The connection thread failed: {error!r}.", "This is a bug in aegis-fl.")
        if self._give_up_after is not None and seconds > self._give_up_after:
            return unreachable(self._endpoint.address, shown(error), seconds)
        return None

    def _fail(self, failure: AegisError) -> None:
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    def _up(self, stream: Stream) -> None:
        with self._changed:
            self._stream = stream
            self._changed.notify_all()
        self._progress.line(f"connected to {self._endpoint.address} as node {stream.welcome.node_id}")
        self._consent.say(stream)

    def _down(self, stream: Stream) -> None:
        stream.close()
        with self._changed:
            self._stream = None
            self._offers.clear()  # the next stream offers again what is still wanted
            task = self._at_work
            self._changed.notify_all()
        if task is not None:
            task.deliver(stream, None, memoryview(b""))

    def _dispatch(self, stream: Stream, frame: Any, content: memoryview) -> None:
        kind = frame.WhichOneof("frame")
        if kind == "task_offer":
            self._offered(stream, frame.task_offer)
        elif kind == "task_withdrawn":
            self._withdrawn(frame.task_withdrawn)
        elif kind == "go_away":
            raise StreamLost(frame.go_away.reason or "the server is about to close", frame.go_away.after_seconds)
        elif kind is not None and kind != "heartbeat" and not self._consent.heard(stream, kind, frame):
            with self._changed:
                task = self._at_work
            about = getattr(getattr(frame, kind), "task_id", "")
            if task is not None and about in ("", task.task_id):
                task.deliver(stream, frame, content)

    def _offered(self, stream: Stream, offer: Any) -> None:
        with self._changed:
            if self._at_work is not None and self._at_work.task_id == offer.task_id:
                self._at_work.offered_again(offer)
                self._accept(stream, self._at_work)
                return
            self._offers[offer.task_id] = Task(offer)
            self._changed.notify_all()

    def _withdrawn(self, withdrawn: Any) -> None:
        with self._changed:
            self._offers.pop(withdrawn.task_id, None)
            if self._at_work is not None and self._at_work.task_id == withdrawn.task_id:
                self._at_work.withdraw(withdrawn.reason)

    def _accept(self, stream: Stream, task: Task) -> None:
        try:
            stream.send(_wire.ClientFrame(task_accepted={"task_id": task.task_id}))
        except StreamLost:
            pass  # the next stream offers it again


def _slice(until: float | None) -> float:
    """Waits are cut into slices: on some systems Ctrl-C is only noticed between them. Seconds."""
    return 0.5 if until is None else max(0.0, min(0.5, until - time.monotonic()))
