"""Local differential privacy for Flower apps, as a mod: `ClientApp(mods=[local_dp_mod(...)])`, Flower 1.22 to 1.41."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .errors import NotPrivate
from .privatize import FlClientCore

Mod = Callable[[Any, Any, Callable[[Any, Any], Any]], Any]


def local_dp_mod(
    *, dp_threshold: float, dp_sigma: float | None = None, dp_epsilon: float | None = None, dp_delta: float | None = None
) -> Mod:
    """A mod that clips and noises what a training learned: the difference between the arrays that came and those that go.

        app = ClientApp(mods=[aegis_fl.local_dp_mod(dp_sigma=0.5, dp_threshold=1.0)])

    The arguments are those of FlClientCore. Put it last, so that no other mod sees the update before it. Works for apps on
    messages and for `NumPyClient`s. Arrays of integers or booleans must stay as they came.

    It protects the arrays alone: metrics of the reply, and whether a node replies at all, leave as they are.

    Raises NotPrivate while the app runs, so that the node reports a failure and no update, for anything that it cannot protect.
    """
    core = FlClientCore("", dp_threshold=dp_threshold, dp_sigma=dp_sigma, dp_epsilon=dp_epsilon, dp_delta=dp_delta)

    def mod(message: Any, context: Any, call_next: Callable[[Any, Any], Any]) -> Any:
        if not message.metadata.message_type.startswith("train"):
            return call_next(message, context)
        # Before the app runs: it may change what it was given.
        came = {name: array.numpy() for name, array in _one_record("message", message)[1].items()}
        reply = call_next(message, context)
        if reply.has_error():
            return reply
        key, record = _one_record("reply", reply)
        noised = _privatized(core, came, {name: array.numpy() for name, array in record.items()})
        array_type = next((type(array) for array in record.values()), None)
        reply.content[key] = type(record)({name: array_type.from_numpy_ndarray(array) for name, array in noised.items()})
        return reply

    return mod


def _one_record(what: str, message: Any) -> tuple[str, Mapping[str, Any]]:
    records = list(message.content.array_records.items())
    if len(records) != 1:
        raise NotPrivate(
            "ARGUMENT",
            f"The {what} of a training has {len(records)} ArrayRecords, not one.",
            "The update is the difference between one record that comes and one that goes.",
        )
    return records[0]


def _privatized(core: FlClientCore, came: Mapping[str, np.ndarray], goes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    if list(came) != list(goes):
        raise NotPrivate("TENSOR_MISSING", "The reply has other arrays than the message.", "Return the names that were received, in their order.")
    update = {}
    for name, array in goes.items():
        if array.shape != came[name].shape or array.dtype != came[name].dtype:
            raise NotPrivate("TENSOR_SHAPE", f"The array {name!r} has another shape or type than the one that came.")
        if array.dtype.kind == "f":
            update[name] = array.astype(np.float64) - came[name]
        elif not np.array_equal(array, came[name]):
            raise NotPrivate(
                "TENSOR_NOT_NOISED", f"The array {name!r} is {array.dtype} and was changed.", "Only floats can be noised: return it as it came."
            )
    noised = core.privatize_update(update)
    return {name: _added(came[name], noised[name]) if name in noised else array for name, array in goes.items()}


def _added(came: np.ndarray, update: np.ndarray) -> np.ndarray:
    """In the array's own type; what is beyond its range becomes its greatest value."""
    greatest = np.finfo(came.dtype).max
    return np.clip(came + update, -greatest, greatest).astype(came.dtype)
