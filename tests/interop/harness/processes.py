"""Processes that end with the test that started them, children included."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
    "PYTHONUNBUFFERED": "1",
    # Small models on two cores: threads of the linear algebra library only stand in each other's way.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # One line per table cell in what the command line prints.
    "COLUMNS": "200",
    # A log-in prints its address; no browser need be found for it.
    "BROWSER": "true",
}


def environment(flwr_home: Path, **more: str) -> dict[str, str]:
    """The caller's environment without what pytest and other tests put there."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLWR_", "PYTEST_", "PYTHONPATH"))}
    return {**kept, **QUIET, "FLWR_HOME": str(flwr_home), **more}


class Process:
    """A child in a process group of its own, its output in a file."""

    def __init__(self, name: str, command: list[str], log: Path, env: dict[str, str], cwd: Path | None = None) -> None:
        self.name, self.log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=cwd, start_new_session=True
            )

    @property
    def alive(self) -> bool:
        return self.child.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, seconds: float = 10) -> None:
        """Ask the process to end, then end its whole group."""
        if self.alive:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def kill(self) -> None:
        """What a power cut does: nothing is said to anyone."""
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()

    def tail(self, lines: int = 30) -> str:
        return f"--- {self.name} ({self.log}) ---\n" + "\n".join(self.output.splitlines()[-lines:])


def wait_until(condition: Callable[[], object], seconds: float, what: str, watch: tuple[Process, ...] = ()) -> None:
    """Poll a condition that is true in the end. A watched process that ends makes waiting pointless."""
    deadline = time.monotonic() + seconds
    while not condition():
        dead = [process for process in watch if not process.alive]
        if dead or time.monotonic() > deadline:
            reason = f"{dead[0].name} ended" if dead else f"not within {seconds:g} s"
            raise AssertionError("\n".join([f"waiting for {what}: {reason}", *(process.tail() for process in watch)]))
        time.sleep(0.1)


_given: set[int] = set()


def free_port() -> int:
    """Of those that the kernel gives to nobody by itself (Linux: from 32768): it stays free until its program has started."""
    while True:
        port = random.randrange(15_000, 32_000)
        if port in _given:
            continue
        _given.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
