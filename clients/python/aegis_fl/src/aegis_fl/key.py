"""The key that a node is known by: ECDSA on P-256, P-384 or P-521, in the files `ssh-keygen` and SuperNodes use too."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from .errors import KeyInvalid

HELLO = b"aegis.node.v1 hello\n"
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


class NodeKey:
    """A private key. `public` is the file an operator approves, None for a key that lives in memory only."""

    def __init__(self, private: ec.EllipticCurvePrivateKey, public: Path | None) -> None:
        self._private = private
        self.public = public

    @property
    def public_pem(self) -> bytes:
        return self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def answer(self, nonce: bytes) -> bytes:
        """The signature that a Hello carries for the server's nonce (DER)."""
        return self._private.sign(HELLO + nonce, ec.ECDSA(hashes.SHA256()))


def node_key(path: str | os.PathLike[str] | None) -> NodeKey:
    """The key in the file at `path`; where there is none, a new P-384 key is written there (mode 0600) and its public
    half beside it (`.pub`). Without a path, a key that is forgotten with the process. Raises KeyInvalid."""
    if path is None:
        return NodeKey(ec.generate_private_key(ec.SECP384R1()), None)
    file = Path(path).expanduser()
    public = file.with_name(file.name + ".pub")
    try:
        if not file.exists():
            _write_new(file)
        private = _read(file)
        if not public.exists():
            public.write_bytes(private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n")
    except OSError as error:
        raise KeyInvalid("KEY_INVALID", f"The key {file} cannot be read or written: {error.strerror}.") from error
    return NodeKey(private, public)


def _write_new(file: Path) -> None:
    private = ec.generate_private_key(ec.SECP384R1())
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    file.parent.mkdir(parents=True, exist_ok=True)
    # Complete before it has its name, and never over a key that another process has just made.
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            target.write(text)
        if not file.exists():
            draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)


def _read(file: Path) -> ec.EllipticCurvePrivateKey:
    if os.name == "posix" and file.stat().st_mode & 0o077:
        raise KeyInvalid("KEY_INVALID", f"The key {file} is open to others.", f"Type: chmod 600 {file}")
    text = file.read_bytes()
    load = load_ssh_private_key if text.lstrip().startswith(b"-----BEGIN OPENSSH") else load_pem_private_key
    try:
        private = load(text, password=None)
    except TypeError as error:
        raise KeyInvalid("KEY_INVALID", f"The key {file} is protected by a passphrase.", "Use a key without one.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyInvalid("KEY_INVALID", f"{file} is no private key: {error}.", _make_one(file)) from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, CURVES):
        raise KeyInvalid("KEY_INVALID", f"The key {file} is not on P-256, P-384 or P-521.", _make_one(file))
    return private


def _make_one(file: Path) -> str:
    return f"Name a file that does not exist to have one made, or type: ssh-keygen -t ecdsa -b 384 -N '' -f {file}"
