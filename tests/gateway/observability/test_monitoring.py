"""monitoring/: a real Prometheus asks a gateway under load; its rules and every query of the dashboard are run."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.fakes.engine.scripted import FakeEngine
from tests.gateway.conftest import Gateway, StartGateway, free_port
from tests.support.prometheus import program

MONITORING = Path("monitoring")
DOCUMENTATION = Path("docs/monitoring.md")
SECONDS = 60  # until Prometheus has asked the gateway twice, on a machine that is busy
SSE = {"Accept": "text/event-stream"}


def alerts() -> list[str]:
    """Names of all alerts, in the order of the rules."""
    groups = yaml.safe_load((MONITORING / "rules.yml").read_text("utf-8"))["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule]


def queries() -> list[str]:
    """All queries of the dashboard, with the interval that Grafana would put in."""
    panels = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))["panels"]
    return [target["expr"].replace("$__rate_interval", "1m") for panel in panels for target in panel["targets"]]


@pytest.mark.slow
def test_each_alert_fires_for_its_fault_and_none_without() -> None:
    tests = yaml.safe_load((MONITORING / "rules_test.yml").read_text("utf-8"))["tests"]
    expected = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in expected if case["exp_alerts"]} == set(alerts())
    assert {case["alertname"] for case in expected if not case["exp_alerts"]} == set(alerts())
    run = subprocess.run(
        [program("promtool"), "test", "rules", "rules_test.yml"],
        cwd=MONITORING,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_the_configuration_is_valid() -> None:
    run = subprocess.run(
        [program("promtool"), "check", "config", "prometheus.yml"],
        cwd=MONITORING,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_documentation_says_of_each_alert_what_to_do() -> None:
    sections = re.findall(r"^### (\w+)\n\n(.+?)(?=^##|\Z)", DOCUMENTATION.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert [name for name, _ in sections] == alerts()
    for name, section in sections:
        assert all(word in section for word in ("**Means**", "**Look at**", "**Do**")), name


@asynccontextmanager
async def prometheus(folder: Path, gateway: Gateway) -> AsyncIterator[str]:
    """Yield the address of a Prometheus that has the configuration of monitoring/, and asks the gateway each second."""
    shutil.copytree(MONITORING, folder / "configuration")
    configuration = folder / "configuration/prometheus.yml"
    configuration.write_text(configuration.read_text("utf-8").replace("_interval: 15s", "_interval: 1s"))
    targets = [{"targets": [gateway.url.removeprefix("http://")]}]
    (folder / "configuration/targets.yml").write_text(yaml.safe_dump(targets))
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program("prometheus"),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        await process.wait()


async def asked(session: aiohttp.ClientSession, address: str, path: str, **parameters: str) -> Any:
    """Return what Prometheus answers, or None while it does not."""
    try:
        async with session.get(f"{address}/api/v1/{path}", params=parameters) as response:
            assert response.status in (200, 503), await response.text()
            return (await response.json())["data"] if response.status == 200 else None
    except aiohttp.ClientConnectionError:
        return None


async def load(gateway: Gateway, engine: FakeEngine) -> None:
    """Have something counted for every metric that an engine at work gives."""
    await gateway.extract()
    engine.answer = json.dumps({"stage": "X"})
    await gateway.extract()
    await gateway.call("POST", "/api/v1/extract", json={"text": ""})
    await gateway.call("POST", "/api/v1/extract/stream", json={"text": "stage IV"}, headers=SSE)


@pytest.mark.slow
async def test_every_query_of_the_dashboard_returns_data(
    start_gateway: StartGateway, engine: FakeEngine, tmp_path: Path
) -> None:
    gateway = await start_gateway()
    missing = queries()
    async with prometheus(tmp_path, gateway) as address, asyncio.timeout(SECONDS):
        while missing:
            await load(gateway, engine)
            results = [(query, await asked(gateway.session, address, "query", query=query)) for query in missing]
            missing = [query for query, data in results if not data or not _has_number(data["result"])]
            await asyncio.sleep(0.2)
        rules = (await asked(gateway.session, address, "rules"))["groups"][0]["rules"]
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}, rules
    assert not [rule["lastError"] for rule in rules if rule.get("lastError")]


def _has_number(result: list[dict[str, Any]]) -> bool:
    return any(each["value"][1] != "NaN" for each in result)
