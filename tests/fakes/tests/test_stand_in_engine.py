"""The fake of the engine: right where a deployment looks, and wrong in the way that was asked for."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.engine.completion import GrowingCompletion, read_completion
from tests.local_region import names
from tests.support.release_files import BASE, file

ENGINE = (sys.executable, "-m", "tests.fakes.engine.stand_in")
TASK = yaml.safe_load((names.REPOSITORY_ROOT / "gateway/tasks/medical_ie.yaml").read_text(encoding="utf-8"))

Start = Callable[[str], str]


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a stand-in with a configuration and returns its URL."""
    running = []

    def started(configuration: str) -> str:
        (tmp_path / "engine.yaml").write_text(configuration, encoding="utf-8")
        port = free_port()
        arguments = ["--config", str(tmp_path / "engine.yaml"), "--port", str(port)]
        running.append(subprocess.Popen([*ENGINE, *arguments], cwd=names.REPOSITORY_ROOT))
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10).close()
                break
            except OSError:
                time.sleep(0.05)
        return f"http://127.0.0.1:{port}"

    yield started
    for process in running:
        process.kill()
        process.wait()


def post(url: str, **body: Any) -> bytes:
    """Return the body of the answer to a POST."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def complete(url: str, text: str, **more: Any) -> bytes:
    """Return the answer to a note."""
    messages = [{"role": "user", "content": text}]
    return post(f"{url}/v1/chat/completions", model="medical-ie", messages=messages, max_tokens=384, **more)


def test_golden_notes_are_answered_right(start: Start) -> None:
    url = start("model: /models/base\n")
    for note in TASK["golden"]:
        completion = read_completion(json.loads(complete(url, note["text"], logprobs=True)))
        assert json.loads(completion.text) == note["expected"]
        assert completion.tokens
        assert b"".join(token for token, _ in completion.tokens).decode() == completion.text


def test_stream_and_whole_answer_are_the_same(start: Start) -> None:
    url = start("")
    text = TASK["golden"][0]["text"]
    growing = GrowingCompletion()
    stream = complete(url, text, stream=True, logprobs=True, stream_options={"include_usage": True}).decode()
    *events, done, end = stream.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    for event in events:
        growing.add(json.loads(event.removeprefix("data: ")))
    assert growing.whole() == read_completion(json.loads(complete(url, text, logprobs=True)))


def test_wrong_is_wrong_in_the_stage(start: Start) -> None:
    url = start("stand-in: wrong\n")
    note = TASK["golden"][0]
    answer = json.loads(read_completion(json.loads(complete(url, note["text"]))).text)
    assert {field for field, value in note["expected"].items() if answer[field] != value} == {"stage"}


def test_without_the_adapter_only_the_base_is_served(start: Start) -> None:
    url = start("stand-in: no-adapter\n")
    with urllib.request.urlopen(f"{url}/v1/models", timeout=10) as answer:
        assert [card["id"] for card in json.load(answer)["data"]] == ["base"]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        complete(url, "A note.")


@pytest.mark.parametrize(("behaviour", "code"), [("crash", 3), ("no-such-thing", 1)])
def test_crash_ends_it_with_an_error(tmp_path: Path, behaviour: str, code: int) -> None:
    (tmp_path / "engine.yaml").write_text(f"stand-in: {behaviour}\n", encoding="utf-8")
    arguments = ["--config", str(tmp_path / "engine.yaml"), "--port", "1"]
    result = subprocess.run(
        [*ENGINE, *arguments], cwd=names.REPOSITORY_ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == code
    assert result.stderr


def test_it_serves_the_adapters_of_its_configuration(start: Start) -> None:
    models = {**BASE["inference_stack_models"], "adapter-assistant-intent": {"path": "/models/a"}}
    url = start(file("engine.yaml", inference_stack_models=models))
    with urllib.request.urlopen(f"{url}/v1/models", timeout=10) as answer:
        listed = [card["id"] for card in json.load(answer)["data"]]
    assert listed == ["base", "medical-ie", "assistant-intent"]
    body = {"model": "assistant-intent", "messages": [{"role": "user", "content": TASK["golden"][0]["text"]}]}
    document = json.loads(post(f"{url}/v1/chat/completions", **body))
    assert json.loads(document["choices"][0]["message"]["content"]) == {"intent": "other"}
