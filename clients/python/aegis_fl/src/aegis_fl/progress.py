"""What a person who waits sees on stderr: lines of what happened, and on a terminal one line of what is going on."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from typing import TextIO

BETWEEN_LIVE = 0.1  # seconds
BETWEEN_REPEATS = 30.0


class Progress:
    """Used by two threads. `wanted=False` says nothing at all."""

    def __init__(self, wanted: bool, out: TextIO | None = None) -> None:
        self._wanted = wanted
        self._out = out
        self._lock = threading.Lock()
        self._shown = 0  # characters of the live line
        self._live_at = 0.0
        self._waiting_at = -BETWEEN_REPEATS

    def line(self, text: str) -> None:
        """Something happened."""
        self._waiting_at = -BETWEEN_REPEATS
        self._print(text)

    def waiting(self, text: str) -> None:
        """Said again and again while it lasts: a log keeps one line of it every half minute, a terminal shows the last."""
        now = time.monotonic()
        if now - self._waiting_at >= BETWEEN_REPEATS:
            self._waiting_at = now
            self._print(text)
        else:
            self.live(text, always=True)

    def live(self, text: str, always: bool = False) -> None:
        """What is going on; overwritten by whatever comes next, and shown on terminals only."""
        out = self._out or sys.stderr
        now = time.monotonic()
        if not self._wanted or not out.isatty() or (not always and now - self._live_at < BETWEEN_LIVE):
            return
        self._live_at = now
        width = shutil.get_terminal_size().columns - 1
        with self._lock:
            shown = f"aegis: {text}"[:width]
            out.write("\r" + shown.ljust(self._shown))
            out.flush()
            self._shown = len(shown)

    def _print(self, text: str) -> None:
        if not self._wanted:
            return
        out = self._out or sys.stderr
        with self._lock:
            if self._shown:
                out.write("\r" + " " * self._shown + "\r")
                self._shown = 0
            out.write(f"aegis: {text}\n")
            out.flush()


def megabytes(size: float) -> str:
    """Bytes for people."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB" if size >= 1e3 else f"{size:.0f} B"
