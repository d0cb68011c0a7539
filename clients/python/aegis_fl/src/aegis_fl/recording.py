"""A Grid that sends nothing: it shows made-up nodes and ends the app at its first message."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

MOST_NODES = 4096
RUN_ID = 1


class Stop(BaseException):
    """Unwinds the app. Not an Exception, so that an app's own `except Exception` lets it pass."""


class Recording:
    """What the app has shown so far. It outlives the Stop, which an app may swallow."""

    def __init__(self) -> None:
        self.found: Any = None  # MessageRun or LegacyRun
        self.pushed_itself = False

    def stop(self, found: Any = None) -> None:
        if self.found is None:
            self.found = found
        raise Stop


def make_grid(recording: Recording, nodes: int) -> Any:
    """A Grid of the installed release. Built at run time: the class moves between releases."""
    try:
        from flwr.serverapp import Grid
    except ImportError:
        from flwr.server import Grid

    class RecordingGrid(Grid):
        def __init__(self) -> None:
            self.count = nodes
            self._asked = 0
            self._run = _run()

        def set_run(self, run: Any) -> None:
            pass

        @property
        def run(self) -> Any:
            return self._run

        def get_node_ids(self) -> Iterable[int]:
            # An app that asks again and again waits for more nodes than there are: let more of them come.
            self._asked += 1
            if self._asked > 3 and self.count < MOST_NODES:
                self.count *= 2
            return [100_000_007 * (i + 1) for i in range(self.count)]

        def at_least(self, nodes: int) -> None:
            self.count = max(self.count, nodes)
            self._asked = -(2**31)  # from here on the number stays

        def create_message(self, content: Any, message_type: str, dst_node_id: int, group_id: str, ttl: Any = None) -> Any:
            from flwr.app import Message

            return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

        def push_messages(self, messages: Iterable[Any]) -> Iterable[str]:
            recording.pushed_itself = True
            recording.stop()
            return []

        def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Any]:
            return []

        def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> Iterable[Any]:
            return self.push_messages(messages)

    RecordingGrid.__abstractmethods__ = frozenset()  # a release may ask for more than an app ever calls
    return RecordingGrid()


def _run() -> Any:
    try:
        from flwr.supercore.run import Run
    except ImportError:
        try:
            from flwr.common.typing import Run
        except ImportError:
            return SimpleNamespace(run_id=RUN_ID)
    return Run.create_empty(RUN_ID)


def make_context(run_config: dict[str, Any]) -> Any:
    """The Context a ServerApp process would get, and the identity that newer releases keep beside it."""
    from flwr.app import Context, RecordDict

    try:
        from flwr.supercore.task_identity import TaskIdentity

        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, RUN_ID, 1
    except ImportError:
        pass  # releases before it need none
    return Context(run_id=RUN_ID, node_id=1, node_config={}, state=RecordDict(), run_config=run_config)
