"""The two transfers of a task, which survive the streams they travel on: its model in, its answer out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _wire
from .backoff import Backoff
from .errors import ModelUnreadable
from .link import Link
from .parts import LARGEST, Part, cut, part_bytes
from .progress import Progress, megabytes
from .stream import Stream, StreamLost
from .task import Refused, Task
from .tensors import NpyFile

REQUESTS_UNDER_WAY = 2
AGAIN_FIRST, AGAIN_LONGEST = 0.1, 5.0


@dataclass
class _Request:
    offset: int
    length: int
    received: int = 0


def read_model(link: Link, task: Task, progress: Progress) -> np.ndarray:
    """The bytes of the task's model. Raises TaskCancelled, Refused, ModelUnreadable."""
    size = task.offer.model.bytes
    try:
        body = np.empty(size, np.uint8)
    except MemoryError as error:
        raise ModelUnreadable("MODEL_UNREADABLE", f"There is no memory for a model of {megabytes(size)}.") from error
    left = deque(_Request(offset, min(LARGEST, size - offset)) for offset in range(0, size, LARGEST))
    while left:
        stream = link.stream_for(task)
        under_way: dict[int, _Request] = {}
        try:
            _read_over(stream, link, task, body, left, under_way, progress)
        except StreamLost:
            left.extendleft(_Request(request.offset, request.length) for request in under_way.values())
    return body


def _read_over(
    stream: Stream, link: Link, task: Task, body: np.ndarray, left: deque[_Request], under_way: dict[int, _Request], progress: Progress
) -> None:
    target = memoryview(body)
    backoff = Backoff(AGAIN_FIRST, AGAIN_LONGEST)
    while left or under_way:
        while left and len(under_way) < REQUESTS_UNDER_WAY:
            request_id, request = link.next_request_id(), left.popleft()
            under_way[request_id] = request
            task.request_ids.add(request_id)
            asked = {"request_id": request_id, "task_id": task.task_id, "offset": request.offset, "length": request.length}
            stream.send(_wire.ClientFrame(read_model=asked))
        try:
            frame, content = task.receive(stream)
        except Refused as refused:
            if not refused.again:
                raise
            if refused.request_id in under_way:
                again = under_way.pop(refused.request_id)
                left.appendleft(_Request(again.offset, again.length))
                time.sleep(backoff.next())
            continue
        if frame.WhichOneof("frame") != "model_bytes" or frame.model_bytes.request_id not in under_way:
            continue
        request = under_way[frame.model_bytes.request_id]
        offset, end = frame.model_bytes.offset, frame.model_bytes.offset + len(content)
        if len(content) == 0 or offset < request.offset or end > request.offset + request.length:
            raise ModelUnreadable("MODEL_UNREADABLE", f"The server sent bytes {offset}-{end} of the model, which were not asked for.")
        target[offset:end] = content
        request.received += len(content)
        if request.received >= request.length:
            del under_way[frame.model_bytes.request_id]
        got = body.size - sum(request.length - request.received for request in (*left, *under_way.values()))
        progress.live(f"{task.name}: model {megabytes(got)} of {megabytes(body.size)}")


class Answer:
    """What the function returned, ready to be sent over any number of streams."""

    def __init__(self, files: Sequence[NpyFile], metrics: Sequence[Any], seconds: float) -> None:
        self.metrics, self.seconds = metrics, seconds
        self.bytes = sum(file.length for file in files)
        self._files = files
        self._cut: tuple[dict[str, Part], list[Any]] | None = None

    def parts_for(self, welcome: Any) -> tuple[dict[str, Part], list[Any]]:
        """Parts and tensors. Cut once, so that parts stored before a lost stream count after it; again only if the server, back
        with other limits, would not take them."""
        size = part_bytes(welcome.max_part_bytes, welcome.window_bytes)
        if self._cut is None or any(part.size > min(welcome.max_part_bytes, welcome.window_bytes) for part in self._cut[0].values()):
            self._cut = cut(self._files, size)
        return self._cut


def hand_in(link: Link, task: Task, answer: Answer, progress: Progress) -> Any:
    """Sends the parts that the server lacks, then the answer; returns its Verdict. Raises TaskCancelled, Refused."""
    while True:
        stream = link.stream_for(task)
        try:
            return _hand_in_over(stream, task, answer, progress)
        except StreamLost:
            continue


def _hand_in_over(stream: Stream, task: Task, answer: Answer, progress: Progress) -> Any:
    parts, tensors = answer.parts_for(stream.welcome)
    if parts and (early := _send_parts(stream, task, parts, progress)) is not None:
        return early
    submit = {"task_id": task.task_id, "tensors": tensors, "metrics": answer.metrics, "runtime_seconds": answer.seconds}
    progress.live(f"{task.name}: waiting for the verdict", always=True)
    task.submitted = True
    _, verdict = _asked(stream, task, _wire.ClientFrame(submit=submit), "verdict")
    return verdict


def _send_parts(stream: Stream, task: Task, parts: dict[str, Part], progress: Progress) -> Any:
    """Returns a verdict that came meanwhile, None otherwise."""
    begin = _wire.ClientFrame(begin_update={"task_id": task.task_id, "part_ids": list(parts)})
    kind, missing = _asked(stream, task, begin, "missing_parts")
    if kind == "verdict":
        return missing
    wanted = set(missing.part_ids)
    left = deque(part for part_id, part in parts.items() if part_id in wanted)
    total, stored = sum(part.size for part in left), 0
    under_way: dict[str, Part] = {}
    window = stream.welcome.window_bytes
    backoff = Backoff(AGAIN_FIRST, AGAIN_LONGEST)
    while left or under_way:
        while left and sum(part.size for part in under_way.values()) + left[0].size <= window:
            part = left.popleft()
            under_way[part.part_id] = part
            stream.send(_wire.ClientFrame(part={"task_id": task.task_id, "part_id": part.part_id}), part.pieces)
        try:
            frame, _ = task.receive(stream)
        except Refused as refused:
            if not refused.again:
                raise
            if refused.part_id in under_way:
                left.append(under_way.pop(refused.part_id))
                time.sleep(backoff.next())
            continue
        kind = frame.WhichOneof("frame")
        if kind == "verdict":
            return frame.verdict
        if kind == "part_stored" and frame.part_stored.part_id in under_way:
            stored += under_way.pop(frame.part_stored.part_id).size
            backoff.reset()
            progress.live(f"{task.name}: sent {megabytes(stored)} of {megabytes(total)}")
    return None


def _asked(stream: Stream, task: Task, request: Any, reply: str) -> tuple[str, Any]:
    """Sends a request, again if the server wants so, until `reply` or a verdict comes."""
    backoff = Backoff(AGAIN_FIRST, AGAIN_LONGEST)
    stream.send(request)
    while True:
        try:
            frame, _ = task.receive(stream)
        except Refused as refused:
            if not refused.again or refused.part_id:
                raise
            time.sleep(backoff.next())
            stream.send(request)
            continue
        kind = frame.WhichOneof("frame")
        if kind in (reply, "verdict"):
            return kind, getattr(frame, kind)
