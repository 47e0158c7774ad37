"""What the gateway promises of its engine, before each kind: fakes of vLLM and llama.cpp, and llama.cpp itself.

The real llama.cpp runs in the environment that `.ci/llamacpp-env` makes, at the first of these tests. The real vLLM has
a file of its own (`test_real_engine`), as it runs in Docker.
"""

import asyncio
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.tasks import load_task
from tests.fakes.engine.llamacpp import FakeLlamaCpp
from tests.fakes.engine.scripted import FakeEngine, fake_engine
from tests.gateway.api.routes.test_stream import events
from tests.gateway.conftest import NOTE, Gateway, StartGateway, free_port
from tests.support import llamacpp as llamacpp_support

ROOT = Path(__file__).resolve().parents[3]
TASK = load_task(ROOT / "gateway/tasks/medical_ie.yaml")
START_SECONDS = 120
FIELDS = [field.name for field in TASK.fields]


@dataclass
class Served:
    """An engine that answers, and how many answers it is at work on."""

    kind: str
    url: str
    running: Callable[[], int]
    fake: FakeEngine | None = None


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the small model as llama.cpp reads it."""
    path = tmp_path_factory.mktemp("llamacpp") / "model.gguf"
    llamacpp_support.write_gguf(path)
    return path


@contextmanager
def llamacpp_server(model: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run llama.cpp's server; give its address and its process, which is ended as Docker ends it."""
    port = free_port()
    settings = {"model": str(model), "name": "medical-ie", "port": port, "threads": 1, "requests": 2}
    configuration = model.with_name("engine.json")
    configuration.write_text(json.dumps(settings))
    with model.with_name("log").open("w") as log:
        program: list[str | Path] = [llamacpp_support.PYTHON, ROOT / "docker/llamacpp/serve.py"]
        command = [*program, "--config", configuration]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process, model.with_name("log"))
        yield url, process
    finally:
        process.terminate()
        assert process.wait(60) == 0, "SIGTERM ends it as it should"


@pytest.fixture(scope="module")
def llamacpp(gguf: Path) -> Iterator[Served]:
    """llama.cpp's server with the small model."""
    with llamacpp_server(gguf) as (url, _):
        yield Served("llamacpp", url, lambda: _metric(url, "llamacpp:requests_processing"))


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"llama.cpp did not start:\n{log.read_text()}")


def _metric(url: str, name: str) -> int:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


@pytest.fixture(params=["fake vllm", "fake llamacpp", pytest.param("llamacpp", marks=pytest.mark.slow)])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """Return each engine in turn."""
    if request.param == "llamacpp":
        yield request.getfixturevalue("llamacpp")
        return
    kind: type[FakeEngine] = FakeLlamaCpp if "llamacpp" in request.param else FakeEngine
    async with fake_engine(kind) as fake:
        yield Served(request.param.split()[1], fake.url, lambda: fake.running, fake)


@pytest.fixture
async def gateway(served: Served, start_gateway: StartGateway) -> Gateway:
    """Return a gateway before it."""
    return await start_gateway(engine_url=served.url, engine_kind=served.kind, request_timeout=300.0)


async def test_an_answer_has_all_fields_and_probabilities(gateway: Gateway) -> None:
    reply = await gateway.extract()
    assert reply.status == 200, reply.json
    assert list(json.loads(reply.json["raw_output"])) == FIELDS
    assert reply.json["cancer_type"] == "lung adenocarcinoma"
    assert reply.json["warnings"] == []
    assert reply.json["tokens_used"] > 0
    for name in FIELDS:
        assert 0 < reply.json["confidence"][name] <= 1


async def test_a_streams_result_equals_the_plain_endpoints_answer(gateway: Gateway) -> None:
    plain = (await gateway.extract()).json
    seen = events(await gateway.call("POST", "/api/v1/extract/stream", json={"text": NOTE}))
    assert [name for name, _ in seen] == ["field"] * len(FIELDS) + ["result"]
    assert {name: seen[-1][1][name] for name in FIELDS} == {name: plain[name] for name in FIELDS}


async def test_the_gateway_is_ready_when_tokens_are_made(gateway: Gateway) -> None:
    assert (await gateway.call("GET", "/health")).status == 200


async def test_a_model_that_is_not_served_is_not_found(gateway: Gateway) -> None:
    """llama.cpp would answer with the model that it has."""
    assert (await gateway.extract(model="nobody")).status == 404
    body = {"model": "nobody", "messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
    for stream in (False, True):
        assert (await gateway.call("POST", "/v1/chat/completions", json=body | {"stream": stream})).status == 404


async def test_an_answer_that_was_cut_is_an_error(gateway: Gateway, served: Served) -> None:
    if served.fake is not None:
        served.fake.finish_reason = "length"
    reply = await gateway.extract(max_tokens=5)
    assert (reply.status, reply.json["detail"][:10]) == (502, "the engine")


async def test_the_tokens_of_a_text_add_up_to_its_bytes(gateway: Gateway) -> None:
    """So that a long text can be cut by them; a character of several bytes may be several tokens."""
    text = "Köln, 👩‍⚕️ stage IV lung adenocarcinoma"
    deadline = asyncio.get_running_loop().time() + 60
    sizes = await gateway.services.engine.token_sizes("medical-ie", text, deadline=deadline)
    assert sizes is not None
    assert (sum(sizes), len(sizes) > 5) == (len(text.encode()), True)


async def test_the_length_of_a_model_is_known(gateway: Gateway) -> None:
    lengths = await gateway.services.engine.model_lengths(deadline=asyncio.get_running_loop().time() + 60)
    assert lengths["medical-ie"] in (2048, 4096)


async def test_a_client_that_goes_away_ends_the_engines_work(gateway: Gateway, served: Served) -> None:
    if served.fake is not None:
        served.fake.delay = 60
    body = {"model": "medical-ie", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1900, "stop": None}
    body |= {"temperature": 2.0} if served.fake is None else {}
    waiting = asyncio.create_task(gateway.call("POST", "/v1/chat/completions", json=body | {"logit_bias": {"4": -100}}))
    async with asyncio.timeout(120):
        while await asyncio.to_thread(served.running) == 0:  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(0.02)
        waiting.cancel()
        while await asyncio.to_thread(served.running) > 0:  # noqa: ASYNC110 - it is elsewhere
            await asyncio.sleep(0.02)
    assert waiting.cancelled() or waiting.cancelling()


async def test_openais_client_talks_through_the_gateway(gateway: Gateway) -> None:
    messages: Any = [{"role": "user", "content": "Stage IV lung cancer."}]
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        assert "medical-ie" in {model.id async for model in client.models.list()}
        reply = await client.chat.completions.create(model="medical-ie", messages=messages, max_tokens=8, temperature=0)
        assert reply.choices[0].message.content
        assert reply.usage is not None
        stream = await client.chat.completions.create(model="medical-ie", messages=messages, max_tokens=8, stream=True)
        assert "".join([event.choices[0].delta.content or "" async for event in stream if event.choices])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("vllm", {"top_logprobs": 0, "logprobs": True, "structured_outputs": {}, "cache_salt": ""}),
        ("llamacpp", {"top_logprobs": 1, "logprobs": True, "grammar": "", "cache_prompt": False}),
    ],
)
async def test_each_engine_is_asked_in_its_own_dialect(
    kind: str, expected: dict[str, Any], start_gateway: StartGateway
) -> None:
    """No member of the one is sent to the other, which would ignore it without a word."""
    ours = {"model", "messages", "temperature", "max_tokens"}
    async with fake_engine(FakeLlamaCpp if kind == "llamacpp" else FakeEngine) as fake:
        gateway = await start_gateway(engine_url=fake.url, engine_kind=kind)
        assert (await gateway.extract()).status == 200
        (body,) = fake.bodies
    assert body.keys() - ours == expected.keys()
    for name, value in expected.items():
        assert isinstance(body[name], type(value)) if not value else body[name] == value


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("[]", "holds no JSON object"),
        ('{"model": "m"', "cannot read"),
        ('{"model": "m"}', "name must be a text"),
        ('{"model": "nowhere.gguf", "name": "n"}', "there is no model at nowhere.gguf"),
        ('{"model": "m", "name": "n", "threads": 0}', "threads must be a whole number from 1 on"),
        ('{"model": "m", "name": "n", "slots": 1}', "there is no setting slots"),
    ],
)
def test_llamacpps_settings_are_checked_before_it_starts(tmp_path: Path, settings: str, message: str) -> None:
    (tmp_path / "engine.json").write_text(settings)
    result = subprocess.run(
        [sys.executable, ROOT / "docker/llamacpp/serve.py", "--config", tmp_path / "engine.json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (result.returncode, message in result.stderr) == (2, True), result.stderr


@pytest.mark.slow
async def test_llamacpp_ends_the_answers_that_it_has_begun_before_itself(gguf: Path) -> None:
    """Its own end would wait for them for ever, and Docker would kill it."""
    with llamacpp_server(gguf) as (url, process):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            answer = await client.completions.create(
                model="medical-ie", prompt="A", max_tokens=300, stream=True, extra_body={"ignore_eos": True}
            )
            reasons: list[str | None] = []
            async for chunk in answer:
                if not reasons:
                    process.terminate()
                reasons.append(chunk.choices[0].finish_reason)
    assert reasons[-1] == "length"
