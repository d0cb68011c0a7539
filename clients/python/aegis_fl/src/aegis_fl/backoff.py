"""How long to wait before trying again."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Full jitter: each wait is drawn evenly from 0 to a bound that doubles, so that a thousand clients of a restarted server do
    not come back at once. Seconds."""

    def __init__(self, first: float, longest: float, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._first, self._longest, self._draw = first, longest, draw
        self._bound = first

    def next(self) -> float:
        bound, self._bound = self._bound, min(self._longest, self._bound * 2)
        return self._draw(0, bound)

    def reset(self) -> None:
        self._bound = self._first
