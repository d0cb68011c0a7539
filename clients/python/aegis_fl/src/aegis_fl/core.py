"""Calls of the Rust core. What it refuses becomes one of our errors, with the facts that the core names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import aegis_native

from .errors import AegisError

Found = TypeVar("Found")


def in_core(refusal: type[AegisError], hints: Mapping[str, str], call: Callable[..., Found], *arguments: Any) -> Found:
    """Raises `refusal` with the core's code and sentence, and the hint for that code, if there is one."""
    try:
        return call(*arguments)
    except aegis_native.CoreError as error:
        code, message, facts = error.args
        told = ", ".join(f"{name} {value}" for name, value in facts.items())
        raise refusal(code, f"{message[:1].upper()}{message[1:]}" + (f" ({told})." if told else "."), hints.get(code, "")) from None
