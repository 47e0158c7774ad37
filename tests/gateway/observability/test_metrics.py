"""/metrics: what happened is counted, by task, and no label holds a request's data."""

import asyncio
import json
import re
from pathlib import Path

from gateway.services import build_services
from gateway.settings import Settings
from tests.fakes.engine.scripted import GOLD, FakeEngine
from tests.gateway.conftest import NOTE, Gateway, StartGateway

MARKER = "MARKERJaneDoe"
README = Path("gateway/README.md")


async def read(gateway: Gateway) -> dict[str, float]:
    """All samples by name and labels."""
    reply = await gateway.call("GET", "/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain")
    lines = [line for line in reply.body.decode().splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


async def test_requests_tokens_and_extractions_are_counted(gateway: Gateway, engine: FakeEngine) -> None:
    await gateway.extract()
    engine.answer = json.dumps(GOLD | {"stage": 3, "metastasis_site": "liver"})
    await gateway.extract()
    engine.answer = "nonsense"
    await gateway.extract()
    seen = await read(gateway)
    assert seen['llm_requests_total{route="/api/v1/extract",status="200"}'] == 2
    assert seen['llm_requests_total{route="/api/v1/extract",status="502"}'] == 1
    assert seen['llm_request_duration_seconds_count{route="/api/v1/extract"}'] == 3
    assert seen['llm_tokens_total{kind="prompt",task="medical_ie"}'] == 300
    assert seen['gateway_extractions_total{outcome="ok",task="medical_ie"}'] == 2
    assert seen['gateway_extractions_total{outcome="not_json",task="medical_ie"}'] == 1
    assert seen['gateway_repairs_total{code="number_to_text",task="medical_ie"}'] == 1
    assert seen['gateway_ungrounded_values_total{task="medical_ie"}'] >= 1
    assert seen["gateway_running"] == seen["gateway_queue_waiting"] == seen["gateway_circuit_open"] == 0


async def test_refusals_and_first_tokens_are_counted(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(rate_limit="3/hour")
    await gateway.call("POST", "/api/v1/extract/stream", json={"text": NOTE})
    chat = {"messages": [{"role": "user", "content": "x"}]}
    await gateway.call("POST", "/v1/chat/completions", json={**chat, "stream": True})
    await gateway.call("POST", "/v1/chat/completions", json=chat)
    await gateway.extract()
    seen = await read(gateway)
    assert seen['gateway_refusals_total{reason="rate_limit"}'] == 1
    assert seen['llm_time_to_first_token_seconds_count{task="medical_ie"}'] == 1
    assert seen['llm_time_to_first_token_seconds_count{task="openai"}'] == 1
    assert seen['llm_tokens_total{kind="prompt",task="openai"}'] == 200


async def test_no_label_holds_what_was_sent(gateway: Gateway) -> None:
    await gateway.call("POST", f"/api/v1/{MARKER}", data=MARKER)
    await gateway.extract(MARKER, model=MARKER)
    await gateway.call("POST", f"/api/v1/tasks/{MARKER}/extract", json={"text": MARKER})
    text = (await gateway.call("GET", "/metrics")).body.decode()
    assert MARKER not in text
    assert 'route="none"' in text
    assert 'route="/api/v1/tasks/{task}/extract"' in text


async def test_every_metric_says_what_it_is(gateway: Gateway) -> None:
    text = (await gateway.call("GET", "/metrics")).body.decode()
    assert all(help_text.endswith(".") for help_text in re.findall(r"^# HELP \S+ (.*)$", text, re.MULTILINE))


def table() -> str:
    """Return the metrics as README.md must show them."""
    settings = Settings(auth="off")
    rows = []
    for family in build_services(settings).metrics.families():
        labels = ", ".join(f"`{label}`" for label in family.labels) or "none"
        rows.append(f"| `{family.name}` | {labels} | {family.text} |")
    return "\n".join(rows)


def test_the_readme_has_every_metric() -> None:
    assert table() in README.read_text("utf-8"), f"put this table into {README}:\n{table()}"


async def test_an_engine_that_is_down_shows_for_as_long_as_it_is(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(engine_url="http://127.0.0.1:9", engine_patience=0)
    for _ in range(5):
        assert (await gateway.extract()).status == 503
    await asyncio.sleep(2.1)  # longer than requests are refused after a trial
    assert (await read(gateway))["gateway_circuit_open"] == 1
