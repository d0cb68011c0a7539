"""Work from the server, as the functions see it and as the client keeps it."""

from __future__ import annotations

import math
import queue
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from . import _wire
from .errors import AegisError, TaskCancelled
from .stream import Stream, StreamLost
from .values import Value, read_config

TaskKind = Literal["train", "evaluate"]
KINDS: dict[int, TaskKind] = {_wire.TRAIN: "train", _wire.EVALUATE: "evaluate"}
# A server that is silent for so long while it owes us something is stuck; over a new stream it may not be. Seconds.
PATIENCE = 120.0


class Refused(Exception):
    """The server will not serve a request of this task; `again` says that it may a little later."""

    def __init__(self, code: str, detail: str, again: bool, part_id: str, request_id: int) -> None:
        super().__init__(f"{detail or 'refused'} [{code}]")
        self.code, self.detail, self.again, self.part_id, self.request_id = code, detail, again, part_id, request_id


class Task:
    """One task from its offer to its verdict. Frames about it come into its inbox, whichever stream brings them."""

    def __init__(self, offer: Any) -> None:
        self.offer = offer
        self.task_id: str = offer.task_id
        self.kind: TaskKind | None = KINDS.get(offer.kind)
        self.withdrawn: str | None = None
        # Once the answer is submitted only its verdict counts: an accepted task is withdrawn, too, and perhaps first.
        self.submitted = False
        # Of its ReadModel frames; an answer to another one belongs to a task before it.
        self.request_ids: set[int] = set()
        self._deadline = _deadline(offer)
        self._inbox: queue.SimpleQueue[tuple[Stream | None, Any, memoryview]] = queue.SimpleQueue()

    @property
    def name(self) -> str:
        return f"run {self.offer.run_id} round {self.offer.round}"

    @property
    def seconds_left(self) -> float:
        return self._deadline - time.monotonic()

    @property
    def cancelled(self) -> bool:
        return self.withdrawn is not None or self.seconds_left <= 0

    def offered_again(self, offer: Any) -> None:
        """The content of a task never changes; the time left is told anew."""
        self._deadline = _deadline(offer)

    def withdraw(self, reason: str) -> None:
        self.withdrawn = reason or "the round no longer waits for it"
        self.deliver(None, None, memoryview(b""))  # whoever waits looks again

    def deliver(self, stream: Stream | None, frame: Any, content: memoryview) -> None:
        self._inbox.put((stream, frame, content))

    def receive(self, stream: Stream) -> tuple[Any, memoryview]:
        """The next frame about this task on `stream`. Raises StreamLost, TaskCancelled, Refused."""
        until = time.monotonic() + PATIENCE
        while True:
            if self.withdrawn is not None and not self.submitted:
                raise TaskCancelled("TASK_CANCELLED", f"The server withdrew the task: {self.withdrawn}.")
            try:
                source, frame, content = self._inbox.get(timeout=0.5)
            except queue.Empty:
                if time.monotonic() > until:
                    stream.close()
                    raise StreamLost(f"the server was silent for {PATIENCE:.0f} s") from None
                if stream.ended:
                    raise StreamLost("the stream has ended") from None
                continue
            if source is not stream:
                continue  # of a stream that is lost; what it was about is asked again
            if frame is None:
                raise StreamLost("the stream has ended")
            if frame.WhichOneof("frame") == "refusal":
                refusal = frame.refusal
                if refusal.request_id and refusal.request_id not in self.request_ids:
                    continue
                raise Refused(refusal.code, refusal.detail, refusal.again, refusal.part_id, refusal.request_id)
            return frame, content


def _deadline(offer: Any) -> float:
    return time.monotonic() + offer.seconds_left if offer.seconds_left > 0 else math.inf


class TaskConfig(dict[str, Value]):
    """The configuration of one task, typed as the run's author wrote it, and what else is known about the task.

    `run_id`, `round` (from 1), `kind`, `app_id`, `weighted_by_key` (the metric that weighs this answer) are fixed. `cancelled` may
    turn true while the function works: the round no longer waits, and the function does well to return or raise.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(read_config(task.offer.config))
        self._task = task
        self.run_id: int = task.offer.run_id
        self.round: int = task.offer.round
        self.kind = task.kind
        self.app_id: str = task.offer.app_id
        self.weighted_by_key: str = task.offer.weighted_by_key

    @property
    def cancelled(self) -> bool:
        """Whether the server withdrew the task or its deadline passed."""
        return self._task.cancelled

    @property
    def seconds_left(self) -> float:
        """Seconds until the round no longer waits; infinity without a deadline; below 0 when it has passed."""
        return self._task.seconds_left

    def raise_if_cancelled(self) -> None:
        """Raises TaskCancelled if `cancelled`; for calls from inside a training loop."""
        if self.cancelled:
            raise TaskCancelled("TASK_CANCELLED", f"The round no longer waits: {self._task.withdrawn or 'its deadline passed'}.")


@dataclass(frozen=True)
class Outcome:
    """How one task ended. `code` and `detail` say why it was not accepted; `metrics` are those the function returned."""

    run_id: int
    round: int
    kind: TaskKind | None
    accepted: bool
    code: str = ""
    detail: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    """Wall-clock seconds of the function alone."""
    error: AegisError | Exception | None = field(default=None, repr=False, compare=False)
    """What the function raised, or what was wrong with its answer."""
