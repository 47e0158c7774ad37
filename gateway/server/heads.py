"""A request's head: what it may have, and what makes it one that cannot be served."""

import re
from collections.abc import Iterable

from gateway.server.limits import HEAD_BYTES, HEADERS, URL_BYTES

type Headers = Iterable[tuple[bytes, bytes]]

# RFC 3986, section 3.2: the characters of a host and its port. Empty is a valid one.
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:%\[\]-]*")
_OFFERS = frozenset({b"upgrade", b"http2-settings"})


class RefusedError(Exception):
    """What came is not a request that can be served; the connection is of no further use."""

    def __init__(self, status: int, detail: str) -> None:
        """Make the error.

        Args:
            status: the HTTP status of the answer.
            detail: a sentence for a person that quotes nothing of what came.
        """
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Head:
    """Counts what a head, and the trailers of the same request, are made of.

    Attributes:
        is_open: whether the head has begun and not ended.
    """

    def __init__(self) -> None:
        """Make a head that has not begun."""
        self.is_open = False
        self._headers = self._url_bytes = self._bytes = 0

    def begin(self) -> None:
        """Begin the head of the next request."""
        self.is_open = True
        self._headers = self._url_bytes = self._bytes = 0

    def add_url(self, part: bytes) -> None:
        """Count a part of the URL.

        Raises:
            RefusedError: it is too long.
        """
        self._url_bytes += len(part)
        if self._url_bytes > URL_BYTES:
            raise RefusedError(414, f"the URL may have {URL_BYTES} bytes at most")

    def add_header(self, name: bytes, value: bytes) -> None:
        """Count a header or a trailer.

        Raises:
            RefusedError: there are too many, or they are too long.
        """
        self._headers += 1
        self._bytes += len(name) + len(value) + 4  # with `: ` and the line's end
        if self._headers > HEADERS:
            raise RefusedError(431, f"a request may have {HEADERS} headers at most")
        if self._url_bytes + self._bytes > HEAD_BYTES:
            raise RefusedError(431, f"the head may have {HEAD_BYTES} bytes at most")

    def complete(self, method: bytes, version: str, headers: Headers) -> None:
        """End the head.

        Args:
            method: of the request.
            version: of HTTP, such as `1.1`.
            headers: with names in small letters.

        Raises:
            RefusedError: HTTP does not allow such a request, or no server that is no proxy.
        """
        self.is_open = False
        if version not in ("1.0", "1.1"):
            raise RefusedError(505, "send HTTP/1.1")
        if method == b"CONNECT":
            raise RefusedError(501, "this server is no proxy")
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) > 1 or not all(map(_HOST.fullmatch, hosts)):  # RFC 9112, section 3.2
            raise RefusedError(400, "send one `Host` header, with a host and perhaps a port")
        if not hosts and version == "1.1":
            raise RefusedError(400, "HTTP/1.1 needs a `Host` header")
        codings = b",".join(value for name, value in headers if name == b"transfer-encoding").strip().lower()
        if codings and version == "1.0":  # RFC 9112, section 6.1: its framing cannot be trusted
            raise RefusedError(400, "HTTP/1.0 has no `Transfer-Encoding`")
        if codings not in (b"", b"chunked"):
            raise RefusedError(501, "of the transfer codings only `chunked` is known")


def without_offer(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """Return a head, as it would be sent, without its offer of another protocol."""
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    for name, value in headers:
        kept = value
        if name == b"connection":
            kept = b", ".join(option for option in map(bytes.strip, value.split(b",")) if option.lower() not in _OFFERS)
        if name == b"host" or (kept and name not in _OFFERS):
            lines.append(name + b": " + kept)
    return b"\r\n".join([*lines, b"", b""])
