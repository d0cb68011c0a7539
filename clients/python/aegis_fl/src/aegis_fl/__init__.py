"""What a data scientist installs to work with Aegis: a client without Flower, and the importer of Flower apps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .client import Client
    from .errors import (
        AegisError,
        AnswerInvalid,
        CertificateRejected,
        KeyInUse,
        KeyInvalid,
        ModelUnreadable,
        NotEnrolled,
        ProtocolMismatch,
        ServerUnreachable,
        TaskCancelled,
        UpdateRefused,
    )
    from .task import Outcome, TaskConfig

__all__ = [
    "AegisError",
    "AnswerInvalid",
    "CertificateRejected",
    "Client",
    "KeyInUse",
    "KeyInvalid",
    "ModelUnreadable",
    "NotEnrolled",
    "Outcome",
    "ProtocolMismatch",
    "ServerUnreachable",
    "TaskCancelled",
    "TaskConfig",
    "UpdateRefused",
]
_HOMES = {"Client": "client", "Outcome": "task", "TaskConfig": "task"}  # all others are errors


def __getattr__(name: str) -> Any:
    """The client is loaded when it is asked for: the importer works without grpcio."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name in ("grpc", "google", "google.protobuf", "numpy", "cryptography"):
            raise ModuleNotFoundError(f"{name} needs more packages: pip install 'aegis-fl[client]'", name=error.name) from error
        raise


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
