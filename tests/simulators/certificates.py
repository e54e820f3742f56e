"""Throw-away certificates for a provider that is spoken to by mutual TLS."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

#: The clock may be turned in tests; these outlive every turn.
BEGINS, ENDS = datetime(2020, 1, 1, tzinfo=UTC), datetime(2045, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    cert: Path
    key: Path


class Authority:
    """An authority of its own, and what it signs, in one folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self.file = folder / f"{name}.pem"
        made = _built(self._name, self._name, self._key)
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
            key_encipherment=False, data_encipherment=False, key_agreement=False,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        made = made.add_extension(usage, critical=True)
        self._identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        made = made.add_extension(self._identifier, critical=False)
        signed = made.sign(self._key, SHA256())
        self.file.write_bytes(signed.public_bytes(Encoding.PEM))

    def sign(self, name: str, *, ends: datetime = ENDS) -> Pair:
        """A certificate for that name, good at 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _built(_named(name), self._name, key, min(BEGINS, ends - timedelta(days=1)), ends)
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        made = made.add_extension(address, critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier)
        made = made.add_extension(issuer, critical=False)
        signed = made.sign(self._key, SHA256())
        pair = Pair(self.folder / f"{name}.cert.pem", self.folder / f"{name}.key.pem")
        pair.cert.write_bytes(signed.public_bytes(Encoding.PEM))
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pair.key.write_bytes(plain)
        return pair


def server_side(server: Pair, clients: Authority) -> ssl.SSLContext:
    """TLS that demands a certificate of the clients' authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.cert, server.key)
    context.load_verify_locations(clients.file)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _built(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begins: datetime = BEGINS,
    ends: datetime = ENDS,
) -> x509.CertificateBuilder:
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
    return made.not_valid_before(begins).not_valid_after(ends)
