"""The registry's certificate is one that a strict client accepts."""

import socket
import ssl
import threading
from pathlib import Path

import pytest

from tests.local_region import names
from tests.local_region.docker import certificates


def _handshake(folder: Path, host: str) -> None:
    """Has a client that trusts the authority alone greet a server that shows the certificate."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "registry.crt", folder / "registry.key")
    client = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wrap_socket(ours, server_hostname=host).close()
    finally:
        ours.close()
        thread.join()


@pytest.mark.parametrize("host", [names.ECR_HOST, "127.0.0.1", "localhost"])
def test_strict_client_accepts_the_certificate_under_each_name(host: str, tmp_path: Path) -> None:
    assert certificates.ensure(tmp_path, names.ECR_HOST, "unit")
    _handshake(tmp_path, host)


def test_certificate_is_refused_under_another_name(tmp_path: Path) -> None:
    certificates.ensure(tmp_path, names.ECR_HOST, "unit")
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(tmp_path, "registry.example.org")


def test_certificate_is_made_once_and_renewed_before_it_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates.ensure(tmp_path, names.ECR_HOST, "unit")
    before = (tmp_path / "registry.crt").read_bytes()
    assert not certificates.ensure(tmp_path, names.ECR_HOST, "unit")
    monkeypatch.setattr(certificates, "RENEW_BEFORE_DAYS", certificates.VALID_DAYS + 1)
    assert certificates.ensure(tmp_path, names.ECR_HOST, "unit")
    assert (tmp_path / "registry.crt").read_bytes() != before


def test_key_of_the_certificate_is_private(tmp_path: Path) -> None:
    certificates.ensure(tmp_path, names.ECR_HOST, "unit")
    assert (tmp_path / "registry.key").stat().st_mode & 0o777 == 0o600
