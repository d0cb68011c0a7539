"""Configuration and metrics: typed scalars and lists of one type, as Python has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Union

import numpy as np

from . import _wire
from .errors import AnswerInvalid

Value = Union[bool, int, float, str, bytes, list[bool], list[int], list[float], list[str], list[bytes]]
Metrics = Mapping[str, Any]

_LISTS = {"reals", "integers", "flags", "texts", "datas"}
_LARGEST = 2**63


def read_config(entries: Iterable[Any]) -> dict[str, Value]:
    """The entries of a task as a dict, in their order."""
    return {entry.key: _value(entry.value) for entry in entries}


def _value(scalar: Any) -> Value:
    kind = scalar.WhichOneof("value")
    if kind is None:
        return 0.0
    value = getattr(scalar, kind)
    return list(value.values) if kind in _LISTS else value


def write_metrics(metrics: Metrics) -> list[Any]:
    """Numbers and lists of numbers, of Python, numpy or torch; bools count as 0 and 1. Raises AnswerInvalid."""
    return [_wire.ConfigEntry(key=_key(key), value=_scalar(key, value)) for key, value in metrics.items()]


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    raise AnswerInvalid("UPDATE_METRICS", f"The metrics have the key {key!r}; keys are text.")


def _scalar(key: str, value: Any) -> Any:
    if hasattr(value, "detach"):  # a torch tensor
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.ndim > 1 or array.dtype.kind not in "biuf":
        raise AnswerInvalid(
            "UPDATE_METRICS",
            f"The metric {key!r} is {_shown(value)}; metrics are numbers or lists of numbers.",
            "Return float(…) or int(…) of it, or leave it out.",
        )
    plain = array.astype(float if array.dtype.kind == "f" else object).tolist()
    if array.dtype.kind == "f":
        return _wire.Scalar(real=plain) if array.ndim == 0 else _wire.Scalar(reals={"values": plain})
    whole = [int(number) for number in (plain if array.ndim else [plain])]
    if any(not -_LARGEST <= number < _LARGEST for number in whole):
        raise AnswerInvalid("UPDATE_METRICS", f"The metric {key!r} does not fit 64 bits.")
    return _wire.Scalar(integer=whole[0]) if array.ndim == 0 else _wire.Scalar(integers={"values": whole})


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"
