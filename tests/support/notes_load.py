"""Clients that have notes extracted without a pause, as a hospital's systems do, and what became of each request."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from tests.local_region.region import LocalRegion

PATH = "/api/v1/extract"
TIMEOUT_SECONDS = 600
NO_ANSWER = 0


@dataclass(frozen=True)
class Sent:
    """One request: the seconds until it was answered, and the status; 0 when nothing answered."""

    seconds: float
    status: int


@dataclass(frozen=True)
class Outcome:
    """What became of all requests.

    Attributes:
        sent: Their number.
        failed: Without an answer, or with one that is neither right nor a refusal.
        refused: With 503 or 429, whose Retry-After the client heeds.
        longest: Seconds that the slowest took.
    """

    sent: int
    failed: int
    refused: int
    longest: float


def outcome(requests: Sequence[Sent]) -> Outcome:
    """Sum up requests."""
    refusals = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
    refused = sum(request.status in refusals for request in requests)
    right = sum(request.status == HTTPStatus.OK for request in requests)
    longest = max((request.seconds for request in requests), default=0.0)
    return Outcome(len(requests), len(requests) - refused - right, refused, longest)


class NotesLoad:
    """A thread with clients, between `with` and its end. Half of them keep their connection, half open a new one."""

    def __init__(self, region: LocalRegion, *, https: bool, clients: int = 4, pause: float = 0.2) -> None:
        """Prepare the clients.

        Args:
            region: Where the gateway runs.
            https: Whether an edge with a certificate of the region's authority is asked.
            clients: That ask at once.
            pause: Seconds between an answer and a client's next request.
        """
        scheme = "https" if https else "http"
        self._url = f"{scheme}://localhost:{region.ports.gateway}{PATH}"
        authority = str(region.state.certificates / "ca.crt")
        self._verification = ssl.create_default_context(cafile=authority) if https else True
        key = Path(region.state.gateway_api_key).read_text(encoding="ascii").strip()
        self._headers = {"X-API-Key": key}
        self._clients, self._pause = clients, pause
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.requests: list[Sent] = []

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the answers to the last requests."""
        self._ended.set()
        self._thread.join()

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self._clients)))

    async def _client(self, number: int) -> None:
        connector = aiohttp.TCPConnector(ssl=self._verification, force_close=number % 2 == 1)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers) as session:
            while not self._ended.is_set():
                # Each note is another one, so that no answer comes from a cache.
                text = f"Note {number}-{len(self.requests)}: stage IV lung adenocarcinoma, EGFR L858R mutation."
                began = time.monotonic()
                status = await _status(session, self._url, text)
                self.requests.append(Sent(time.monotonic() - began, status))
                await asyncio.sleep(self._pause)


async def _status(session: aiohttp.ClientSession, url: str, text: str) -> int:
    try:
        async with session.post(url, json={"text": text}) as answer:
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        return NO_ANSWER
