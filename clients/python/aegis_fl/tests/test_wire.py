"""Frames, values and lines, each by itself."""

from __future__ import annotations

import io

import numpy as np
import pytest

import aegis_fl
from aegis_fl import _wire
from aegis_fl.backoff import Backoff
from aegis_fl.progress import Progress
from aegis_fl.values import read_config, write_metrics


def test_content_joined_to_a_frame_reads_as_protobuf_itself_reads_it() -> None:
    head = _wire.ClientFrame(part={"task_id": "t", "part_id": "p"})
    data = _wire.join(head, [memoryview(b"ab"), memoryview(bytes(300))])

    whole = _wire.ClientFrame.FromString(data)
    assert whole.part == head.part and whole.content == b"ab" + bytes(300)
    frame, content = _wire.split(_wire.ClientFrame, whole.SerializeToString())
    assert frame == head and bytes(content) == whole.content
    assert _wire.join(head, []) == head.SerializeToString()


def test_content_is_found_wherever_it_stands_and_unknown_fields_are_passed_over() -> None:
    unknown = b"\xa0\x01\x05" + b"\xa9\x01" + bytes(8) + b"\xad\x01" + bytes(4)  # a number, a 64-bit and a 32-bit field
    data = b"\x7a\x02hi" + unknown + _wire.ServerFrame(heartbeat={}).SerializeToString()
    frame, content = _wire.split(_wire.ServerFrame, data)
    assert frame.WhichOneof("frame") == "heartbeat" and bytes(content) == b"hi"


@pytest.mark.parametrize(
    "data", [b"\x7a", b"\x7a\x05hi", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x0b", b"\x0a\x02\xff\xff"]
)
def test_bytes_that_are_no_frame_are_refused(data) -> None:
    with pytest.raises(ValueError):
        _wire.split(_wire.ServerFrame, data)


def test_values_keep_their_type() -> None:
    values = {"a": 1, "b": 1.0, "c": True, "d": "x", "e": b"y", "f": [1, 2], "g": [1.0], "h": [False], "i": ["z"], "j": [b"w"]}
    names = {"a": "integer", "b": "real", "c": "flag", "d": "text", "e": "data"}
    lists = {"f": "integers", "g": "reals", "h": "flags", "i": "texts", "j": "datas"}
    entries = [_wire.ConfigEntry(key=key, value=_wire.Scalar(**{kind: values[key]})) for key, kind in names.items()]
    entries += [_wire.ConfigEntry(key=key, value=_wire.Scalar(**{kind: {"values": values[key]}})) for key, kind in lists.items()]
    read = read_config(entries)
    assert read == values
    assert [type(value) for value in read.values()] == [type(value) for value in values.values()]


def test_metrics_of_python_and_numpy_become_numbers() -> None:
    metrics = {
        "n": 3,
        "loss": np.float32(0.5),
        "ok": True,
        "per": np.array([1, 2]),
        "curve": [0.5, 1],
        "none": [],
        "big": np.uint64(7),
    }
    written = {entry.key: entry.value for entry in write_metrics(metrics)}
    assert written["n"].integer == 3 and written["loss"].real == 0.5 and written["ok"].integer == 1
    assert list(written["per"].integers.values) == [1, 2] and list(written["curve"].reals.values) == [0.5, 1]
    assert written["none"].WhichOneof("value") == "reals" and written["big"].integer == 7


@pytest.mark.parametrize("metrics", [{"x": "text"}, {"x": None}, {"x": [[1]]}, {"x": 2**63}, {"x": {"y": 1}}, {3: 1}])
def test_metric_that_is_no_number_is_named(metrics) -> None:
    with pytest.raises(aegis_fl.AnswerInvalid) as raised:
        write_metrics(metrics)
    assert raised.value.code == "UPDATE_METRICS" and str(next(iter(metrics))) in raised.value.detail


def test_waits_are_drawn_below_a_bound_that_doubles_up_to_the_longest() -> None:
    bounds = []
    backoff = Backoff(0.5, 3.0, lambda low, high: bounds.append((low, high)) or high)
    for _ in range(5):
        backoff.next()
    backoff.reset()
    backoff.next()
    assert bounds == [(0, 0.5), (0, 1.0), (0, 2.0), (0, 3.0), (0, 3.0), (0, 0.5)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_has_a_live_line_that_lines_replace_and_a_log_has_lines_only() -> None:
    for out, expected in ((Terminal(), "\raegis: 1 of 2\r" + 13 * " " + "\raegis: done\n"), (io.StringIO(), "aegis: done\n")):
        progress = Progress(True, out)
        progress.live("1 of 2")
        progress.line("done")
        assert out.getvalue() == expected


def test_repeated_waiting_is_one_line_in_a_log() -> None:
    out = io.StringIO()
    progress = Progress(True, out)
    for i in range(3):
        progress.waiting(f"trying again {i}")
    assert out.getvalue() == "aegis: trying again 0\n"


def test_silent_progress_says_nothing() -> None:
    out = Terminal()
    progress = Progress(False, out)
    progress.line("x")
    progress.live("y")
    progress.waiting("z")
    assert out.getvalue() == ""
