"""An answer cut into parts: pieces named by their SHA-256, which a server that has them does not want again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import _wire
from .tensors import NpyFile

# Elements are 8 bytes at most: no cut goes through one.
CUT = 64
LARGEST = 4 << 20


@dataclass(frozen=True)
class Part:
    """`pieces`, joined, are the content; they are views of the arrays that the answer is made of."""

    part_id: str
    pieces: list[memoryview]
    size: int


def part_bytes(max_part_bytes: int, window_bytes: int) -> int:
    """How large a part may be: small enough that the next one is on its way while one is stored."""
    return max(CUT, min(max_part_bytes, window_bytes // 2, LARGEST) // CUT * CUT)


def cut(files: Sequence[NpyFile], size: int) -> tuple[dict[str, Part], list[Any]]:
    """The parts by id, in order, and for each tensor its slices of them (TensorUpdate). Small tensors share a part, large ones
    have several; equal parts occur once. `size` is the most bytes of a part, a multiple of CUT."""
    cutter = _Cutter(size)
    tensors = [(file.name, cutter.add(file)) for file in files]
    cutter.finish()
    updates = [
        _wire.TensorUpdate(
            name=name,
            slices=[_wire.Slice(part_id=cutter.ids[number], offset=offset, length=length) for number, offset, length in slices],
        )
        for name, slices in tensors
    ]
    return cutter.parts, updates


class _Cutter:
    def __init__(self, size: int) -> None:
        self._size = size
        self._pieces: list[memoryview] = []
        self._used = 0
        self.ids: list[str] = []
        self.parts: dict[str, Part] = {}

    def add(self, file: NpyFile) -> list[tuple[int, int, int]]:
        """Returns (number of the part, offset, length) of each slice."""
        slices = []
        left = file.length
        for piece in (memoryview(file.header), file.payload):
            while piece.nbytes:
                taken = min(self._size - self._used, piece.nbytes)
                if taken < left:
                    taken -= taken % CUT
                if taken == 0:
                    self.finish()
                    continue
                slices.append((len(self.ids), self._used, taken))
                self._pieces.append(piece[:taken])
                self._used += taken
                left -= taken
                piece = piece[taken:]
        return _merge(slices)

    def finish(self) -> None:
        """Ends the part at hand."""
        if self._used == 0:
            return
        digest = hashlib.sha256()
        for piece in self._pieces:
            digest.update(piece)
        part_id = digest.hexdigest()
        self.ids.append(part_id)
        self.parts.setdefault(part_id, Part(part_id, self._pieces, self._used))
        self._pieces, self._used = [], 0


def _merge(slices: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Neighbours in one part become one slice: a header and its elements, mostly."""
    merged: list[tuple[int, int, int]] = []
    for number, offset, length in slices:
        if merged and merged[-1][0] == number and sum(merged[-1][1:]) == offset:
            merged[-1] = (number, merged[-1][1], merged[-1][2] + length)
        else:
            merged.append((number, offset, length))
    return merged
