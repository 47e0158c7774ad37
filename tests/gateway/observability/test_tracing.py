"""A request's trace goes into the log and on to the engine; what is no trace is ignored."""

import json
import re
from collections.abc import Callable

import pytest

from gateway.observability import tracing
from tests.fakes.engine.scripted import FakeEngine
from tests.gateway.conftest import StartGateway

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


async def test_a_trace_is_logged_and_passed_on_under_a_new_parent(
    start_gateway: StartGateway, engine: FakeEngine, log: Callable[[], str]
) -> None:
    gateway = await start_gateway()
    headers = {"traceparent": PARENT, "tracestate": "vendor=1"}
    await gateway.call("POST", "/api/v1/extract", json={"text": "x"}, headers=headers)
    await gateway.call("POST", "/api/v1/extract", json={"text": "x"})
    sent, without = engine.headers
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", sent["traceparent"])
    assert sent["traceparent"] != PARENT
    assert sent["tracestate"] == "vendor=1"
    assert "traceparent" not in without
    lines = [json.loads(line) for line in log().splitlines()]
    assert [line.get("trace_id") for line in lines if line["message"] == "request"] == [TRACE, None]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        PARENT.upper(),
        PARENT + "-00",
        PARENT.replace("00-", "ff-", 1),
        PARENT.replace(TRACE, "0" * 32),
        PARENT.replace("00f067aa0ba902b7", "0" * 16),
        PARENT[:-1],
    ],
)
def test_what_is_no_trace_is_ignored(value: str) -> None:
    assert tracing.read([(b"traceparent", value.encode())]) is None


def test_two_parents_are_none() -> None:
    assert tracing.read([(b"traceparent", PARENT.encode())] * 2) is None


def test_a_later_version_may_say_more() -> None:
    trace = tracing.read([(b"traceparent", PARENT.replace("00-", "01-", 1).encode() + b"-what-comes")])
    assert trace is not None
    assert trace.identity == TRACE


@pytest.mark.parametrize("state", [b"x=" + b"1" * 600, b"x=\xff", b"x=\t1\r"])
def test_a_state_that_is_too_long_or_no_text_is_left_out(state: bytes) -> None:
    trace = tracing.read([(b"traceparent", PARENT.encode()), (b"tracestate", state)])
    assert trace is not None
    assert "tracestate" not in trace.headers()
