"""A fake engine that answers at once, so that a benchmark measures what stands before it.

    python -m tests.fakes.engine.instant PORT

With `--latency` it takes that long for each answer, and with `--slots` it works on so many at once and lets the rest
wait, as an engine that is full does: what stands before several of them is then measured without the processor's speed.
"""

import argparse
import asyncio
import functools
import json
import re
from collections import deque
from collections.abc import Callable
from typing import cast

import uvloop

from tests.fakes.engine import documents

ANSWER = {
    "cancer_type": "lung adenocarcinoma",
    "stage": "IV",
    "gene_mutation": "EGFR L858R",
    "biomarker": "PD-L1 40%",
    "treatment": "osimertinib",
    "response": "partial response",
    "metastasis_site": "brain",
}


def _completion(with_probabilities: bool) -> bytes:
    text = json.dumps(ANSWER)
    # Three characters a token is what Llama 3's tokenizer makes of such JSON.
    tokens = documents.tokens_of(text, chars=3, logprob=-0.05)
    counts = documents.usage(560, len(tokens))
    return _response(documents.completion(text, tokens if with_probabilities else None, counts))


def _response(document: object) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


_PROBABILITIES = re.compile(rb'"logprobs": ?true')
PLAIN, WITH_PROBABILITIES = _completion(False), _completion(True)
MODELS = _response(documents.models("base", ["medical-ie"], 8192))


class Slots:
    """Answers that are made at once, each of which takes the same time; the rest wait in the order of arrival."""

    def __init__(self, count: int, latency: float) -> None:
        """Make them.

        Args:
            count: how many, or 0 for no bound.
            latency: seconds that each answer takes.
        """
        self._free = count or float("inf")
        self._latency = latency
        self._waiting: deque[Callable[[], None]] = deque()

    def serve(self, answer: Callable[[], None]) -> None:
        """Have `answer` called when its time has passed."""
        if not self._latency:
            answer()
        elif self._free > 0:
            self._begin(answer)
        else:
            self._waiting.append(answer)

    def _begin(self, answer: Callable[[], None]) -> None:
        self._free -= 1
        asyncio.get_running_loop().call_later(self._latency, self._end, answer)

    def _end(self, answer: Callable[[], None]) -> None:
        self._free += 1
        if self._waiting:
            self._begin(self._waiting.popleft())
        answer()


class Engine(asyncio.Protocol):
    """One connection."""

    def __init__(self, slots: Slots) -> None:
        """Begin with nothing read.

        Args:
            slots: of the whole engine.
        """
        self._slots = slots
        self._buffer = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without being a subclass

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) != -1:
            head = bytes(self._buffer[:end]).lower()
            announced = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            whole = end + 4 + (int(announced) if announced else 0)
            if len(self._buffer) < whole:
                return
            body = bytes(self._buffer[end + 4 : whole])
            del self._buffer[:whole]
            if head.startswith(b"get"):
                self._transport.write(MODELS)
            else:
                answer = WITH_PROBABILITIES if _PROBABILITIES.search(body) else PLAIN
                self._slots.serve(functools.partial(self._write, answer))

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def serve(port: int, latency: float, slots: int) -> None:
    """Serve until the process is ended."""
    shared = Slots(slots, latency)
    server = await asyncio.get_running_loop().create_server(lambda: Engine(shared), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each answer takes")
    parser.add_argument("--slots", type=int, default=0, help="answers that are made at once; 0: no bound")
    args = parser.parse_args()
    uvloop.run(serve(args.port, args.latency, args.slots))


if __name__ == "__main__":
    main()
