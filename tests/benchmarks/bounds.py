"""What hostile input costs the gateway: memory, time, and how long other requests wait meanwhile.

    python -m tests.benchmarks.bounds

Starts one gateway with its defaults before a fake engine that answers at once, and sends it, on loopback, up to 30 MB
of heads, URLs, pipelined requests, trailers and chunk sizes; texts of 100,000 characters that are made to take long;
and bodies of 4 MB that are not valid. Beside each, `/live` is asked some hundred times a second on a connection of its
own. Prints Markdown tables.
"""

import argparse
import contextlib
import datetime
import http.client
import json
import os
import platform
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.gateway import memory, start_gateway
from tests.support.tables import BENCHMARKS, add_write_option, publish

FLOOD_BYTES = 30_000_000
BODY_BYTES = 4_000_000
TEXT_CHARACTERS = 100_000
PAUSE_SECONDS = 0.005

_HEAD = b"POST /api/v1/extract HTTP/1.1\r\nHost: a\r\n"
_CHUNKED = _HEAD + b"X-API-Key: KEY\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
# What is sent first, with the key in its place, and what then again and again.
FLOODS = {
    "tiny headers": (_HEAD, b"a:b\r\n"),
    "headers of 1 KB": (_HEAD, b"a: " + b"b" * 1000 + b"\r\n"),
    "one header": (_HEAD + b"a: ", b"b" * 1000),
    "one URL": (b"GET /", b"a" * 1000),
    "pipelined requests": (b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "trailers": (_CHUNKED + b"0\r\n", b"a: b\r\n"),
    "one chunk's size": (_CHUNKED, b"0" * 1000),
    "blank lines": (b"", b"\r\n" * 500),
}
# Repeated to the full length; the fake engine's answer has the stage IV, PD-L1 40% and the site brain.
TEXTS = {
    "ordinary words": "Visit 4: vital signs were stable, the examination without new findings. ",
    "stages": "stage iv iv iv iv iv iv ",
    "denied sites": "no brain ",
    "one sentence without end": "word ",
    "percentages": "PD-L1 4 0 % ",
    "signs": "ER+PR+HER2- ",
    "broken words": "osi-\nmertinib ",
    "Chinese": "肺癌脑转移",
    "joiners": "IV\u200d",
    "marks": "e\u0301\u0301",
    "Devanagari": "\u0915\u094d\u0937\u093f",
    "full stops": ". ",
}
BODIES: dict[str, Callable[[], bytes]] = {
    "a list of zeros": lambda: b'{"items":[' + b"0," * (BODY_BYTES // 2) + b"0]}",
    "a list of lists": lambda: b'{"items":[' + b"[]," * (BODY_BYTES // 3) + b"0]}",
    "deep lists": lambda: b"[" * BODY_BYTES,
    "one long number": lambda: b'{"text":' + b"1" * BODY_BYTES + b"}",
    "one long string": lambda: b'{"text":"' + b"a" * BODY_BYTES + b'"}',
    "unknown members": lambda: (
        b'{"text":"x",' + b",".join(b'"%d":0' % n for n in range(BODY_BYTES // 13)) + b',"grounding":1}'
    ),
    "no JSON": lambda: b"x" * BODY_BYTES,
}
FACES = {"items": "/api/v1/extract/batch", "text": "/api/v1/extract"}


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs."""

    port: int
    key: str
    process: int

    def post(self, path: str, body: bytes) -> tuple[int, int]:
        """Send a body, and return the answer's status and its length in bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(connection):
            connection.request("POST", path, body, {"X-API-Key": self.key, "Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, len(response.read())


@dataclass
class Waits:
    """What others noticed.

    Attributes:
        longest: seconds that `/live` took at worst.
        mebibytes: by which the memory grew at most.
    """

    longest: float = 0.0
    mebibytes: float = 0.0


@contextlib.contextmanager
def watched(gateway: Gateway) -> Iterator[Waits]:
    """Ask `/live` and read the memory all the while, from two threads; yield what was seen at worst."""
    waits, ended, before = Waits(), threading.Event(), memory([gateway.process])

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=120)
        while not ended.is_set():
            began = time.perf_counter()
            connection.request("GET", "/live")
            connection.getresponse().read()
            waits.longest = max(waits.longest, time.perf_counter() - began)
            time.sleep(PAUSE_SECONDS)
        connection.close()

    def read_memory() -> None:
        while not ended.wait(0.05):
            waits.mebibytes = max(waits.mebibytes, memory([gateway.process]) - before)

    threads = [threading.Thread(target=ask), threading.Thread(target=read_memory)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    try:
        yield waits
    finally:
        time.sleep(0.1)
        ended.set()
        for thread in threads:
            thread.join()


def flood(gateway: Gateway, begin: bytes, again: bytes) -> tuple[int, str]:
    """Send until the gateway closes, or the bytes are used up; return how many went out, and the answer's status."""
    block = again * max(1, 65536 // len(again))
    sent = 0
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as connection:
        with contextlib.suppress(ConnectionError, TimeoutError):
            connection.sendall(begin.replace(b"KEY", gateway.key.encode()))
            while sent < FLOOD_BYTES:
                connection.sendall(block)
                sent += len(block)
        answer = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            connection.settimeout(2)
            answer = connection.recv(65536)
    return sent, answer[9:12].decode() if answer.startswith(b"HTTP/") else "closed"


def flood_table(gateway: Gateway) -> str:
    """Return the Markdown table of the floods."""
    lines = [
        "| up to 30 MB of | MB sent | answer | seconds | MiB more | worst /live ms |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for name, (begin, again) in FLOODS.items():
        began = time.perf_counter()
        with watched(gateway) as waits:
            sent, answer = flood(gateway, begin, again)
        seconds = time.perf_counter() - began
        cells = [f"{sent / 1e6:.1f}", answer, f"{seconds:.1f}", f"{waits.mebibytes:.0f}", f"{1000 * waits.longest:.0f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def text_table(gateway: Gateway) -> str:
    """Return the Markdown table of the texts."""
    lines = [f"| {TEXT_CHARACTERS:,} characters of | status | seconds | worst /live ms |", "|---|---|---:|---:|"]
    for name, unit in TEXTS.items():
        text = (unit * (TEXT_CHARACTERS // len(unit) + 1))[:TEXT_CHARACTERS]
        body = json.dumps({"text": text}).encode()
        began = time.perf_counter()
        with watched(gateway) as waits:
            status, _ = gateway.post("/api/v1/extract", body)
        seconds = time.perf_counter() - began
        lines.append(f"| {name} | {status} | {seconds:.1f} | {1000 * waits.longest:.0f} |")
    return "\n".join(lines) + "\n"


def body_table(gateway: Gateway) -> str:
    """Return the Markdown table of the bodies."""
    lines = ["| 4 MB of | sent to | status | answer's bytes | ms |", "|---|---|---|---:|---:|"]
    for name, make in BODIES.items():
        body = make()
        path = FACES["items" if b'"items"' in body[:20] else "text"]
        began = time.perf_counter()
        status, length = gateway.post(path, body)
        lines.append(f"| {name} | `{path}` | {status} | {length:,} | {1000 * (time.perf_counter() - began):.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.bounds",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_write_option(parser, BENCHMARKS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        gateway = start(stack, Path(name))
        parts: list[str] = []
        for part in (flood_table, text_table, body_table):
            sys.stderr.write(f"{part.__name__.removesuffix('_table')} ({len(parts) + 1} of 3)\n")
            parts.append(part(gateway))
    now = datetime.datetime.now(datetime.UTC)
    heading = (
        f"{now:%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"load average at the end: {os.getloadavg()[0]:.1f}\n"
    )
    publish("\n".join([heading, *parts]), args.write, parser.prog)


def start(stack: contextlib.ExitStack, folder: Path) -> Gateway:
    """Start a fake engine and a gateway with its defaults.

    Raises:
        SystemExit: it does not answer.
    """
    serving = start_gateway(stack, folder)
    gateway = Gateway(serving.port, serving.key, serving.process)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if gateway.post("/api/v1/extract", b'{"text":"Stage IV lung adenocarcinoma."}')[0] == 200:
                return gateway
        time.sleep(0.2)
    raise SystemExit(f"the gateway did not answer\n{(folder / 'gateway.log').read_text(errors='replace')[-2000:]}")


if __name__ == "__main__":
    main()
