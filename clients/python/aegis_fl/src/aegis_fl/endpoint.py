"""Where the server is and how it is trusted; and what its refusal of a connection means."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Union

import grpc
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

from .errors import AegisError, CertificateRejected, KeyInUse, NotEnrolled, ProtocolMismatch, ServerUnreachable

Pem = Union[str, "os.PathLike[str]", bytes]

OPTIONS = [
    # Frames are bounded by what was agreed at the opening, not by gRPC's own 4 MiB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A server that is gone without a word, or a router that forgot us, is noticed within half a minute.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Trying again is ours alone (link.py): a channel must not remember the back-off of another.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
]

# After these the same request may succeed a little later; all others are an answer.
PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
ENROLMENT_HINT = "Ask the operator to let this key in"


@dataclass(frozen=True)
class Endpoint:
    address: str
    root_certificates: bytes | None
    certificate: tuple[bytes, bytes] | None
    """Chain and private key of the client, PEM; None without mutual TLS."""
    insecure: bool

    def open(self) -> grpc.Channel:
        if self.insecure:
            return grpc.insecure_channel(self.address, OPTIONS)
        chain, key = self.certificate or (None, None)
        return grpc.secure_channel(self.address, grpc.ssl_channel_credentials(self.root_certificates, key, chain), OPTIONS)


def endpoint(address: str, root_certificates: Pem | None, certificate: tuple[Pem, Pem] | None, insecure: bool) -> Endpoint:
    """Reads the files. Raises CertificateRejected for one that cannot be read, ValueError for what makes no sense."""
    host, separator, port = address.rpartition(":")
    if not (host and separator and port.isdigit()):
        raise ValueError(f"the address is host:port, not {address!r}")
    if insecure and (root_certificates or certificate):
        raise ValueError("insecure=True sends everything in the clear; certificates make no sense with it")
    pair = (_pem(certificate[0], load_pem_x509_certificates), _pem(certificate[1], _private_key)) if certificate else None
    roots = _pem(root_certificates, load_pem_x509_certificates) if root_certificates else None
    return Endpoint(address, roots, pair, insecure)


def _pem(source: Pem, check: Callable[[bytes], object]) -> bytes:
    if isinstance(source, bytes):
        content, name = source, "The given bytes"
    else:
        name = str(Path(source).expanduser())
        try:
            content = Path(name).read_bytes()
        except OSError as error:
            raise CertificateRejected("SERVER_CERTIFICATE", f"{name} cannot be read: {error.strerror}.") from error
    try:
        check(content)
    except (ValueError, TypeError) as error:
        raise CertificateRejected("SERVER_CERTIFICATE", f"{name} is not the PEM file it should be: {error}.") from error
    return content


def _private_key(content: bytes) -> object:
    return load_pem_private_key(content, password=None)


def final_error(error: grpc.RpcError, address: str, public_key: Path | None) -> AegisError | None:
    """Why trying again would be pointless; None if it is not."""
    details = error.details() or ""
    if (certificate := certificate_error(details, address)) is not None:
        return certificate
    if error.code() in PASSING:
        return None
    code, detail = carried(error)
    if error.code() == grpc.StatusCode.UNIMPLEMENTED:
        return ProtocolMismatch(
            code or "PROTOCOL_MISMATCH",
            f"The server at {address} does not speak aegis.node.v1.",
            "Check the address; a server before this client's release has no door for it.",
        )
    if code == "NODE_PROTOCOL":
        return ProtocolMismatch(
            code, f"The server at {address} refused: {detail}", "Install the release of aegis-fl that fits the server."
        )
    if code == "NODE_REPLACED":
        return KeyInUse(code, f"Another client came to {address} with the same key.", "Give each client a key of its own.")
    if code == "INVITATION_REFUSED":
        hint = "Give the same key= as before if you used it already; else ask the operator for another: aegis nodes invite."
        return NotEnrolled(code, f"The server at {address} refused: {detail}", hint)
    if error.code() == grpc.StatusCode.UNAUTHENTICATED or code.startswith("ENROLMENT_"):
        named = "." if public_key is None else f": aegis nodes approve {public_key}"
        return NotEnrolled(code or "NODE_UNAUTHENTICATED", f"The server at {address} refused: {detail}", ENROLMENT_HINT + named)
    return AegisError(code or error.code().name, f"The server at {address} ended the stream: {detail}")


def certificate_error(details: str, address: str) -> CertificateRejected | None:
    """What gRPC says about TLS, in words; None if it is about something else."""
    # A root made anew under the old name fails by its signature.
    if any(sign in details for sign in ("CERTIFICATE_VERIFY_FAILED", "certificate verify failed", "BAD_SIGNATURE")):
        return CertificateRejected(
            "SERVER_CERTIFICATE",
            f"The certificate of {address} was not issued by an authority this client trusts.",
            "Give root_certificates=, the ca.pem that the server's operator has.",
        )
    if "Hostname Verification" in details or "Peer name" in details:
        return CertificateRejected(
            "SERVER_CERTIFICATE", f"The certificate of {address} is for another name.", "Use the host name that is in it."
        )
    if "CERTIFICATE_REQUIRED" in details:
        return CertificateRejected(
            "SERVER_CERTIFICATE", f"{address} wants a certificate from its clients.", "Give certificate=(chain, private key)."
        )
    if "WRONG_VERSION_NUMBER" in details:
        return CertificateRejected("SERVER_CERTIFICATE", f"{address} does not speak TLS.", "For a test server: insecure=True.")
    return None


def unreachable(address: str, reason: str, seconds: float) -> ServerUnreachable:
    return ServerUnreachable(
        "SERVER_UNREACHABLE",
        f"No connection to {address} for {seconds:.0f} s ({reason}).",
        "Check the address, and that the server runs.",
    )


def carried(error: grpc.RpcError) -> tuple[str, str]:
    """Code and text that an Aegis server sends along; ('', gRPC's own text) from anybody else."""
    for name, value in error.trailing_metadata() or ():
        if name == "aegis-error-bin":
            try:
                told = json.loads(value)
                return str(told["code"]), error.details() or str(told["detail"])
            except (ValueError, KeyError, TypeError):
                break
    return "", error.details() or error.code().name
