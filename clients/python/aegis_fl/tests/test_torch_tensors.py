"""Needs torch, about 2 GB; collected only where it is installed (see conftest.py)."""

from __future__ import annotations

import torch
from test_tensors import joined, many, offered

from aegis_fl.tensors import npy_files, open_model


def test_torch_tensors_are_handed_out_and_taken_back() -> None:
    model = {name: array for name, array in many().items() if not name.startswith(("<u2", "<u4", "<u8"))}
    specs, body = offered(model)

    opened = open_model(specs, body, "torch")

    assert opened["bf16"].dtype == torch.bfloat16 and opened["<f4-(3, 5)"].dtype == torch.float32
    assert joined(npy_files(opened, specs)) == joined(npy_files(model, specs))
    turned = {**opened, "<f4-(3, 5)": torch.nn.Parameter(opened["<f4-(3, 5)"].t().contiguous().t())}
    assert joined(npy_files(turned, specs)) == joined(npy_files(model, specs))
