"""A fake engine that answers at once, so that a benchmark measures what stands before it.

python -m tests.fakes.engine.instant PORT
"""

import asyncio
import json
import re
import sys
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


class Engine(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        """Begin with nothing read."""
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
                self._transport.write(WITH_PROBABILITIES if _PROBABILITIES.search(body) else PLAIN)


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Engine, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
