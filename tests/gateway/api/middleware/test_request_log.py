"""The id and the log line of each request."""

import json
from collections.abc import Callable

from tests.gateway.conftest import Gateway, StartGateway
from tests.gateway.fake_engine import FakeEngine


async def test_a_request_id_is_the_clients_or_a_new_one(gateway: Gateway, engine: FakeEngine) -> None:
    reply = await gateway.call("POST", "/api/v1/extract", json={"text": "x"}, headers={"X-Request-ID": "abc-1"})
    assert reply.headers["X-Request-ID"] == reply.json["request_id"] == "abc-1"
    assert engine.headers[0]["x-request-id"] == "abc-1"
    for bad in ("a b", "x" * 65, 'a"b'):
        reply = await gateway.call("GET", "/live", headers={"X-Request-ID": bad})
        assert len(reply.headers["X-Request-ID"]) == 32


async def test_each_request_is_logged_as_one_json_line(start_gateway: StartGateway, log: Callable[[], str]) -> None:
    gateway = await start_gateway()
    await gateway.call("POST", "/api/v1/extract", json={"text": "x"}, headers={"X-Request-ID": "abc-1"})
    lines = [json.loads(line) for line in log().splitlines()]
    (line,) = [line for line in lines if line["message"] == "request"]
    assert line["request_id"] == "abc-1"
    assert line["route"] == "/api/v1/extract"
    assert line["status"] == 200
    assert line["client"] == "anonymous"
    assert line["level"] == "INFO"
