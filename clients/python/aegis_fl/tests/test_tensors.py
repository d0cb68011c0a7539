"""Arrays in, `.npy` files and parts out, and back."""

from __future__ import annotations

import hashlib
import io
import sys
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

import aegis_fl
from aegis_fl.parts import CUT, cut, part_bytes
from aegis_fl.tensors import npy_files, open_model

DTYPES = ["<f2", "<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "|b1"]


def offered(model: dict[str, np.ndarray]) -> tuple[list[SimpleNamespace], np.ndarray]:
    """A model as a server offers it: specs, and the files one after the other."""
    specs, body = [], b""
    for name, array in model.items():
        file = io.BytesIO()
        np.save(file, array)
        dtype = "bfloat16" if array.dtype == ml_dtypes.bfloat16 else array.dtype.str
        specs.append(SimpleNamespace(name=name, dtype=dtype, shape=list(array.shape), offset=len(body), length=len(file.getvalue())))
        body += file.getvalue()
    return specs, np.frombuffer(bytearray(body), np.uint8)


def joined(files) -> dict[str, bytes]:
    return {file.name: file.header + bytes(file.payload) for file in files}


def many() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    model = {f"{dtype}-{shape}": (random.random(shape) * 9).astype(dtype) for dtype in DTYPES for shape in [(3, 5), (), (0, 2), (7,)]}
    return {**model, "bf16": (random.random((4, 3)) * 9).astype(ml_dtypes.bfloat16)}


def test_every_dtype_and_shape_comes_and_goes_byte_for_byte() -> None:
    model = many()
    specs, body = offered(model)

    opened = open_model(specs, body, "numpy")
    for name, array in model.items():
        assert opened[name].dtype == array.dtype and opened[name].shape == array.shape
        assert opened[name].tobytes() == array.tobytes()
        assert opened[name].flags.writeable and opened[name].flags.aligned
    files = joined(npy_files(opened, specs))
    assert b"".join(files.values()) == body.tobytes()


def test_arrays_of_a_large_model_are_views_and_not_copies() -> None:
    model = {"w": np.ones((64, 64), np.float32)}
    specs, body = offered(model)
    opened = open_model(specs, body, "numpy")
    assert np.shares_memory(opened["w"], body)
    (file,) = npy_files(opened, specs)
    assert np.shares_memory(np.frombuffer(file.payload, np.uint8), body)


def test_other_memory_layouts_and_byte_orders_are_sent_as_the_model_has_them() -> None:
    wanted = np.arange(12, dtype=np.float32).reshape(3, 4)
    specs, body = offered({"w": wanted})
    for array in (np.asfortranarray(wanted), wanted.astype(">f4"), np.repeat(wanted, 2, axis=1)[:, ::2], wanted.tolist()):
        if isinstance(array, list):
            array = np.array(array, np.float32)
        assert joined(npy_files({"w": array}, specs))["w"] == body.tobytes()


def test_scalar_of_numpy_is_an_array_without_dimensions() -> None:
    specs, body = offered({"b": np.zeros((), np.float32)})
    assert joined(npy_files({"b": np.float32(0)}, specs))["b"] == body.tobytes()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array(["a"]), "cannot be averaged"),
        (np.array([object()]), "cannot be averaged"),
        (np.zeros(2, complex), "cannot be averaged"),
        (np.zeros(3, np.float32), "has the shape (3,), the model's has (2,)"),
        (np.zeros(2, ml_dtypes.bfloat16), "is bfloat16, the model's is float32"),
    ],
)
def test_array_that_does_not_fit_is_named(array, words) -> None:
    specs, _ = offered({"w": np.zeros(2, np.float32)})
    with pytest.raises(aegis_fl.AnswerInvalid) as raised:
        npy_files({"w": array}, specs)
    assert "'w'" in str(raised.value) and words in str(raised.value)


def test_bfloat16_without_ml_dtypes_says_what_to_install(monkeypatch) -> None:
    specs, body = offered({"w": np.zeros(2, ml_dtypes.bfloat16)})
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(aegis_fl.ModelUnreadable, match="Install ml_dtypes"):
        open_model(specs, body, "numpy")


def test_model_that_ends_before_its_tensors_do_is_unreadable() -> None:
    specs, body = offered({"w": np.zeros(200, np.float32)})
    for wrong in ({"offset": 900}, {"length": 100}):
        with pytest.raises(aegis_fl.ModelUnreadable, match="outside"):
            open_model([SimpleNamespace(**{**vars(specs[0]), **wrong})], body, "numpy")


@pytest.mark.parametrize("size", [CUT, 2 * CUT, 3 * CUT, 1024, 1 << 20])
def test_parts_of_any_size_join_to_the_files(size) -> None:
    random = np.random.default_rng(5)
    model = {f"t{i}": random.standard_normal(int(n)).astype(np.float32) for i, n in enumerate(random.integers(0, 300, 40))}
    files = npy_files(model, offered(model)[0])

    parts, tensors = cut(files, size)

    contents = {part.part_id: b"".join(part.pieces) for part in parts.values()}
    for part_id, content in contents.items():
        assert hashlib.sha256(content).hexdigest() == part_id and len(content) == parts[part_id].size <= size
    for tensor in tensors:
        content = b"".join(contents[piece.part_id][piece.offset : piece.offset + piece.length] for piece in tensor.slices)
        assert content == joined(files)[tensor.name]
    used = {piece.part_id for tensor in tensors for piece in tensor.slices}
    assert used == set(parts)


def test_equal_parts_are_sent_once() -> None:
    model = {f"t{i}": np.zeros(1024, np.float32) for i in range(8)}
    files = npy_files(model, offered(model)[0])
    parts, tensors = cut(files, 1024)
    assert len(parts) < 12 and sum(len(tensor.slices) for tensor in tensors) > 30


def test_part_is_no_larger_than_the_server_takes_and_leaves_room_for_a_second() -> None:
    assert part_bytes(1 << 20, 8 << 20) == 1 << 20
    assert part_bytes(64 << 20, 8 << 20) == 4 << 20
    assert part_bytes(1000, 1000) == 448


def test_torch_that_is_not_installed_is_named(monkeypatch) -> None:
    specs, body = offered({"w": np.zeros(2, np.float32)})
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(aegis_fl.ModelUnreadable, match="pip install torch"):
        open_model(specs, body, "torch")
