"""The edge: its certificate before it is used, and its answers as a client gets them."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.slm.serving.plugins.module_utils.containers import Container
from ansible_collections.slm.serving.plugins.module_utils.process import StackError

CERTIFICATE = Path("/run/slm-ft-serving/secrets/edge/certificate.pem")
# Of each service that is Caddy, which reads it at its start only. The router's is shared with other instances.
CERTIFICATES = {"edge": CERTIFICATE, "router": Path("/run/slm-ft-serving/secrets/router/certificate.pem")}
END = b"-----END CERTIFICATE-----"
# ssl.VERIFY_X509_PARTIAL_CHAIN, which Python 3.9 does not name: a certificate is trusted because it is the one given.
PARTIAL_CHAIN = 0x80000
# What OpenSSL calls the reasons (x509_vfy.h).
ENDED, NOT_YET = 10, 9
NAMES = {62, 64}  # of a host, of an address


def certificate_problem(pem: str, domain: str, *, setting: str = "edge/domain") -> str | None:
    """Return what is wrong with a server's certificate, chain and key in one text; None when clients can be served.

    Found out by the handshake that clients will make, so that it is OpenSSL that judges and not a rule of ours. Nothing
    is written to a disk.

    Args:
        pem: certificate, chain and key.
        domain: that clients call.
        setting: that names it.
    """
    text = pem.encode()
    if END not in text:
        return "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
    if b"PRIVATE KEY-----" not in text:
        return "holds no private key in PEM (-----BEGIN PRIVATE KEY-----)"
    if b"ENCRYPTED" in text:
        return "holds a private key with a passphrase: put the key without one (openssl pkey -in KEY)"
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, text)
        server.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        first = text[text.index(b"-----BEGIN CERTIFICATE-----") : text.index(END) + len(END)]
        client.load_verify_locations(cadata=first.decode())
        client.verify_flags |= PARTIAL_CHAIN
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in str(error) or "key values mismatch" in str(error):
            return "holds a key that is not the certificate's: the first certificate has to be the server's own"
        return f"cannot be read ({error.reason or error})"
    except ValueError as error:
        return f"cannot be read ({error})"
    finally:
        os.close(descriptor)
    return _handshake_problem(server, client, domain, setting)


def _handshake_problem(server: ssl.SSLContext, client: ssl.SSLContext, domain: str, setting: str) -> str | None:
    """Return why a client would not go on with a server, or None; both are in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=domain),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(8):  # Messages go to and fro a few times.
        waiting = False
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waiting = True
            except ssl.SSLCertVerificationError as error:
                if error.verify_code == ENDED:
                    return "holds a certificate that has ended: put a new one"
                if error.verify_code == NOT_YET:
                    return "holds a certificate that is not valid yet"
                if error.verify_code in NAMES:
                    return f"holds a certificate that is not of the name {domain} ({setting})"
                return f"holds a certificate that clients refuse ({error.verify_message})"
            except ssl.SSLError as error:
                return f"holds a certificate that clients refuse ({error.reason or error})"
        if not waiting:
            return None
    return "holds a certificate with which no connection comes about"


def is_outdated(container: Container) -> bool:
    """Say whether an edge or a router was started before the certificate that lies there now."""
    certificate = CERTIFICATES.get(container["service"])
    if certificate is None or container["status"] != "running" or not certificate.is_file():
        return False
    # Without the fractions: Docker gives nine digits, of which Python 3.9 reads six.
    started = datetime.fromisoformat(f"{container['started'][:19]}+00:00").timestamp()
    # A certificate that comes with a start is there before it.
    return certificate.stat().st_mtime > started + 1


class _Connection(http.client.HTTPSConnection):
    """A connection to an edge on this machine under the name that clients call."""

    def __init__(self, domain: str, port: int, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__("127.0.0.1", port, context=context, timeout=timeout)
        self._domain, self._trust = domain, context

    def connect(self) -> None:
        """Connect, and check that the certificate is of that name."""
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        self.sock = self._trust.wrap_socket(plain, server_hostname=self._domain)


def ask_edge(
    expected: dict[str, Any], path: str, body: dict[str, Any] | None, key: str, timeout: float
) -> tuple[int, dict[str, Any]]:
    """Return status and JSON of a request to the edge, as a client sends it.

    The certificate is checked: against the authorities that this machine knows, and where the edge has one of the
    operator's own, against that.

    Args:
        expected: `domain`, empty for plain HTTP, and `port`.
        path: what is asked for.
        body: of a POST; None for a GET.
        key: of the gateway.
        timeout: seconds.

    Raises:
        StackError: it does not answer, or not under its name.
    """
    domain, port = str(expected["domain"]), int(expected["port"])
    if domain:
        context = ssl.create_default_context()
        if CERTIFICATE.is_file():
            pem = CERTIFICATE.read_text(encoding="ascii", errors="replace")
            context.load_verify_locations(cadata=_certificates(pem))
            context.verify_flags |= PARTIAL_CHAIN
        connection: http.client.HTTPConnection = _Connection(domain, port, context, timeout)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Connection": "close"}
    if domain:
        headers["Host"] = domain
    try:
        content = None if body is None else json.dumps(body).encode()
        connection.request("GET" if body is None else "POST", path, content, headers)
        answer = connection.getresponse()
        text = answer.read()
    except ssl.SSLCertVerificationError as error:
        raise StackError(f"the edge's certificate is refused: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise StackError(f"the edge has no certificate for {domain}: {error.reason or error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise StackError(f"the edge does not answer {path}: {error}") from error
    finally:
        connection.close()
    try:
        found = json.loads(text)
    except ValueError:
        found = {}
    return answer.status, found if isinstance(found, dict) else {}


def _certificates(pem: str) -> str:
    """Return the certificates of a text that has a key as well."""
    begin, end = "-----BEGIN CERTIFICATE-----", END.decode()
    return "\n".join(f"{begin}{part.partition(end)[0]}{end}" for part in pem.split(begin)[1:])
