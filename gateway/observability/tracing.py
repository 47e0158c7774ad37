"""The trace that a request belongs to: W3C Trace Context (https://www.w3.org/TR/trace-context/), read and passed on.

The gateway makes no spans of its own. It takes the caller's `traceparent` into its log and hands it to the engine with
a parent of its own, so that whoever traces the calls before and behind finds them under one trace.
"""

import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from typing import NamedTuple

# Version 00, and what later versions must begin with; versions add members behind the flags.
_PARENT = re.compile(
    rb"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_NONE = b"0"
# The standard asks for 512 characters at least to be passed on; what is longer may be dropped.
_MOST_STATE = 512
_STATE = re.compile(rb"[\x20-\x7e]+")


class Trace(NamedTuple):
    """What is passed on of a request's trace.

    Attributes:
        identity: 32 hexadecimal digits.
        flags: two, the first bit says that it is sampled.
        state: the caller's `tracestate`, or empty.
    """

    identity: str
    flags: str
    state: str = ""

    def headers(self) -> dict[str, str]:
        """Return the headers of a call that belongs to the trace, under a new parent."""
        headers = {"traceparent": f"00-{self.identity}-{secrets.token_hex(8)}-{self.flags}"}
        return headers | ({"tracestate": self.state} if self.state else {})


CURRENT: ContextVar[Trace | None] = ContextVar("trace", default=None)
"""Of the request that is being served. Tasks that it starts inherit it."""


def read(headers: Iterable[tuple[bytes, bytes]]) -> Trace | None:
    """Return the trace that a request's headers name; None when they name none, or not as the standard says.

    Args:
        headers: lower-case names with their values.
    """
    parents = [value.strip() for name, value in headers if name == b"traceparent"]
    match = _PARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    if match is None or match["version"] == b"ff" or (match["version"] == b"00" and match["more"]):
        return None
    if not match["trace"].strip(_NONE) or not match["parent"].strip(_NONE):
        return None
    state = b",".join(value.strip() for name, value in headers if name == b"tracestate")
    kept = state.decode("ascii") if len(state) <= _MOST_STATE and _STATE.fullmatch(state) else ""
    return Trace(match["trace"].decode("ascii"), match["flags"].decode("ascii"), kept)
