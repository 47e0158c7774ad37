"""Server-sent events as the WHATWG defines them (html.spec.whatwg.org, 9.2.6), from the bytes as they arrive.

An own parser because those on PyPI bring a client with them (httpx-sse and ssec httpx, aiohttp-sse-client2 a session
that reconnects; unchanged since 2023) and have no bound on the size of an event.
"""

import re
from collections.abc import Iterator

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
# How OpenAI's API ends a stream; some engines leave out the blank line that should follow.
DONE = b"[DONE]"


class EventTooLongError(Exception):
    """An event has more bytes than it may have."""


class EventParser:
    """Takes in bytes and gives the events, each as its type and its data."""

    def __init__(self, limit: int) -> None:
        """Begin a stream.

        Args:
            limit: bytes that an event may have.
        """
        self._limit = limit
        self._line: list[bytes] = []
        self._line_size = 0
        self._is_first = True
        self._skips_newline = False
        self._type = b""
        self._data: list[bytes] = []
        self._data_size = 0

    def feed(self, part: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Take in the next bytes, and yield the events that they complete.

        Raises:
            EventTooLongError: an event is longer than it may be.
        """
        if self._skips_newline and part:
            # The second half of a CRLF that was cut.
            part = part.removeprefix(b"\n")
            self._skips_newline = False
        *ends, rest = _LINE_END.split(part)
        if ends:
            ends[0] = self._whole_line(ends[0])
        for line in ends:
            if (event := self._take(line)) is not None:
                yield event
        self._skips_newline = part.endswith(b"\r")
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)
            self._check()

    def _whole_line(self, end: bytes) -> bytes:
        if self._line:
            end = b"".join((*self._line, end))
            self._line.clear()
            self._line_size = 0
        if self._is_first:
            self._is_first = False
            end = end.removeprefix(_BOM)
        return end

    def _take(self, line: bytes) -> tuple[bytes, bytes] | None:
        """Take in a line, and return the event that it completes."""
        if not line:
            event = (self._type, b"\n".join(self._data))
            self._type, self._data, self._data_size = b"", [], 0
            return event if event[1] else None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._type = value
        elif name == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
            self._check()
            if len(self._data) == 1 and value.strip() == DONE:
                self._data, self._data_size = [], 0
                return b"", DONE
        return None

    def end(self) -> bool:
        """Return whether the stream's last line, which no line end follows, is the end that OpenAI's API sends.

        Other data without a blank line after it is no event.
        """
        return not self._data and self._whole_line(b"").replace(b" ", b"") == b"data:" + DONE

    def _check(self) -> None:
        if self._line_size + self._data_size > self._limit:
            raise EventTooLongError
