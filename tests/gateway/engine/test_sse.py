"""Server-sent events are read as the WHATWG defines them, wherever the bytes are cut."""

import pytest

from gateway.engine.sse import DONE, EventParser, EventTooLongError

A, B = (b"", b'{"a": 1}'), (b"", b'{"b": 2}')


def read(stream: bytes, size: int, limit: int = 1000) -> list[tuple[bytes, bytes]]:
    parser = EventParser(limit)
    return [event for at in range(0, len(stream), size) for event in parser.feed(stream[at : at + size])]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b'data: {"a": 1}\n\ndata: {"b": 2}\n\n', [A, B]),
        (b'data:{"a": 1}\n\n\n\ndata:{"b": 2}\n\n', [A, B]),
        (b'\xef\xbb\xbfdata: {"a": 1}\n\n', [A]),
        (b': ping\ndata: {"a": 1}\n\n', [A]),
        (b':\n\n: ping\n\ndata: {"a": 1}\n: between\n\n:\ndata: {"b": 2}\n\n', [A, B]),
        (b'event: message\nid: 1\nretry: 10\ndata: {"a": 1}\n\n', [(b"message", A[1])]),
        (b'id\nid:\nunknown: x\ndata: {"a": 1}\n\nevent: e\n\ndata: {"b": 2}\n\n', [A, B]),
        (b'data: {"a":\ndata:  1}\n\n', [(b"", b'{"a":\n 1}')]),
        (b"data: x\ndata\n\n", [(b"", b"x\n")]),
        (b"data:\n\ndata\n\n", []),
        (b" data: x\n\ndatax: y\n\n", []),
        (b"data: cut off\n", []),
        (b"data: [DONE]\n", [(b"", DONE)]),
        (b'data: {"a": 1}\n\n: ping\ndata:[DONE] \n\n', [A, (b"", DONE)]),
        ("data: \u2028\x85\x0b\x0c\n\n".encode(), [(b"", "\u2028\x85\x0b\x0c".encode())]),
    ],
)
def test_events_are_the_standards(stream: bytes, events: list[tuple[bytes, bytes]], end: bytes, size: int) -> None:
    assert read(stream.replace(b"\n", end), size) == [(kind, data.replace(end, b"\n")) for kind, data in events]


@pytest.mark.parametrize(
    ("stream", "is_end"),
    [
        (b"data: [DONE]", True),
        (b"data: x\n\ndata:[DONE]", True),
        (b"data: x", False),
        (b"data: x\n\n", False),
        (b"data: x\ndata: [DONE]", False),
        (b": [DONE]", False),
    ],
)
def test_the_last_line_may_be_the_end_without_a_line_end(stream: bytes, is_end: bool) -> None:
    parser = EventParser(1000)
    list(parser.feed(stream))
    assert parser.end() is is_end


@pytest.mark.parametrize(
    "stream", [b"data: " + b"x" * 1000, b": " + b"x" * 1000, b"data: x\n" * 600, b"data\n" * 2000, b"x" * 2000]
)
@pytest.mark.parametrize("size", [1, 100, 5000])
def test_an_event_that_is_too_long_is_refused(stream: bytes, size: int) -> None:
    with pytest.raises(EventTooLongError):
        read(stream, size)


def test_events_of_the_longest_size_may_follow_each_other() -> None:
    stream = b"data: " + b"x" * 990 + b"\n\n"
    assert len(read(stream * 20 + b": ping\n" * 1000, 77)) == 20
