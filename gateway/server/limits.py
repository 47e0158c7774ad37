"""The bounds that hold before anything about a request is known, its key least of all."""

from dataclasses import dataclass
from typing import Self

from gateway.settings import Settings

# Of a request's line and headers together; trailers and the framing between two parts of a body have the same bound.
HEAD_BYTES = 65_536
# Room for what browsers and proxies add; the same number that Apache and Envoy allow, and a little more.
HEADERS = 128
URL_BYTES = 8_192
# Requests that may wait behind the one that is answered on the same connection.
PIPELINED = 16
# The parser gets no more at once, so that a bound is noticed soon after it is passed.
SLICE_BYTES = 16_384
# What is read and thrown away so that a client that still sends can read the answer; see `Wire.close`.
DISCARDED_BYTES = 67_108_864
DISCARD_SECONDS = 30.0
SILENCE_SECONDS = 5.0
# For all that when the gateway ends; less than uvicorn waits for.
LAST_SECONDS = 2.0
# Connections above the limit, which are answered on the open paths alone, so that a full gateway is not a dead one.
RESERVE = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """What an operator chooses."""

    connections: int
    head_seconds: float
    body_seconds: float
    send_seconds: float
    keep_alive_seconds: float

    @classmethod
    def of(cls, settings: Settings, connections: int | None = None) -> Self:
        """Return the limits of some settings.

        Args:
            settings: the operator's choices.
            connections: fewer than the settings say, where the system has no files for more.
        """
        return cls(
            connections=connections or settings.max_connections,
            head_seconds=settings.head_timeout,
            body_seconds=settings.request_timeout,
            send_seconds=settings.send_timeout,
            keep_alive_seconds=settings.keep_alive_timeout,
        )
