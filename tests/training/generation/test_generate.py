"""Examples from a service: what is asked, what is kept, how it goes on, and what an error says."""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.files.locking import open_locked
from tests.fakes.engine.raw import RawEngine, completion, raw_engine, resetting, whole
from training.__main__ import main
from training.data.dataset import load_notes
from training.data.prompt import load_prompt
from training.generation.examples import Checker, messages_for, response_format
from training.run import interruption

TASK = load_prompt("assistant_intent").task
INTENTS = TASK.fields[0].choices


@contextmanager
def served() -> Iterator[RawEngine]:
    """Run the fake engine on a loop of its own, as the command is no coroutine."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    running = raw_engine()
    try:
        yield asyncio.run_coroutine_threadsafe(running.__aenter__(), loop).result(30)
    finally:
        asyncio.run_coroutine_threadsafe(running.__aexit__(None, None, None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[RawEngine]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("training.generation.service.sleep", lambda _seconds: None)
    with served() as engine:
        yield engine


def reminder(number: int | str) -> dict[str, Any]:
    text = f"remind me to water plant {number} at noon"
    return {"text": text, "answer": {"intent": "set_reminder", "task": f"water plant {number}", "schedule": "noon"}}


def answer(*examples: Any, text: str | None = None, finish_reason: str = "stop") -> bytes:
    """Return a whole answer with examples, or with any other text."""
    content = json.dumps({"examples": list(examples)}) if text is None else text
    document: dict[str, Any] = completion(content)
    document["choices"][0]["finish_reason"] = finish_reason
    return whole(document)


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    """Write a task with one choice less to think of: all its examples are reminders."""
    path = tmp_path / "reminders.yaml"
    path.write_text(
        "name: reminders\nversion: 1\ntitle: Reminders\nadapter: reminders\nprompt: {system: Read.}\nmax_tokens: 50\n"
        "fields:\n  - {name: intent, choices: [set_reminder], nullable: false}\n  - {name: task, nullable: false}\n"
        "  - {name: schedule}\ngolden:\n  - name: seed\n    text: Remind me to wind the clock.\n"
        "    expected: {intent: set_reminder, task: wind the clock, schedule: null}\n",
        encoding="utf-8",
    )
    return path


class Command:
    """The command with the arguments that every test gives."""

    def __init__(self, engine: RawEngine, task_file: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take them."""
        self.out, self._patch = out, monkeypatch
        self._arguments = ["--task", str(task_file), "--url", f"{engine.url}/v1", "--model", "m", "--out", str(out)]

    def __call__(self, *more: str) -> int:
        """Run it."""
        self._patch.setattr("sys.argv", ["training", "generate", *self._arguments, *more])
        return main()

    def texts(self) -> list[str]:
        """Return the texts of the file."""
        return [json.loads(line)["input"] for line in self.out.read_text(encoding="utf-8").splitlines()]

    def usage(self) -> dict[str, Any]:
        """Return what was spent."""
        content: dict[str, Any] = json.loads(Path(f"{self.out}.usage.json").read_text(encoding="utf-8"))
        return content


@pytest.fixture
def command(engine: RawEngine, task_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(engine, task_file, tmp_path / "data" / "train.jsonl", monkeypatch)


def body(request: bytes) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(request.partition(b"\r\n\r\n")[2])
    return content


def test_valid_examples_are_written_as_a_data_set_and_others_are_counted(
    engine: RawEngine, command: Command, task_file: Path
) -> None:
    wrong = [
        reminder(1),
        {"text": "Remind me to wind the clock!", "answer": reminder(1)["answer"] | {"task": "wind the clock"}},
        {"text": "REMIND me to water plant 1, at noon.", "answer": reminder(1)["answer"]},
        {"text": "hello", "answer": reminder(7)["answer"]},
        {"text": "x", "answer": {"intent": "set_reminder"}},
        {"text": "x", "answer": {"intent": "dance", "task": "x", "schedule": None}},
        {"text": "", "answer": {}},
        "text",
    ]
    engine.answers(answer(*wrong), answer(reminder(2), reminder(3)))
    assert command("--count", "3") == 0
    assert command.texts() == [reminder(number)["text"] for number in (1, 2, 3)]
    assert [note.answer["task"] for note in load_notes(command.out, load_prompt(task_file).task)] == [
        f"water plant {number}" for number in (1, 2, 3)
    ]
    # The second one has no "noon" in its text; the fourth none of its values.
    assert command.usage() == {
        "requests": 2, "tokens": 30, "kept": 3,
        "refused": {
            "no_evidence_for_schedule": 1, "duplicate": 1, "no_evidence_for_task": 1, "missing_key": 1,
            "wrong_choice": 1, "no_text_or_answer": 1, "not_an_object": 1,
        },
    }  # fmt: skip


def test_the_question_has_fields_limits_seeds_and_what_there_is(engine: RawEngine, command: Command) -> None:
    engine.answers(answer(reminder(1)), answer(reminder(2)))
    assert command("--count", "2", "--at-once", "5", "--temperature", "0.7", "--answer-tokens", "900") == 0
    first, second = map(body, engine.requests)
    assert engine.requests[0].startswith(b"POST /v1/chat/completions ")
    assert (first["model"], first["temperature"], first["max_tokens"]) == ("m", 0.7, 900)
    assert first["response_format"] == {"type": "json_object"}
    asked = first["messages"][-1]["content"]
    for words in ("Write 2 examples", "- task:  At most 160 characters, never null.", "or null", "wind the clock"):
        assert words in asked, asked
    assert reminder(1)["text"] not in asked
    assert reminder(1)["text"] in second["messages"][-1]["content"]


def test_the_same_command_goes_on_where_it_ended(engine: RawEngine, command: Command) -> None:
    engine.answers(answer(reminder(1)), answer(text="", finish_reason="length"))
    assert command("--count", "2", "--requests", "2") == 1
    with command.out.open("ab") as file:
        file.write(b'{"instruction": "", "inp')  # as after kill -9
    engine.answers(answer(reminder(1), reminder(2)))
    assert command("--count", "2", "--requests", "3") == 0
    assert command.texts() == [reminder(1)["text"], reminder(2)["text"]]
    assert command.usage()["refused"] == {"cut_off": 1, "duplicate": 1}
    assert (command.usage()["requests"], command("--count", "2"), len(engine.requests)) == (3, 0, 3)


@pytest.mark.parametrize("limit", [("--requests", "2"), ("--tokens", "30")])
def test_a_budget_is_kept_and_says_what_there_is(
    limit: tuple[str, str], engine: RawEngine, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.answers(*(answer(reminder(number)) for number in range(9)))
    assert command("--count", "9", *limit) == 1
    assert len(engine.requests) == 2
    error = capsys.readouterr().err
    assert f"the budget is spent ({limit[1]} {limit[0][2:]}): 2 of 9 examples" in error
    assert "the same command with a larger budget goes on" in error


def test_examples_are_not_among_those_of_another_file(engine: RawEngine, command: Command, tmp_path: Path) -> None:
    engine.answers(answer(reminder(1)))
    assert command("--count", "1") == 0
    engine.answers(answer(reminder(1), reminder(2)))
    second = tmp_path / "data" / "validation.jsonl"
    assert command("--count", "1", "--out", str(second), "--distinct-from", str(command.out)) == 0
    assert json.loads(second.read_text(encoding="utf-8"))["input"] == reminder(2)["text"]


def test_a_rate_limit_is_waited_for_as_long_as_the_service_says(
    engine: RawEngine, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("training.generation.service.sleep", waited.append)
    limited = whole({"error": {"message": "slow down"}}, "429 Too Many Requests", "Retry-After: 7")
    engine.answers(limited, whole({}, "503 Service Unavailable"), resetting, answer(reminder(1)))
    assert command("--count", "1") == 0
    assert sum(waited[:14]) == 7
    assert 1 + 2 <= sum(waited[14:]) <= 2 + 4  # 2 s and 4 s, less up to a half


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (whole({"error": {"message": "bad key"}}, "401 Unauthorized"), "(bad key): it does not accept the key: "),
        (whole({"error": "no such model"}, "404 Not Found"), "it has no model m, or --url lacks its last part"),
        (whole({}, "400 Bad Request"), "needs --response-format text"),
        (whole(b"<html>", "200 OK"), "is no chat completion"),
        (whole({"hello": 1}, "200 OK"), "is no chat completion"),
        (whole({}, "429 Too Many Requests"), "failed 3 times, at last with status 429: the same command goes on later"),
        (answer(text="I cannot do that."), "8 answers in a row had no new example (not_json 1)"),
        (answer(text='{"other": 1}'), "no_list_of_examples 1"),
        (answer(), "8 answers in a row had no new example (none)"),
    ],
)  # fmt: skip
def test_an_error_says_what_to_do(
    reply: bytes, reason: str, engine: RawEngine, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.answers(reply)
    assert command("--count", "1", "--retries", "2") == 1
    assert reason in capsys.readouterr().err


def test_without_a_service_the_error_names_the_address(
    engine: RawEngine, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("--count", "1", "--url", "http://127.0.0.1:1/v1") == 1
    assert "there is no service at http://127.0.0.1:1/v1/chat/completions" in capsys.readouterr().err
    assert command("--count", "1", "--url", "somewhere") == 1
    assert "cannot be used" in capsys.readouterr().err
    assert not command.out.exists()


def test_the_key_is_sent_and_never_shown(
    engine: RawEngine, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    (tmp_path / "key").write_text("from-the-file\n", encoding="utf-8")
    engine.answers(answer(reminder(1)), whole({}, "403 Forbidden"))
    assert command("--count", "1") == 0
    assert command("--count", "2", "--key-file", str(tmp_path / "key")) == 1
    assert [b"Bearer from-the-environment" in request for request in engine.requests] == [True, False]
    assert b"Bearer from-the-file" in engine.requests[1]
    assert "from-the" not in "".join(capfd.readouterr())
    assert command("--count", "2", "--key-file", str(tmp_path / "none")) == 1


@pytest.mark.parametrize(
    "content",
    ['{"a": 1}\n', '{"a": 1}', "my remarks", "a line\nand another", "\0\0", '{"instruct": 1', "{}\n{", "9" * 5000],
)
def test_a_file_of_something_else_is_not_written_to(
    content: str, engine: RawEngine, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    command.out.parent.mkdir()
    command.out.write_text(content, encoding="utf-8")
    assert command("--count", "1") == 1
    assert "holds something else than examples of reminders" in capsys.readouterr().err
    assert (command.out.read_text(encoding="utf-8"), engine.requests) == (content, [])


@pytest.mark.parametrize("content", ["", "x", "[]", "{}", '{"requests": "1", "tokens": 1, "refused": {}}', "9" * 5000])
def test_a_file_of_something_else_beside_it_is_not_replaced(
    content: str, engine: RawEngine, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    command.out.parent.mkdir()
    usage = Path(f"{command.out}.usage.json")
    usage.write_text(content, encoding="utf-8")
    assert command("--count", "1") == 1
    assert "does not say what examples have cost" in capsys.readouterr().err
    assert (usage.read_text(encoding="utf-8"), engine.requests) == (content, [])


def test_a_last_line_that_an_editor_left_without_an_end_is_an_example(engine: RawEngine, command: Command) -> None:
    engine.answers(answer(reminder(1), reminder(2)))
    assert command("--count", "2") == 0
    command.out.write_bytes(command.out.read_bytes().rstrip())
    engine.answers(answer(reminder(3)))
    assert command("--count", "3") == 0
    assert command.texts() == [reminder(number)["text"] for number in (1, 2, 3)]


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_refused(
    kind: str, engine: RawEngine, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    command.out.parent.mkdir()
    os.mkfifo(command.out) if kind == "pipe" else command.out.mkdir()
    assert command("--count", "1") == 1
    assert f"--out {command.out} is no file" in capsys.readouterr().err


@pytest.mark.parametrize("begun", [True, False])
def test_two_processes_do_not_add_to_one_file(
    begun: bool, engine: RawEngine, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    command.out.parent.mkdir()
    if begun:
        engine.answers(answer(reminder(1)))
        assert command("--count", "1") == 0
    before = command.out.read_bytes() if begun else b""

    async def begin(writer: asyncio.StreamWriter) -> None:
        held.append(open_locked(command.out))  # the other process, while this one waits for its answer
        writer.write(answer(reminder(2)))

    held = [open_locked(command.out)] if begun else []
    engine.answers(begin)
    assert command("--count", "2") == 1
    held[0].close()
    assert f"another process adds examples to {command.out}" in capsys.readouterr().err
    assert command.out.read_bytes() == before


def test_a_request_to_stop_ends_it_after_the_answer(
    engine: RawEngine, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.generation.collect.stop_requested", lambda: len(engine.requests) == 1)
    engine.answers(*(answer(reminder(number)) for number in range(3)))
    assert command("--count", "3") == interruption.EXIT_RESUMABLE
    assert command.texts() == [reminder(0)["text"]]


def test_every_choice_that_decides_the_fields_is_asked_for_in_turn(
    engine: RawEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "add_task": {"task": "milk"}, "set_reminder": {"task": "milk"}, "add_event": {"title": "milk"},
        "send_email": {"recipient": "milk"},
    }  # fmt: skip
    replies = []
    for number, intent in enumerate(INTENTS):
        fields = dict.fromkeys(field.name for field in TASK.variant(intent)) | answers.get(intent, {})
        replies.append(answer({"text": f"milk, number {number}", "answer": fields | {"intent": intent}}))
    engine.answers(*replies)
    command = Command(engine, tmp_path, tmp_path / "all.jsonl", monkeypatch)
    assert command("--task", "assistant_intent", "--count", str(len(INTENTS)), "--response-format", "json_schema") == 0
    assert [note.answer["intent"] for note in load_notes(command.out, TASK)] == list(INTENTS)
    for request, intent in zip(engine.requests, INTENTS, strict=True):
        shape = body(request)["response_format"]["json_schema"]["schema"]["properties"]["examples"]["items"]
        assert shape["properties"]["answer"]["properties"]["intent"] == {"const": intent}
        assert f'Always "{intent}".' in body(request)["messages"][-1]["content"]


def test_an_answer_in_a_fence_is_read_and_one_of_another_choice_is_not_kept(
    engine: RawEngine, command: Command
) -> None:
    engine.answers(answer(text=f"```json\n{json.dumps([reminder(1)])}\n```"))
    assert command("--count", "1") == 0
    checker = Checker(TASK, [])
    assert checker.check(reminder(1), "get_weather") == "another_choice"
    assert response_format("text", TASK, "other") == {}


def test_the_seeds_are_golden_notes_of_the_choice() -> None:
    asked = messages_for(TASK, "get_weather", 3, [], random.Random(1))[-1]["content"]
    assert "Bergen" in asked
    assert "oat milk" not in asked
