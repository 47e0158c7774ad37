"""The gateway against its own OpenAPI document: schemathesis sends what the document allows and what it does not."""

import asyncio
import json
import os
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import available_timezones

import pytest
import schemathesis
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import ignored_auth

from gateway.access.keys import create_key
from gateway.app import create_app
from gateway.observability.logs import configure_logging
from gateway.settings import Settings
from tests.fakes.engine.scripted import fake_engine

pytestmark = pytest.mark.slow

# More can be asked for when the endpoints change; the same ones come each time, so that a failure can be seen again.
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "10"))
KEY, LINE = create_key("schemathesis")


def _app(folder: Path, **settings: Any) -> FastAPI:
    (folder / "keys").write_text(LINE)
    # Slots for all that the document allows: it cannot say that `n` times the prompts have a limit together.
    limits: dict[str, Any] = {"max_concurrency": 10_000, "max_batch_items": 10}
    return create_app(Settings(api_keys_file=folder / "keys", **limits, **settings))


with TemporaryDirectory() as _folder:
    DOCUMENT: dict[str, Any] = _app(Path(_folder)).openapi()
# Each bound of each member would be tried: of these hundreds, test_openai_requests.py holds them without a server.
_NO_BOUNDS = {"include-path-regex": "^/v1/", "phases": {"coverage": {"enabled": False}}}
# What is too long is 413, which schemathesis does not take for a refusal by itself.
_REFUSALS = {"negative_data_rejection": {"expected-statuses": ["400", "401", "404", "405", "413", "415", "422"]}}
CONFIG = schemathesis.Config.from_dict({"checks": _REFUSALS, "operations": [] if EXAMPLES > 10 else [_NO_BOUNDS]})
# A schema that named them all would be longer than the rest of the document.
ZONES = sorted(name for name in available_timezones() if "/" in name)
schemathesis.openapi.format("iana-time-zone", st.sampled_from(ZONES))
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield a gateway before a fake engine, in a thread of its own, as schemathesis is not asynchronous."""
    configure_logging("ERROR", sys.stderr)
    started = threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        async with fake_engine() as engine:
            engine.answers["assistant-intent"] = '{"intent": "add_task", "task": "buy milk", "schedule": null}'
            app = _app(tmp_path_factory.mktemp("gateway"), engine_url=engine.url)
            server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None))
            found["server"] = server
            serving = asyncio.create_task(server._serve())
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            found["port"] = server.servers[0].sockets[0].getsockname()[1]
            started.set()
            await serving

    # A daemon: where it does not start, the run ends all the same.
    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(60)
    yield f"http://127.0.0.1:{found['port']}"
    found["server"].should_exit = True
    thread.join(10)


@SCHEMA.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_documented(case: schemathesis.Case[Any], url: str) -> None:
    # Its check of keys would need to send its own; test_keys.py has ours.
    case.call_and_validate(base_url=url, headers={"X-API-Key": KEY}, excluded_checks=[ignored_auth])


def test_the_examples_work_as_they_stand(url: str) -> None:
    """Each request in the document has an example, and pasted into a request it is answered with 200."""
    asked = 0
    for path, operations in DOCUMENT["paths"].items():
        body = operations.get("post", {}).get("requestBody")
        if body is None:
            continue
        for example in body["content"]["application/json"]["schema"]["examples"]:
            request = urllib.request.Request(
                url + path.replace("{task}", "medical_ie"),
                json.dumps(example).encode(),
                {"Content-Type": "application/json", "X-API-Key": KEY},
            )
            with urllib.request.urlopen(request, timeout=10) as response:
                assert response.status == 200, path
            asked += 1
    assert asked == 8
