"""The messages of `aegis.node.v1`, and how a frame stands on the wire.

The message classes are made from descriptors (`node.binpb`, written by `make proto`) and not from generated code: that
demands a protobuf runtime of its own release or newer, while the environments people have bring anything from 4.25 up.
"""

from __future__ import annotations

import pkgutil
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# A pool of our own: another package in the process may know messages of the same names.
_pool = descriptor_pool.DescriptorPool()
_files = descriptor_pb2.FileDescriptorSet.FromString(pkgutil.get_data(__name__, "node.binpb") or b"")
for _file in _files.file:
    _pool.AddSerializedFile(_file.SerializeToString())


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"aegis.{name}"))


ClientFrame = _message("node.v1.ClientFrame")
ServerFrame = _message("node.v1.ServerFrame")
TensorUpdate = _message("node.v1.TensorUpdate")
Slice = _message("node.v1.Slice")
ConfigEntry = _message("events.v1.ConfigEntry")
Scalar = _message("events.v1.Scalar")

_kinds = _pool.FindEnumTypeByName("aegis.events.v1.TaskKind").values_by_name
TRAIN: int = _kinds["TASK_KIND_TRAIN"].number
EVALUATE: int = _kinds["TASK_KIND_EVALUATE"].number

METHOD = "/aegis.node.v1.Node/Connect"
PROTOCOL = 1

_CONTENT = 15  # the field of both frames that carries bulk bytes
_LEN = 2
_FIXED = {1: 8, 5: 4}


def join(head: Any, pieces: list[memoryview]) -> bytes:
    """A frame with its content. protobuf itself would copy the content twice more."""
    size = sum(piece.nbytes for piece in pieces)
    start = head.SerializeToString()
    if size == 0:
        return start
    return b"".join([start, _varint(_CONTENT << 3 | _LEN), _varint(size), *pieces])


def split(frame_type: Any, data: bytes) -> tuple[Any, memoryview]:
    """The frame without its content, and the content as a view into `data`. Raises ValueError for what is no frame."""
    view, position = memoryview(data), 0
    head: list[memoryview] = []
    content = view[:0]
    while position < len(view):
        begin = position
        tag, position = _read_varint(view, position)
        kind = tag & 7
        if kind == _LEN:
            length, position = _read_varint(view, position)
            end = position + length
        elif kind == 0:
            _, end = _read_varint(view, position)
        elif kind in _FIXED:
            end = position + _FIXED[kind]
        else:
            raise ValueError(f"wire type {kind}")
        if end > len(view):
            raise ValueError("cut off")
        if tag == _CONTENT << 3 | _LEN:
            content = view[position:end]
        else:
            head.append(view[begin:end])
        position = end
    try:
        return frame_type.FromString(b"".join(head)), content
    except Exception as error:  # DecodeError, which is a different class in every protobuf implementation
        raise ValueError(str(error)) from error


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(view: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        if position >= len(view):
            raise ValueError("cut off")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number too long")
