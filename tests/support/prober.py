"""Repeated requests to a gateway, and for how long it did not answer."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.local_region.region import LocalRegion

TIMEOUT_SECONDS = 10
NO_ANSWER = 0


@dataclass(frozen=True)
class Probe:
    """One request: when it was sent and answered, in seconds of the monotonic clock; status 0 when nothing answered."""

    sent: float
    answered: float
    status: int


class Prober:
    """Threads that each send requests, one after the other, between `with` and its end."""

    def __init__(
        self,
        region: LocalRegion,
        path: str = "/health",
        body: Mapping[str, Any] | None = None,
        interval: float = 0.2,
        address: str | None = None,
        clients: int = 1,
    ) -> None:
        """Prepare the requests.

        Args:
            region: Where the gateway runs.
            path: Of the requests.
            body: Sent as JSON by POST; GET without one.
            interval: Seconds between two requests.
            address: In place of the one where the region publishes the gateway.
            clients: That send at the same time.
        """
        environment = region.env()
        self._host = urlsplit(address or environment["GATEWAY_URL"]).netloc
        key = Path(environment["GATEWAY_API_KEY_FILE"]).read_text(encoding="ascii").strip()
        self._headers = {"Content-Type": "application/json", "X-API-Key": key}
        self._path, self._interval = path, interval
        self._body = None if body is None else json.dumps(body)
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        self.probes: list[Probe] = []

    def __enter__(self) -> Self:
        """Start."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the answers to the last requests."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            sent = time.monotonic()
            status = self._ask()
            self.probes.append(Probe(sent, time.monotonic(), status))
            if self._ended.wait(max(0.0, sent + self._interval - time.monotonic())):
                return

    def _ask(self) -> int:
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET" if self._body is None else "POST", self._path, self._body, self._headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return NO_ANSWER
        finally:
            connection.close()
        return answer.status


def seconds_until_serving_again(probes: Sequence[Probe]) -> float:
    """Return the seconds from the first request that failed to the first answer after the last that failed.

    0 when none failed, infinity when the last one did.
    """
    failed = [number for number, probe in enumerate(probes) if probe.status != http.HTTPStatus.OK]
    if not failed:
        return 0.0
    if failed[-1] + 1 == len(probes):
        return float("inf")
    return probes[failed[-1] + 1].answered - probes[failed[0]].sent


def seconds_by_status(probes: Sequence[Probe]) -> dict[int, float]:
    """Return the seconds of each status other than 200; a request stands for the time up to the next."""
    seconds: dict[int, float] = {}
    for probe, following in itertools.pairwise(probes):
        if probe.status != http.HTTPStatus.OK:
            seconds[probe.status] = seconds.get(probe.status, 0.0) + following.sent - probe.sent
    return seconds
