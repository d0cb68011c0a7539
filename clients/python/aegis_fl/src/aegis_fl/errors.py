"""What can go wrong for a client, each with what to do about it."""

from __future__ import annotations


class AegisError(Exception):
    """Base of all errors of the client.

    `code` is one of docs/errors.md where the server spoke, or one of the codes below where the client found the trouble
    itself; `detail` says what is wrong, `hint` what to do about it (may be empty).
    """

    def __init__(self, code: str, detail: str, hint: str = "") -> None:
        super().__init__(code, detail, hint)
        self.code = code
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.detail} {self.hint}".rstrip() + f" [{self.code}]"


class KeyInvalid(AegisError):
    """The key file cannot be used (KEY_INVALID)."""


class ServerUnreachable(AegisError):
    """There was no connection for `give_up_after` seconds (SERVER_UNREACHABLE)."""


class CertificateRejected(AegisError):
    """One side does not trust the other's TLS certificate (SERVER_CERTIFICATE)."""


class NotEnrolled(AegisError):
    """The server does not let this key in (NODE_KEY_UNKNOWN, INVITATION_REFUSED, ENROLMENT_CLOSED, NODE_SIGNATURE, …)."""


class KeyInUse(AegisError):
    """Another client connected with the same key, and this one gave way (NODE_REPLACED)."""


class ProtocolMismatch(AegisError):
    """Server and client do not speak the same protocol (PROTOCOL_MISMATCH, or the server's own code)."""


class ModelUnreadable(AegisError):
    """The model cannot be handed to the function (MODEL_UNREADABLE)."""


class AnswerInvalid(AegisError):
    """What the function returned cannot be sent (ANSWER_INVALID, UPDATE_TENSORS, UPDATE_WEIGHT, UPDATE_METRICS)."""


class NotPrivate(AegisError):
    """The update cannot be given the privacy that was asked for, and was not given away (VALUE_NOT_FINITE, TENSOR_NOT_NOISED, ARGUMENT, …)."""


class AccountingRefused(AegisError):
    """The events have no proven accounting, or ask for what no noise can give (PRIVACY_EVENT, PRIVACY_PARAMETER, PRIVACY_UNREACHABLE, …)."""


class UpdateRefused(AegisError):
    """The server looked at the update and does not take it (UPDATE_NOT_FINITE, UPDATE_NORM, …)."""


class TaskCancelled(AegisError):
    """The round no longer waits for this task (TASK_CANCELLED); raised by `config.raise_if_cancelled()`."""
