"""What releases cost: offline privacy accounting by the Rust core, the same as `aegis privacy` and the ledger's.

    events = [{"mechanism": "gaussian", "noise-multiplier": 1.0, "sampling": {"kind": "poisson", "rate": 0.01},
               "relation": "add-or-remove-one", "count": 1000}]
    aegis_fl.privacy.epsilon(events, delta=1e-5).epsilon

The vocabulary of events is in docs/privacy-events.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aegis_native

from .core import in_core
from .errors import AccountingRefused

Events = Sequence[Mapping[str, Any]]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Cost:
    """`epsilon` is rounded up and `lower` down; the true ε of the events at `delta` is between them."""

    epsilon: float
    lower: float
    delta: float
    method: str
    """analytic-gaussian, rdp, pld or pure."""
    order: float | None = None
    """The Rényi order, where the method has one."""


@dataclass(frozen=True)
class Noise:
    noise_multiplier: float
    spent: Cost


@dataclass(frozen=True)
class Rounds:
    rounds: int
    spent: Cost | None
    """None where not even one round fits."""


def epsilon(events: Events, delta: float) -> Cost:
    """The smallest ε that can be shown for all events together. Raises AccountingRefused, with row and field, for what has no accounting."""
    return Cost(*_asked(aegis_native.privacy_epsilon, events, delta))


def sigma(events: Events, epsilon: float, delta: float) -> Noise:
    """The least noise multiplier, for the events that name none, with which all together stay within (ε, δ)."""
    noise, spent = _asked(aegis_native.privacy_sigma, events, epsilon, delta)
    return Noise(noise, Cost(*spent))


def rounds(events: Events, epsilon: float, delta: float) -> Rounds:
    """How often all events may happen within (ε, δ)."""
    count, spent = _asked(aegis_native.privacy_rounds, events, epsilon, delta)
    return Rounds(count, None if spent is None else Cost(*spent))


def _asked(ask: Callable[..., Found], events: Events, *numbers: float) -> Found:
    return in_core(AccountingRefused, {}, ask, json.dumps(list(events)), *numbers)
