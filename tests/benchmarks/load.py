"""Sends one kind of request over and over from a number of clients and prints what it saw, as JSON.

    python -m tests.benchmarks.load URL BODIES.jsonl --clients 32 --seconds 5

Each client has one connection and sends its next request when its last answer is whole. It is written on asyncio's
protocols because a full HTTP client would itself be slower than what is measured.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop


class Client(asyncio.Protocol):
    """One connection that is never idle."""

    def __init__(self, requests: list[bytes], samples: list[tuple[float, float, int]]) -> None:
        """Begin with nothing sent.

        Args:
            requests: Sent in turn.
            samples: Gets end, seconds and status of each.
        """
        self._requests = requests
        self._seen = samples
        self._next = 0
        self._buffer = bytearray()
        self._began = 0.0
        self._transport: asyncio.Transport
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without being a subclass
        self._send()

    def connection_lost(self, _: Exception | None) -> None:
        """Report the end."""
        if not self.lost.done():
            self.lost.set_result(None)

    def _send(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer in; send the next request when it is whole."""
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end == -1:
            return
        head = bytes(self._buffer[:head_end]).lower()
        if b"transfer-encoding: chunked" in head:
            if not self._buffer.endswith(b"0\r\n\r\n"):
                return
        else:
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(self._buffer) < head_end + 4 + length:
                return
        now = time.perf_counter()
        self._seen.append((now, now - self._began, int(head[9:12])))
        self._buffer.clear()
        self._send()


async def measure(url: str, bodies: list[bytes], headers: list[str], clients: int, seconds: float) -> dict[str, object]:
    """Send requests for a warm-up and a time that counts.

    Args:
        url: Where to.
        bodies: Sent in turn.
        headers: Lines such as `X-API-Key: KEY`.
        clients: How many send at once.
        seconds: The time that counts; the warm-up is a fifth of it.

    Returns:
        Rate, latencies and statuses after the warm-up.
    """
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    head += "".join(f"{header}\r\n" for header in headers)
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    samples: list[tuple[float, float, int]] = []
    loop = asyncio.get_running_loop()
    transports = []
    for number in range(clients):
        turned = requests[number % len(requests) :] + requests[: number % len(requests)]

        def client(own: list[bytes] = turned) -> Client:
            return Client(own, samples)

        transport, _ = await loop.create_connection(client, parts.hostname or "", parts.port or 80)
        transports.append(transport)
    begin = time.perf_counter() + seconds / 5
    await asyncio.sleep(seconds * 1.2)
    end = time.perf_counter()
    for transport in transports:
        transport.abort()
    counted = [(took, status) for at, took, status in samples if begin <= at <= end]
    times = sorted(took for took, _ in counted)
    hundredths = statistics.quantiles(times, n=100) if len(times) > 1 else [0.0] * 99
    return {
        "requests_per_second": len(times) / (end - begin),
        "p50_ms": hundredths[49] * 1000,
        "p99_ms": hundredths[98] * 1000,
        "statuses": Counter(str(status) for _, status in counted),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path, help="a file with one body a line")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--header", action="append", default=[])
    args = parser.parse_args()
    bodies = args.bodies.read_bytes().splitlines()
    result = uvloop.run(measure(args.url, bodies, args.header, args.clients, args.seconds))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
