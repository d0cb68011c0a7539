"""The mod against Flower's own messages, in both styles of app."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.common import Array, ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from aegis_fl import NotPrivate, local_dp_mod

CAME = {"w": np.full((50, 40), 2.0, np.float32), "steps": np.array([7], np.int64)}


@pytest.fixture(autouse=True)
def task(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker process knows of itself before it makes messages."""
    monkeypatch.setattr(TaskIdentity, "_run_id", 1)
    monkeypatch.setattr(TaskIdentity, "_node_id", 1)
    monkeypatch.setattr(TaskIdentity, "_task_id", 1)


def message(kind: str = "train", key: str = "arrays") -> Message:
    record = ArrayRecord({name: Array.from_numpy_ndarray(array) for name, array in CAME.items()})
    return Message(content=RecordDict({key: record}), dst_node_id=1, message_type=kind)


def reply_with(arrays: dict[str, np.ndarray], key: str = "arrays") -> Any:
    def app(request: Message, _context: Context) -> Message:
        record = ArrayRecord({name: Array.from_numpy_ndarray(array) for name, array in arrays.items()})
        return Message(content=RecordDict({key: record, "metrics": MetricRecord({"loss": 0.5})}), reply_to=request)

    return app


def run(app: Any, sent: Message, sigma: float = 0.01, threshold: float = 1.0) -> Message:
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={})
    return local_dp_mod(dp_sigma=sigma, dp_threshold=threshold)(sent, context, app)


@pytest.mark.parametrize(("came", "goes"), [("arrays", "arrays"), ("fitins.parameters", "fitres.parameters")])
def test_the_difference_is_clipped_and_noised_and_the_rest_left(came: str, goes: str) -> None:
    learned = {"w": CAME["w"] + 1.0, "steps": CAME["steps"]}  # of norm √2000
    reply = run(reply_with(learned, goes), message(key=came))
    record = reply.content.array_records[goes]
    moved = record["w"].numpy() - CAME["w"]
    assert moved.dtype == np.float32 and list(record) == ["w", "steps"]
    assert abs(moved.mean() - 1 / np.sqrt(2000)) < 8 * 0.01 / np.sqrt(2000)
    assert abs(moved.std() / 0.01 - 1) < 8 / np.sqrt(4000)
    assert record["steps"].numpy() == 7 and reply.content.metric_records["metrics"]["loss"] == 0.5


def test_an_app_that_changes_what_it_was_given_is_measured_against_what_came() -> None:
    def app(request: Message, context: Context) -> Message:
        given = request.content.array_records["arrays"]
        learned = {"w": given["w"].numpy() + 1.0, "steps": CAME["steps"]}
        request.content["arrays"] = ArrayRecord({name: Array.from_numpy_ndarray(array) for name, array in learned.items()})
        return reply_with(learned)(request, context)

    moved = run(app, message()).content.array_records["arrays"]["w"].numpy() - CAME["w"]
    assert np.linalg.norm(moved) > 0.9


def test_evaluation_and_failures_pass() -> None:
    same = reply_with(CAME)
    assert np.array_equal(run(same, message("evaluate")).content.array_records["arrays"]["w"].numpy(), CAME["w"])
    failed = run(lambda request, _: Message(Error(code=0, reason="out of memory"), reply_to=request), message())
    assert failed.has_error()


@pytest.mark.parametrize(
    ("arrays", "code"),
    [
        ({"w": CAME["w"], "steps": CAME["steps"] + 1}, "TENSOR_NOT_NOISED"),
        ({"w": np.full_like(CAME["w"], np.nan), "steps": CAME["steps"]}, "VALUE_NOT_FINITE"),
        ({"w": CAME["w"]}, "TENSOR_MISSING"),
        ({"w": CAME["w"][:1], "steps": CAME["steps"]}, "TENSOR_SHAPE"),
    ],
)
def test_what_cannot_be_protected_fails_instead_of_leaving(arrays: dict[str, np.ndarray], code: str) -> None:
    with pytest.raises(NotPrivate) as refusal:
        run(reply_with(arrays), message())
    assert refusal.value.code == code


def test_a_reply_without_arrays_fails() -> None:
    with pytest.raises(NotPrivate):
        run(lambda request, _: Message(content=RecordDict(), reply_to=request), message())
