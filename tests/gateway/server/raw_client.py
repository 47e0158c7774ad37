"""A client that sends bytes as they are, in packets of the test's choice, and reads the answers as http.client does."""

import io
import socket
import time
from dataclasses import dataclass
from http.client import HTTPMessage, HTTPResponse
from types import TracebackType
from typing import Any, Self, cast

# Between two packets, so that they are read one by one.
_PAUSE_SECONDS = 0.02


@dataclass
class Answer:
    """An answer that was read whole."""

    status: int
    headers: HTTPMessage
    body: bytes


class _Shared:
    """A file that http.client cannot close, as the next answer is read from it too."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file

    def makefile(self, _: str) -> Self:
        return self

    def close(self) -> None:
        """Stay open."""

    def flush(self) -> None:
        """Have nothing to write."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class RawClient:
    """One connection to a gateway on this machine."""

    def __init__(self, port: int) -> None:
        """Connect."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Close the connection."""
        self._file.close()
        self.socket.close()

    def send(self, *packets: bytes) -> None:
        """Send packets, each of which arrives by itself."""
        for number, packet in enumerate(packets):
            if number:
                time.sleep(_PAUSE_SECONDS)
            self.socket.sendall(packet)

    def answer(self, method: str = "GET") -> Answer:
        """Read one answer."""
        response = HTTPResponse(cast("socket.socket", _Shared(self._file)), method=method)
        response.begin()
        return Answer(response.status, response.headers, response.read())

    def rest(self) -> bytes:
        """Read until the server closes the connection, which it must do without a reset."""
        return self._file.read()
