"""Keys and certificates, as people get them wrong."""

from __future__ import annotations

import datetime
import os
import stat

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
    load_ssh_public_key,
)
from scripted_server import Conversation, Over, ScriptedServer

import aegis_fl
from aegis_fl.key import node_key


class Authority:
    """Issues certificates as a federation's root does."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
        certificate = self._sign(self._name, self._key, x509.BasicConstraints(True, None))
        self.pem = certificate.public_bytes(Encoding.PEM)

    def issue(self, name: str) -> tuple[bytes, bytes]:
        """(certificate, private key), PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key, x509.SubjectAlternativeName([x509.DNSName(name)]))
        return certificate.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        return (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number(), now - day, now + day)
            .add_extension(extension, critical=False)
            .sign(self._key, hashes.SHA256())
        )


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def over_tls(authority: Authority, name: str, wants_certificate: bool = False):
    certificate, key = authority.issue(name)
    root = authority.pem if wants_certificate else None
    credentials = grpc.ssl_server_credentials([(key, certificate)], root, wants_certificate)

    def done(conversation: Conversation) -> None:
        conversation.welcome()
        raise Over(grpc.StatusCode.PERMISSION_DENIED, "met")

    return ScriptedServer(done, credentials=credentials)


def error_of(server: ScriptedServer, host: str = "localhost", **options) -> aegis_fl.AegisError:
    client = aegis_fl.Client(f"{host}:{server.address.rpartition(':')[2]}", give_up_after=0.5, **options)
    client.evaluate(lambda model, config: {})
    try:
        with pytest.raises(aegis_fl.AegisError) as raised:
            client.run()
    finally:
        server.stop()
    return raised.value


def test_trusted_server_is_met_with_files_and_with_bytes(authority, tmp_path) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    for roots in (authority.pem, tmp_path / "ca.pem", str(tmp_path / "ca.pem")):
        assert "met" in str(error_of(over_tls(authority, "localhost"), root_certificates=roots))


def test_certificate_of_a_stranger_is_named(authority) -> None:
    error = error_of(over_tls(authority, "localhost"), root_certificates=Authority().pem)
    assert isinstance(error, aegis_fl.CertificateRejected) and "authority this client trusts" in str(error)


def test_certificate_for_another_name_is_named(authority) -> None:
    error = error_of(over_tls(authority, "elsewhere.example"), root_certificates=authority.pem)
    assert isinstance(error, aegis_fl.CertificateRejected) and "another name" in str(error)


def test_server_without_tls_is_named() -> None:
    error = error_of(ScriptedServer())
    assert isinstance(error, aegis_fl.CertificateRejected) and "does not speak TLS" in str(error)


def test_client_shows_its_certificate_where_one_is_wanted(authority) -> None:
    certificate = authority.issue("hospital-1")
    error = error_of(
        over_tls(authority, "localhost", wants_certificate=True), root_certificates=authority.pem, certificate=certificate
    )
    assert "met" in str(error)
    error = error_of(over_tls(authority, "localhost", wants_certificate=True), root_certificates=authority.pem)
    assert "met" not in str(error)


def test_files_that_are_no_certificates_are_named_at_once(tmp_path) -> None:
    with pytest.raises(aegis_fl.CertificateRejected, match="none.pem cannot be read"):
        aegis_fl.Client("localhost:1", root_certificates=tmp_path / "none.pem")
    for text in ("hello", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"):
        (tmp_path / "text.pem").write_text(text)
        with pytest.raises(aegis_fl.CertificateRejected, match="text.pem is not the PEM file it should be"):
            aegis_fl.Client("localhost:1", root_certificates=tmp_path / "text.pem")


def test_missing_key_is_made_for_its_owner_alone_and_used_again(tmp_path) -> None:
    file = tmp_path / "keys" / "node.key"
    first, second = node_key(file), node_key(file)

    assert first.public_pem == second.public_pem
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(entry.name for entry in file.parent.iterdir()) == ["node.key", "node.key.pub"]
    public = load_ssh_public_key((tmp_path / "keys" / "node.key.pub").read_bytes())
    assert public == load_pem_public_key(first.public_pem)
    assert isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name == "secp384r1"


def test_key_of_ssh_keygen_and_of_openssl_is_taken(tmp_path) -> None:
    for name, form in (("ssh", PrivateFormat.OpenSSH), ("openssl", PrivateFormat.TraditionalOpenSSL), ("pkcs8", PrivateFormat.PKCS8)):
        (tmp_path / name).touch(mode=0o600)
        private = ec.generate_private_key(ec.SECP256R1())
        (tmp_path / name).write_bytes(private.private_bytes(Encoding.PEM, form, NoEncryption()))
        assert load_pem_public_key(node_key(tmp_path / name).public_pem) == private.public_key()


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (b"hello", 0o600, "is no private key"),
        (
            rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            0o600,
            "not on P-256",
        ),
        (
            ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
            0o600,
            "passphrase",
        ),
        (ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o644, "chmod 600"),
    ],
    ids=["text", "rsa", "encrypted", "open-to-others"],
)
def test_key_that_cannot_be_used_says_why(tmp_path, content, mode, words) -> None:
    file = tmp_path / "node.key"
    file.write_bytes(content)
    os.chmod(file, mode)
    with pytest.raises(aegis_fl.KeyInvalid, match=words):
        aegis_fl.Client("localhost:1", key=file)
