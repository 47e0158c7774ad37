"""What the fakes of HTTP services have in common: a server on a free port, for as long as a test lasts."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

# The server looks this often whether it is to stop; each fake waits for that at its end.
POLL_SECONDS = 0.01


class HttpFake:
    """A service that `answer` speaks for, while it is entered; `port` is its own from the start.

    Attributes:
        methods: Those that it answers; others are refused with 501.
    """

    methods: tuple[str, ...] = ("GET",)

    def __init__(self, host: str = "127.0.0.1") -> None:
        """Take a free port.

        Args:
            host: The address to listen on.
        """
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        for method in self.methods:
            setattr(Handler, f"do_{method}", lambda request: fake.answer(request))
        self._server = ThreadingHTTPServer((host, 0), Handler)
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        """Start to serve."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and wait until it has."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        raise NotImplementedError
