"""Models as people handle them (dicts of numpy arrays or torch tensors) and as they travel (`.npy` files)."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .errors import AnswerInvalid, ModelUnreadable

Kind = Literal["numpy", "torch"]
# numpy knows no bfloat16 of its own and writes it as records of two bytes.
BFLOAT16, BFLOAT16_DESCR = "bfloat16", "<V2"


@dataclass(frozen=True)
class NpyFile:
    """One tensor of an answer: the header of its `.npy` file, and its elements in C order, not copied if they were."""

    name: str
    header: bytes
    payload: memoryview

    @property
    def length(self) -> int:
        return len(self.header) + self.payload.nbytes


def open_model(specs: Sequence[Any], body: np.ndarray, kind: Kind) -> dict[str, Any]:
    """The model in `body` (bytes), by name, in its own order. The arrays are views into `body`, writable, the caller's to change.
    Raises ModelUnreadable."""
    model = {spec.name: _array(spec, body, kind) for spec in specs}
    if kind == "numpy":
        return model
    torch = _torch()
    return {
        name: torch.from_numpy(array).view(torch.bfloat16) if spec.dtype == BFLOAT16 else torch.from_numpy(array)
        for spec, (name, array) in zip(specs, model.items(), strict=True)
    }


def _array(spec: Any, body: np.ndarray, kind: Kind) -> np.ndarray:
    dtype = _dtype(spec, kind)
    shape = tuple(spec.shape)
    count = math.prod(shape)
    start = spec.offset + spec.length - count * dtype.itemsize
    if start < spec.offset or spec.offset + spec.length > body.size:
        raise ModelUnreadable("MODEL_UNREADABLE", f"The tensor {spec.name!r} lies outside of the model.")
    array = np.frombuffer(body, dtype, count, start).reshape(shape)
    # After a tensor of odd size the next one may begin anywhere; arithmetic on it would be slow, and torch takes none.
    return array if array.flags.aligned else array.copy()


def _dtype(spec: Any, kind: Kind) -> np.dtype:
    if spec.dtype != BFLOAT16:
        try:
            return np.dtype(spec.dtype)
        except TypeError as error:
            raise ModelUnreadable("MODEL_UNREADABLE", f"numpy has no dtype {spec.dtype!r} (tensor {spec.name!r}).") from error
    if kind == "torch":
        return np.dtype("<i2")  # the same bits, viewed as bfloat16 by torch itself
    try:
        import ml_dtypes
    except ImportError as error:
        raise ModelUnreadable(
            "MODEL_UNREADABLE",
            f"The tensor {spec.name!r} is bfloat16, which numpy alone does not know.",
            'Install ml_dtypes, or take torch tensors: Client(…, tensors="torch").',
        ) from error
    return np.dtype(ml_dtypes.bfloat16)


def npy_files(model: Any, specs: Sequence[Any]) -> list[NpyFile]:
    """The tensors of an answer, in the model's order. `specs` is what the model had: names, shapes and dtypes must be the
    same. Raises AnswerInvalid, which names the tensor and what to do."""
    if not isinstance(model, Mapping):
        raise AnswerInvalid("ANSWER_INVALID", f"The model is a {type(model).__name__}.", "Return a dict of arrays or tensors by name.")
    _check_names(model, [spec.name for spec in specs])
    files = []
    for spec in specs:
        array, descr = elements(spec.name, model[spec.name])
        _check(spec, array, descr)
        files.append(_npy(spec.name, array, descr))
    return files


def elements(name: Any, value: Any) -> tuple[np.ndarray, str]:
    """The array, and its element type as an `.npy` header names it (bfloat16 by its own name)."""
    descr = None
    if (torch := sys.modules.get("torch")) and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        if value.dtype == torch.bfloat16:
            value, descr = value.contiguous().view(torch.int16), BFLOAT16
        value = value.resolve_conj().resolve_neg().numpy()
    array = np.asarray(value)
    if array.dtype.name == BFLOAT16:
        descr = BFLOAT16
    if descr is None:
        if array.dtype.kind not in "biuf":
            raise AnswerInvalid(
                "UPDATE_TENSORS", f"The tensor {name!r} is {array.dtype}, which cannot be averaged.", "Return plain numeric arrays."
            )
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        descr = array.dtype.str
    # Not ascontiguousarray, which gives a scalar a dimension.
    return (array if array.flags.c_contiguous else array.copy(order="C")), descr


def _check_names(model: Mapping[Any, Any], names: list[str]) -> None:
    missing = [name for name in names if name not in model]
    known = set(names)
    extra = [name for name in model if name not in known]
    if missing or extra:
        found = [f"{word} {_few(which)}" for word, which in (("lacks", missing), ("has unknown", extra)) if which]
        raise AnswerInvalid("UPDATE_TENSORS", f"The returned model {' and '.join(found)}.", "Return the names that were received.")


def _check(spec: Any, array: np.ndarray, descr: str) -> None:
    shape = tuple(spec.shape)
    if array.shape != shape:
        raise AnswerInvalid("UPDATE_TENSORS", f"The tensor {spec.name!r} has the shape {array.shape}, the model's has {shape}.")
    wanted = spec.dtype if spec.dtype == BFLOAT16 else np.dtype(spec.dtype).str
    if descr != wanted:
        name = wanted if wanted == BFLOAT16 else np.dtype(wanted).name
        got = descr if descr == BFLOAT16 else np.dtype(descr).name
        raise AnswerInvalid(
            "UPDATE_TENSORS",
            f"The tensor {spec.name!r} is {got}, the model's is {name}.",
            f"Convert it: .astype({name!r}) or .to(torch.{name}).",
        )


def _npy(name: str, array: np.ndarray, descr: str) -> NpyFile:
    header = io.BytesIO()
    named = BFLOAT16_DESCR if descr == BFLOAT16 else descr
    np.lib.format.write_array_header_1_0(header, {"descr": named, "fortran_order": False, "shape": array.shape})
    return NpyFile(name, header.getvalue(), memoryview(array.reshape(-1).view(np.uint8)))


def _few(names: Sequence[Any]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ModelUnreadable(
            "MODEL_UNREADABLE", 'tensors="torch" was asked for, but torch is not installed.', "pip install torch"
        ) from error
    return torch
