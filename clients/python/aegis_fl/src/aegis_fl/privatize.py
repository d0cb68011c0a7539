"""Local differential privacy: an update is clipped and noised before it leaves the data owner's process.

The arithmetic is the Rust core's: exact discrete Gaussian noise from the operating system's randomness, on a grid of whole numbers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aegis_native
import numpy as np

from .core import in_core
from .errors import NotPrivate
from .tensors import elements

Weights = TypeVar("Weights")

_HINTS = {
    "VALUE_NOT_FINITE": "Look for NaN in the loss; nothing was sent.",
    "TENSOR_NOT_NOISED": "Only floats can be noised: leave counters and masks out of what is sent.",
}


@dataclass(frozen=True)
class Report:
    """What clipping did. The norm is not private: keep it on this side."""

    norm: float
    clipped: bool


class FlClientCore:
    """The privacy of one data owner's updates.

        core = aegis_fl.FlClientCore("data/", dp_sigma=0.5, dp_threshold=1.0)
        noised = core.privatize_update(update)

    data_path      where the owner's data is; kept for the caller, never opened here
    dp_sigma       standard deviation of the noise on every weight, in the weights' own unit
    dp_threshold   L2 norm over all weights together to which a longer update is shortened
    dp_epsilon, dp_delta   instead of dp_sigma: the least noise with which one privatised update is (ε, δ)-private, whatever the data are

    Any two updates are at most 2 · dp_threshold apart after clipping. One privatised update is therefore the Gaussian mechanism with the
    noise multiplier `dp_sigma / (2 * dp_threshold)` under the relation replace-one (local privacy: whatever the data are), and
    `dp_sigma / dp_threshold` under zero-out (whether this owner took part).

    Raises NotPrivate for parameters that give no privacy.
    """

    def __init__(
        self,
        data_path: str | os.PathLike[str],
        *,
        dp_threshold: float,
        dp_sigma: float | None = None,
        dp_epsilon: float | None = None,
        dp_delta: float | None = None,
    ) -> None:
        self.data_path = os.fspath(data_path)
        self.dp_threshold = _number("dp_threshold", dp_threshold)
        self.last: Report | None = None
        if dp_epsilon is None and dp_delta is None:
            self._privatizer = _in_core(aegis_native.Privatizer, self.dp_threshold, _number("dp_sigma", dp_sigma))
        elif dp_sigma is None:
            budget = (_number("dp_epsilon", dp_epsilon), _number("dp_delta", dp_delta))
            self._privatizer = _in_core(aegis_native.Privatizer.calibrated, self.dp_threshold, *budget)
        else:
            raise NotPrivate("ARGUMENT", "Both dp_sigma and a budget are given.", "Give dp_sigma, or dp_epsilon and dp_delta.")
        self.dp_sigma: float = self._privatizer.sigma

    @property
    def noise_multiplier(self) -> float:
        """For the accountant, which wants it against the threshold and knows that replace-one makes twice the difference."""
        return self.dp_sigma / self.dp_threshold

    def privatize_update(self, weights: Weights) -> Weights:
        """Clip and noise an update: what was learned, not the model itself (the difference of the two).

        Takes an array, a sequence of arrays or a mapping of names to arrays, of numpy or torch (a `state_dict`), and returns the same with the
        same shapes and types. Every call draws new noise, and every result that is sent is one more release.

        Raises NotPrivate, and gives nothing back, for NaN or infinity and for what are not floats; AnswerInvalid for what are no numbers.
        """
        if isinstance(weights, Mapping):
            return type(weights)(zip(weights, self._noised(list(weights.items())), strict=True))  # type: ignore[call-arg,return-value]
        if isinstance(weights, (list, tuple)):
            return type(weights)(self._noised([(str(number), each) for number, each in enumerate(weights)]))  # type: ignore[return-value]
        return self._noised([("0", weights)])[0]

    def _noised(self, named: Sequence[tuple[str, Any]]) -> list[Any]:
        taken = [(str(name), *elements(name, value)) for name, value in named]
        raw = [(name, descr, array.tobytes()) for name, array, descr in taken]
        noised, norm, clipped = _in_core(self._privatizer.privatize, raw)
        self.last = Report(norm, clipped)
        return [_like(value, array, data) for (_, value), (_, array, _), data in zip(named, taken, noised, strict=True)]


def _like(value: Any, array: np.ndarray, data: bytes) -> Any:
    """The noised bytes as what they came from."""
    made = np.frombuffer(data, array.dtype).reshape(array.shape).copy()  # writable, as what came in
    if (torch := sys.modules.get("torch")) and isinstance(value, torch.Tensor):
        tensor = torch.from_numpy(made)
        return (tensor.view(torch.bfloat16) if value.dtype == torch.bfloat16 else tensor).to(value.device)
    return made


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
        raise NotPrivate("ARGUMENT", f"{name} is {type(value).__name__}, not a number.")
    return float(value)


def _in_core(call: Any, *arguments: Any) -> Any:
    return in_core(NotPrivate, _HINTS, call, *arguments)
