"""Flower's records in the plain terms of plan.json and npz."""

from __future__ import annotations

import base64
import io
import math
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .refusal import Refusal

INT64 = 2**63
# Order matters: a bool is an int in Python.
KINDS = ((bool, "bool"), (int, "sint"), (float, "double"), (str, "string"), (bytes, "bytes"))


def entries(config: Mapping[str, Any], where: str, drop: str | None = None) -> list[dict[str, Any]]:
    """A config as a list of typed entries, in the app's own order."""
    return [entry(key, value, where) for key, value in config.items() if key != drop]


def entry(key: str, value: Any, where: str) -> dict[str, Any]:
    """One typed entry; types are named as on Flower's wire, which keeps integers and reals apart."""
    if isinstance(value, (list, tuple)):
        # Flower writes an empty list as a list of the first allowed type.
        kind = _kind(value[0], key, where) if value else "bool"
        if any(_kind(item, key, where) != kind for item in value):
            raise Refusal("PLAN_INVALID", f"{where}: '{key}' mixes types in one list.", "Use values of one type.")
        name = "sint64_list" if kind == "sint" else f"{kind}_list"
        return {"key": key, "type": name, "value": [_plain(item, kind, key, where) for item in value]}
    kind = _kind(value, key, where)
    return {"key": key, "type": "sint64" if kind == "sint" else kind, "value": _plain(value, kind, key, where)}


def run_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The flattened run config; a value is typed only where plain JSON would lose its type (1.0, large integers)."""
    return {
        key: {"type": typed["type"], "value": typed["value"]} if _loses_type(value) else value
        for key, value in config.items()
        for typed in [entry(key, value, "[tool.flwr.app.config]")]
    }


def _loses_type(value: Any) -> bool:
    if isinstance(value, float):
        return value.is_integer() or not math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53


def _kind(value: Any, key: str, where: str) -> str:
    for python_type, kind in KINDS:
        if isinstance(value, python_type):
            return kind
    raise Refusal(
        "PLAN_INVALID",
        f"{where}: '{key}' is a {type(value).__name__}, which Flower cannot send.",
        "Use bool, int, float, str, bytes or a list of them.",
    )


def _plain(value: Any, kind: str, key: str, where: str) -> Any:
    if kind == "sint":
        if not -INT64 <= value < INT64:
            raise Refusal("PLAN_INVALID", f"{where}: '{key}' = {value} does not fit into 64 bits.", "Use a smaller number.")
        return str(int(value))
    if kind == "double":
        value = float(value)
        return value if math.isfinite(value) else "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if kind == "bytes":
        return base64.b64encode(value).decode()
    return bool(value) if kind == "bool" else str(value)


Tensor = tuple[str, bytes]  # name, npy bytes


def tensors_of_record(record: Mapping[str, Any]) -> list[Tensor]:
    """The arrays of an ArrayRecord as npy bytes, untouched and in order."""
    return [(name, _npy(name, array.data, array.stype)) for name, array in record.items()]


def tensors_of_parameters(parameters: Any) -> list[Tensor]:
    """Legacy Parameters; on the wire their arrays are named "0", "1", …"""
    return [(str(i), _npy(str(i), data, parameters.tensor_type)) for i, data in enumerate(parameters.tensors)]


def _npy(name: str, data: bytes, stype: str) -> bytes:
    if stype != "numpy.ndarray":
        raise Refusal(
            "MODEL_UNSUPPORTED",
            f"Initial array '{name}' is serialised as '{stype}'.",
            "Aegis reads arrays in numpy's format (stype 'numpy.ndarray').",
        )
    return data


def describe(tensors: Iterable[Tensor]) -> list[dict[str, Any]]:
    """Name, dtype and shape of each array, read from the npy headers."""
    import numpy as np

    rows = []
    for name, data in tensors:
        try:
            array = np.load(io.BytesIO(data), allow_pickle=False)
        except ValueError as error:
            raise Refusal(
                "MODEL_UNSUPPORTED", f"Initial array '{name}' cannot be read: {error}.", "Use numeric arrays."
            ) from error
        rows.append({"name": name, "dtype": str(array.dtype), "shape": list(array.shape)})
    return rows


def write_npz(path: Path, tensors: Iterable[Tensor]) -> None:
    """Write an npz in the given order. numpy's own writer would refuse some names that a model may have ('file')."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in tensors:
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(member, data)
