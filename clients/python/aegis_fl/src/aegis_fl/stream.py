"""One stream to the server, from its opening until it is lost."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import grpc

from . import _wire
from .endpoint import Endpoint
from .errors import AegisError, ProtocolMismatch
from .key import NodeKey

OPENING_SECONDS = 20.0
# A server that asks for less would be kept busy with nothing else.
SHORTEST_HEARTBEAT = 1.0
SMALLEST_PART = 1024

_Outgoing = tuple[Any, list[memoryview]]


class StreamLost(Exception):
    """The stream ended; the work goes on over the next one. `after` is what the server asked to wait, seconds."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after


class Stream:
    """Frames out by `send`, from any thread; frames in by iterating, in one. Iterating raises grpc.RpcError or StreamLost."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._outgoing: queue.SimpleQueue[_Outgoing | None] = queue.SimpleQueue()
        self._heartbeat = 30.0
        self._channel = endpoint.open()
        connect = self._channel.stream_stream(_wire.METHOD, request_serializer=lambda frame: _wire.join(*frame))
        self._call = connect(self._frames_out())
        self._ended = threading.Event()
        self.welcome: Any = None

    def open(self, key: NodeKey, client: str, invitation: str = "") -> None:
        """Says who we are and waits for the welcome. Raises grpc.RpcError, StreamLost, ProtocolMismatch."""
        watch = threading.Timer(OPENING_SECONDS, self._call.cancel)
        watch.daemon = True
        watch.start()
        try:
            nonce = self._expect("challenge").nonce
            hello = {"protocol": _wire.PROTOCOL, "client": client, "public_key": key.public_pem, "signature": key.answer(nonce)}
            hello["invitation"] = invitation
            self.send(_wire.ClientFrame(hello=hello))
            self.welcome = self._expect("welcome")
        finally:
            watch.cancel()
        if min(self.welcome.max_part_bytes, self.welcome.window_bytes) < SMALLEST_PART:
            raise ProtocolMismatch("PROTOCOL_MISMATCH", "The server takes no parts: its limits in Welcome are too small.")
        if self.welcome.heartbeat_seconds:
            self._heartbeat = max(SHORTEST_HEARTBEAT, float(self.welcome.heartbeat_seconds))
        self.send(_wire.ClientFrame(heartbeat={}))  # from here on heartbeats follow the server's interval

    def send(self, frame: Any, content: list[memoryview] | None = None) -> None:
        """Queues a frame. Raises StreamLost if the stream has ended."""
        if self._ended.is_set():
            raise StreamLost("the stream has ended")
        self._outgoing.put((frame, content or []))

    def __iter__(self) -> Iterator[tuple[Any, memoryview]]:
        for data in self._call:
            try:
                yield _wire.split(_wire.ServerFrame, data)
            except ValueError as error:
                raise StreamLost(f"a frame could not be read: {error}") from error

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def finish(self) -> None:
        """Nothing more will be sent; what is queued still is."""
        self._outgoing.put(None)

    def close(self) -> None:
        self._ended.set()
        self.finish()
        self._call.cancel()
        self._channel.close()

    def _frames_out(self) -> Iterator[_Outgoing]:
        """Pulled by gRPC one at a time, each when the last one left: a slow network holds no more than the queue's views."""
        while True:
            try:
                item = self._outgoing.get(timeout=self._heartbeat)
            except queue.Empty:
                item = (_wire.ClientFrame(heartbeat={}), [])
            if item is None:
                return
            yield item

    def _expect(self, name: str) -> Any:
        for frame, _ in self:
            kind = frame.WhichOneof("frame")
            if kind == "go_away":
                raise StreamLost(frame.go_away.reason or "the server is about to close", frame.go_away.after_seconds)
            if kind != name:
                raise ProtocolMismatch("PROTOCOL_MISMATCH", f"The server sent {kind or 'an unknown frame'} where {name} was due.")
            return getattr(frame, name)
        raise StreamLost("the server closed the stream at once")


def shown(error: Exception) -> str:
    """Why a connection failed, for a line of progress."""
    if isinstance(error, (StreamLost, AegisError)):
        return str(error)
    if isinstance(error, grpc.RpcError):
        details = error.details() or error.code().name
        if "onnection refused" in details:
            return "connection refused"
        if error.code() == grpc.StatusCode.CANCELLED:
            return "no answer"
        return details.splitlines()[0][:200]
    return repr(error)
