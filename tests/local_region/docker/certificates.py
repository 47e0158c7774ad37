"""The region's certificate authority, and the certificates of the registry behind ECR and of the edge."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 3650
RENEW_BEFORE_DAYS = 30


class Authority:
    """A certificate authority; its key lives as long as this object."""

    def __init__(self, name: str) -> None:
        """Make its key and its own certificate.

        Args:
            name: The common name that it bears.
        """
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = _sign(self._name, self._name, self._key, self._key, None)

    @property
    def pem(self) -> bytes:
        """The authority's own certificate."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, host: str, days: int = VALID_DAYS) -> tuple[bytes, bytes]:
        """Return a server's certificate and its key.

        Args:
            host: The name that the server answers to, besides localhost.
            days: How long it is valid from now on; below 0 it has ended.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        signed = _sign(subject, self._name, key, self._key, host, days)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return signed.public_bytes(serialization.Encoding.PEM), private


def ensure(folder: Path, host: str, region: str) -> bool:
    """Make `ca.crt`, `registry.crt`, `registry.key` and `edge.pem`, unless they are there and valid.

    `edge.pem` has certificate and key of an edge at localhost, as the secret of `secrets/edge-certificate` holds them.

    Args:
        folder: Where they lie.
        host: The name that the registry answers to, besides localhost.
        region: The region's name, which the authority bears.

    Returns:
        Whether it made new ones.
    """
    certificate = folder / "registry.crt"
    files = [folder / name for name in ("ca.crt", "registry.crt", "registry.key", "edge.pem")]
    if all(file.exists() for file in files) and _is_valid(certificate):
        return False
    # Its key is not kept: nothing is ever signed by it again.
    authority = Authority(f"slm-ft-serving local region {region}")
    signed, key = authority.issue(host)
    _write(folder / "ca.crt", authority.pem, 0o644)
    _write(folder / "registry.key", key, 0o600)
    _write(certificate, signed, 0o644)
    _write(folder / "edge.pem", b"".join(authority.issue("localhost")), 0o600)
    return True


def _is_valid(certificate: Path) -> bool:
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    return loaded.not_valid_after_utc - dt.datetime.now(dt.UTC) > dt.timedelta(days=RENEW_BEFORE_DAYS)


def _sign(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    host: str | None,
    days: int = VALID_DAYS,
) -> x509.Certificate:
    """Return a certificate: a server's when `host` is given, else an authority's."""
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1 + max(0, -days)))  # clocks of virtual machines drift
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        # Python 3.13 verifies strictly, by RFC 5280: key identifiers, and what an authority's key is for.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(_key_usage(authority=host is None), critical=True)
    )
    if host is not None:
        names = [x509.DNSName(name) for name in dict.fromkeys([host, "localhost"])]
        local = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([*names, local]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_bytes(content)
