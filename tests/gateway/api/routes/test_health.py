"""/live and /health: healthy only when the engine produces tokens."""

import asyncio
from typing import Any

import pytest
from aiohttp import web

from gateway import __version__
from gateway.engine import readiness
from tests.fakes.engine.scripted import FakeEngine
from tests.gateway.conftest import Gateway, until


async def test_a_gateway_whose_engine_produces_tokens_is_healthy(gateway: Gateway) -> None:
    for path in ("/health", "/healthz"):
        reply = await gateway.call("GET", path)
        assert reply.status == 200
        assert reply.json == {"status": "healthy", "vllm_available": True, "version": __version__}


async def test_a_dead_engine_is_unhealthy_at_once(gateway: Gateway, engine: FakeEngine) -> None:
    assert (await gateway.extract()).status == 200
    await engine.stop()
    assert (await gateway.extract()).status == 503
    reply = await gateway.call("GET", "/health")
    assert reply.status == 503
    assert reply.json == {"status": "unhealthy", "vllm_available": False, "version": __version__}
    assert (await gateway.call("GET", "/live")).status == 200


@pytest.mark.parametrize("kind", ["hangs", "no_token", "no_adapter", "500"])
async def test_an_engine_that_makes_no_token_is_unhealthy(
    gateway: Gateway, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(readiness, "_PROBE_TIMEOUT", 0.2)

    async def answer(_: web.Request, __: dict[str, Any]) -> web.Response:
        match kind:
            case "hangs":
                await asyncio.sleep(30)
            case "no_token":
                return web.json_response(
                    {"choices": [{"message": {"content": ""}}], "usage": {"total_tokens": 5, "completion_tokens": 0}}
                )
            case "no_adapter":
                return web.json_response({}, status=404)
        return web.json_response({}, status=500)

    engine.handler = answer
    assert (await gateway.call("GET", "/health")).status == 503


async def test_health_recovers_with_the_engine(gateway: Gateway, engine: FakeEngine) -> None:
    await engine.stop()
    assert (await gateway.call("GET", "/health")).status == 503
    await engine.start()
    await asyncio.sleep(1.05)  # a failed probe stands for a second
    assert (await gateway.call("GET", "/health")).status == 200


async def test_concurrent_health_checks_share_one_probe_and_traffic_needs_none(
    gateway: Gateway, engine: FakeEngine
) -> None:
    engine.delay = 0.1
    await asyncio.gather(*(gateway.call("GET", "/health") for _ in range(20)))
    assert engine.probes == 1
    await gateway.extract()
    await gateway.call("GET", "/health")
    assert engine.probes == 1


async def test_a_draining_gateway_is_unhealthy_and_refuses_work(gateway: Gateway, engine: FakeEngine) -> None:
    engine.delay = 0.3
    running = asyncio.create_task(gateway.extract())
    await until(lambda: engine.running == 1)
    gateway.services.drain.draining = gateway.services.drain.refusing = True
    assert (await gateway.call("GET", "/health")).status == 503
    refused = await gateway.extract()
    assert refused.status == 503
    assert int(refused.headers["Retry-After"]) >= 1
    assert (await running).status == 200
