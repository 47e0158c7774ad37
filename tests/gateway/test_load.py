"""Ten times more clients than the engine can take. GATEWAY_LOAD_SECONDS=30 makes it as long as a real one."""

import asyncio
import os
import statistics
import time
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from tests.fakes.engine.scripted import FakeEngine
from tests.gateway.cli.test_main import start
from tests.gateway.conftest import NOTE, free_port

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("GATEWAY_LOAD_SECONDS", "2"))
SLOTS, QUEUE, QUEUE_SECONDS, SERVICE_SECONDS = 4, 12, 1.0, 0.1
CLIENTS = 10 * SLOTS
# What this machine's own slowness may add.
SLACK_SECONDS = 1.0


def memory(process_id: int) -> int:
    """KiB that a process holds."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


async def call(session: aiohttp.ClientSession, url: str) -> tuple[int, float, str | None]:
    """Status, seconds and Retry-After of one extraction."""
    began = time.monotonic()
    async with session.post(url, json={"text": NOTE}) as response:
        await response.read()
        return response.status, time.monotonic() - began, response.headers.get("Retry-After")


async def test_overload_is_refused_and_leaves_no_trace(engine: FakeEngine) -> None:
    port = free_port()
    engine.delay = SERVICE_SECONDS
    process = await start(
        "serve",
        GATEWAY_AUTH="off",
        GATEWAY_PORT=str(port),
        GATEWAY_ENGINE_URL=engine.url,
        GATEWAY_MAX_CONCURRENCY=str(SLOTS),
        GATEWAY_MAX_QUEUE=str(QUEUE),
        GATEWAY_QUEUE_TIMEOUT=str(QUEUE_SECONDS),
        GATEWAY_LOG_LEVEL="ERROR",
    )
    url = f"http://127.0.0.1:{port}/api/v1/extract"
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            async with asyncio.timeout(20):
                while True:
                    try:
                        await call(session, url)
                        break
                    except aiohttp.ClientConnectionError:
                        await asyncio.sleep(0.1)
            seen: list[tuple[int, float, str | None]] = []

            async def client(until: float) -> None:
                while time.monotonic() < until:
                    answer = await call(session, url)
                    seen.append(answer)
                    if answer[0] != 200:
                        await asyncio.sleep(0.05)  # impatient, but no busy loop

            await asyncio.gather(*(client(time.monotonic() + SECONDS / 4) for _ in range(CLIENTS)))
            warm = memory(process.pid)
            seen.clear()
            began = time.monotonic()
            await asyncio.gather(*(client(began + SECONDS) for _ in range(CLIENTS)))
            grown = memory(process.pid) - warm
            alone = [await call(session, url) for _ in range(3)]
    finally:
        process.terminate()
        await process.communicate()
    statuses = Counter(status for status, _, _ in seen)
    assert set(statuses) <= {200, 429, 503}
    assert statuses[503] > statuses[200]
    assert engine.most_running == SLOTS
    # Those that were let in were answered, and others after them.
    assert statuses[200] > SLOTS
    accepted = [seconds for status, seconds, _ in seen if status == 200]
    assert statistics.quantiles(accepted, n=100)[98] < QUEUE_SECONDS + SERVICE_SECONDS + SLACK_SECONDS
    assert all(after is not None and int(after) >= 1 for status, _, after in seen if status == 503)
    assert grown < 8 * 1024
    # Full speed again at once.
    assert [status for status, _, _ in alone] == [200, 200, 200]
    assert min(seconds for _, seconds, _ in alone) < SERVICE_SECONDS + SLACK_SECONDS / 2
