"""A server that does what a test says, frame by frame: for moments that the real door reaches only by accident."""

from __future__ import annotations

import hashlib
import io
import json
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from aegis_fl import _wire

NONCE = bytes(range(32))
MODEL = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros((), np.float32), "steps": np.array([7], np.int64)}


KINDS = [field.name for field in _wire.ClientFrame.DESCRIPTOR.oneofs_by_name["frame"].fields if field.name != "heartbeat"]


class Over(Exception):
    """Ends the stream with a status, as the script wants it."""

    def __init__(self, code: grpc.StatusCode, details: str = "", error: str = "") -> None:
        self.code, self.details, self.error = code, details, error


class Conversation:
    """One stream, seen by the server. A script calls these methods in the order it wants."""

    def __init__(self, requests: Any) -> None:
        self.out: queue.Queue[Any] = queue.Queue()
        self.public_key = b""
        self._heard: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._listen, args=(requests,), daemon=True).start()

    def _listen(self, requests: Any) -> None:
        try:
            for data in requests:
                self._heard.put(data)
        except Exception:  # the client is gone
            pass
        self._heard.put(None)

    def say(self, content: bytes = b"", **frame: Any) -> None:
        self.out.put(_wire.join(_wire.ServerFrame(**frame), [memoryview(content)]))

    def hear(self, *kinds: str, seconds: float = 20) -> tuple[Any, bytes]:
        """The next frame, which must be of one of these kinds; heartbeats are passed over unless they are wanted."""
        while (data := self._heard.get(timeout=seconds)) is not None:
            frame, content = _wire.split(_wire.ClientFrame, data)
            got = frame.WhichOneof("frame")
            if got == "heartbeat" and got not in kinds:
                continue
            assert got in kinds, f"heard {got} where {' or '.join(kinds)} was due"
            return getattr(frame, got), bytes(content)
        raise AssertionError(f"the client ended the stream where {' or '.join(kinds)} was due")

    def hear_nothing(self, seconds: float) -> None:
        try:
            heard = self.hear(*KINDS, seconds=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"heard {heard[0]}")

    def welcome(self, max_part: int = 1 << 20, window: int = 8 << 20, heartbeat: int = 20, takes_purposes: bool = False) -> None:
        self.say(challenge={"nonce": NONCE})
        hello, _ = self.hear("hello")
        assert hello.protocol == 1
        key = load_pem_public_key(hello.public_key)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(hello.signature, b"aegis.node.v1 hello\n" + NONCE, ec.ECDSA(hashes.SHA256()))
        self.public_key, self.invitation = hello.public_key, hello.invitation
        limits = {"heartbeat_seconds": heartbeat, "window_bytes": window, "max_part_bytes": max_part}
        self.say(welcome={"node_id": 7, "takes_purposes": takes_purposes, **limits})

    def offer(self, task: str = "t1", model: dict[str, np.ndarray] | None = None, kind: int = _wire.TRAIN, **more: Any) -> bytes:
        """Offers a task and returns its model's bytes."""
        model = MODEL if model is None else model
        tensors, body = [], b""
        for name, array in model.items():
            file = io.BytesIO()
            np.save(file, array)
            dtype = "bfloat16" if array.dtype.name == "bfloat16" else array.dtype.str
            tensors.append({"name": name, "dtype": dtype, "shape": array.shape, "offset": len(body), "length": len(file.getvalue())})
            body += file.getvalue()
        described = {"model_id": hashlib.sha256(body).hexdigest(), "bytes": len(body), "tensors": tensors}
        self.say(
            task_offer={
                "task_id": task,
                "run_id": 5,
                "round": 1,
                "kind": kind,
                "model": described,
                "weighted_by_key": "num-examples",
                **more,
            }
        )
        return body

    def serve_model(self, body: bytes) -> None:
        for _ in range(0, len(body), 4 << 20):
            asked, _ = self.hear("read_model")
            self.answer_read(asked, body)

    def answer_read(self, asked: Any, body: bytes) -> None:
        self.say(
            body[asked.offset : asked.offset + asked.length], model_bytes={"request_id": asked.request_id, "offset": asked.offset}
        )

    def take_update(self, task: str = "t1", stored: dict[str, bytes] | None = None) -> tuple[Any, dict[str, bytes]]:
        """Asks for the parts it lacks and takes them; returns the Submit and all parts."""
        parts = {} if stored is None else stored
        begin, _ = self.hear("begin_update")
        missing = [part_id for part_id in begin.part_ids if part_id not in parts]
        self.say(missing_parts={"task_id": task, "part_ids": missing})
        for _ in missing:
            self.take_part(parts)
        submit, _ = self.hear("submit")
        return submit, parts

    def take_part(self, parts: dict[str, bytes]) -> None:
        part, content = self.hear("part")
        assert hashlib.sha256(content).hexdigest() == part.part_id
        parts[part.part_id] = content
        self.say(part_stored={"task_id": part.task_id, "part_id": part.part_id})

    def accept(self, task: str = "t1") -> None:
        self.say(verdict={"task_id": task, "accepted": True})


def arrays_of(submit: Any, parts: dict[str, bytes]) -> dict[str, np.ndarray]:
    """The tensors of an answer, put together as a server does."""
    joined = {
        tensor.name: b"".join(parts[piece.part_id][piece.offset : piece.offset + piece.length] for piece in tensor.slices)
        for tensor in submit.tensors
    }
    return {name: np.load(io.BytesIO(file)) for name, file in joined.items()}


Script = Callable[[Conversation], None]


class ScriptedServer:
    """Plays one script per stream, in order. `check()` raises what went wrong inside a script."""

    def __init__(self, *scripts: Script, credentials: grpc.ServerCredentials | None = None, address: str = "127.0.0.1:0") -> None:
        self._scripts = list(scripts)
        self._problems: list[BaseException] = []
        self._played = threading.Semaphore(0)
        self._count = len(scripts)
        handler = grpc.stream_stream_rpc_method_handler(self._connect)
        # The client's keepalive pings come more often than gRPC's Python server likes by default.
        self._server = grpc.server(
            ThreadPoolExecutor(8), options=[("grpc.http2.min_ping_interval_without_data_ms", 1000), ("grpc.so_reuseport", 0)]
        )
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("aegis.node.v1.Node", {"Connect": handler})])
        port = self._server.add_secure_port(address, credentials) if credentials else self._server.add_insecure_port(address)
        self.address = f"127.0.0.1:{port}"
        self._server.start()

    def _connect(self, requests: Any, context: grpc.ServicerContext) -> Any:
        conversation = Conversation(requests)
        if not self._scripts:
            context.abort(grpc.StatusCode.UNAVAILABLE, "no more scripts")
        script = self._scripts.pop(0)

        def play() -> None:
            end: Any = None
            try:
                script(conversation)
            except Over as over:
                end = over
            except BaseException as problem:  # shown by check()
                self._problems.append(problem)
            finally:
                conversation.out.put(end)
                self._played.release()

        threading.Thread(target=play, daemon=True).start()
        while not ((frame := conversation.out.get()) is None or isinstance(frame, Over)):
            yield frame
        if frame is not None:
            if frame.error:
                context.set_trailing_metadata(
                    (("aegis-error-bin", json.dumps({"code": frame.error, "detail": frame.details}).encode()),)
                )
            context.abort(frame.code, frame.details)

    def check(self, seconds: float = 10) -> None:
        for _ in range(self._count):
            assert self._played.acquire(timeout=seconds), "a script was not played to its end"
        if self._problems:
            raise self._problems[0]

    def stop(self) -> None:
        self._server.stop(0).wait()
