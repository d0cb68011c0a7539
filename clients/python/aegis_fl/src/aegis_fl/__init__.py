"""What a data scientist installs to work with Aegis: a client without Flower, local privacy, and the importer of Flower apps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .client import Client
    from . import privacy
    from .errors import (
        AccountingRefused,
        AegisError,
        AnswerInvalid,
        CertificateRejected,
        KeyInUse,
        KeyInvalid,
        ModelUnreadable,
        NotEnrolled,
        NotPrivate,
        ProtocolMismatch,
        ServerUnreachable,
        TaskCancelled,
        UpdateRefused,
    )
    from .local_dp import local_dp_mod
    from .privatize import FlClientCore
    from .task import Outcome, TaskConfig

__all__ = [
    "AccountingRefused",
    "AegisError",
    "AnswerInvalid",
    "CertificateRejected",
    "Client",
    "FlClientCore",
    "KeyInUse",
    "KeyInvalid",
    "ModelUnreadable",
    "NotEnrolled",
    "NotPrivate",
    "Outcome",
    "ProtocolMismatch",
    "ServerUnreachable",
    "TaskCancelled",
    "TaskConfig",
    "UpdateRefused",
    "local_dp_mod",
    "privacy",
]
_HOMES = {
    "Client": "client",
    "FlClientCore": "privatize",
    "Outcome": "task",
    "TaskConfig": "task",
    "local_dp_mod": "local_dp",
}  # all others are errors


def __getattr__(name: str) -> Any:
    """The client is loaded when it is asked for: the importer works without grpcio."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        if name == "privacy":
            return import_module(".privacy", __name__)
        return getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name == "aegis_native":
            raise ModuleNotFoundError(
                f"{name} needs the native core: pip install aegis-native, or `make setup` in the source tree", name=error.name
            ) from error
        if error.name in ("grpc", "google", "google.protobuf", "numpy", "cryptography"):
            raise ModuleNotFoundError(f"{name} needs more packages: pip install 'aegis-fl[client]'", name=error.name) from error
        raise


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
