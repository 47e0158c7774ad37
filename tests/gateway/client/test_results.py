"""The output of a bulk extraction: what it may be, and what of it is kept."""

import fcntl
import hashlib
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.client.items import Item
from gateway.client.results import OutputError, open_results

OPTIONS = {"task": None, "model": None, "grounding": None, "temperature": None, "max_tokens": None}
RESULT = {"site": "liver", "task": "medical_ie", "model": "medical-ie"}


def items(*texts: str) -> list[Item]:
    return [Item(index, index + 1, f"id-{text}", text) for index, text in enumerate(texts)]


def extract(output: Path, *texts: str, failing: str = "", **options: Any) -> tuple[list[str], list[str]]:
    """Write a result for each text that has none; return the texts that were asked, and the notices."""
    given = items(*texts)
    with open_results(output, [], given, OPTIONS | options) as results:
        asked = [item for item in given if item.index not in results.done]
        for item in asked:
            failed = item.text == failing
            results.write(item, {"status": 502, "error": "502: cut"} if failed else {"status": 200, "result": RESULT})
    return [item.text or "" for item in asked], list(results.notices)


def rows(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_text("utf-8").splitlines()]


def places(output: Path) -> list[tuple[int, str]]:
    return sorted((row["index"], row["id"]) for row in rows(output))


def of_version_0(*texts: str, **changes: Any) -> str:
    """Return the lines that version 0.2.0 wrote."""
    return "".join(
        json.dumps(
            {
                "index": index,
                "id": None,
                "input": hashlib.sha256(text.encode()).hexdigest()[:16],
                "status": 200,
                "result": RESULT | changes,
            }
        )
        + "\n"
        for index, text in enumerate(texts)
    )


def test_a_new_output_is_private_and_holds_a_line_for_each_text(tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    assert extract(output, "a", "b", failing="b", grounding="strict") == (["a", "b"], [])
    done, failed = rows(output)
    assert list(done) == ["index", "id", "input", "asked", "status", "result"]
    assert (done["asked"], done["result"]) == ({"grounding": "strict"}, RESULT)
    assert list(failed) == ["index", "id", "input", "asked", "status", "error"]
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


def test_a_digest_differs_between_files_and_is_no_plain_hash(tmp_path: Path) -> None:
    for name in ("one", "two"):
        extract(tmp_path / name, "a", "a")
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert one[0]["input"] == one[1]["input"] != two[0]["input"]
    assert hashlib.sha256(b"a").hexdigest()[:16] not in (tmp_path / "one").read_text()


def test_what_is_done_stays_and_failures_are_asked_again(tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    extract(output, "a", "b", "c", failing="b")
    assert extract(output, "a", "b", "c") == (["b"], [])
    assert extract(output, "a", "b", "c") == ([], [])
    assert places(output) == [(0, "id-a"), (1, "id-b"), (2, "id-c")]


@pytest.mark.parametrize(
    ("before", "after", "asked"),
    [
        ("abc", "xabc", "x"),  # put on top
        ("abc", "axbc", "x"),
        ("abc", "cba", ""),  # another order
        ("abc", "abcabc", "abc"),  # each of two equal texts has its own
        ("aab", "aba", ""),
    ],
)
def test_an_edited_input_keeps_the_results_of_its_texts(before: str, after: str, asked: str, tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    extract(output, *before)
    assert extract(output, *after) == (list(asked), [])
    assert places(output) == [(index, f"id-{text}") for index, text in enumerate(after)]


def test_results_of_texts_that_are_gone_are_dropped_with_a_word(tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    extract(output, "a", "b", "c")
    asked, notices = extract(output, "x", "b")
    assert asked == ["x"]
    assert notices == ["2 earlier result(s) were of texts that the input no longer has, and were dropped"]
    assert places(output) == [(0, "id-x"), (1, "id-b")]


def test_the_results_of_another_input_are_not_dropped(tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    extract(output, "a", "b")
    before = output.read_bytes()
    for texts in (("x", "y"), ()):
        with pytest.raises(OutputError, match=r"holds 2 result\(s\), none of a text of this input; give another"):
            extract(output, *texts)
    assert output.read_bytes() == before


@pytest.mark.parametrize("option", ["task", "model", "grounding", "temperature", "max_tokens"])
@pytest.mark.parametrize(("before", "after"), [(None, 1), (1, None), (1, 2)])
def test_another_option_is_refused_with_both_values(option: str, before: Any, after: Any, tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    extract(output, "a", **{option: before})
    content = output.read_bytes()
    shown = [value or "not given" for value in (before, after)]
    name = option.replace("_", "-")
    with pytest.raises(OutputError, match=f"other options: --{name} was {shown[0]} and is {shown[1]}; give another"):
        extract(output, "a", "b", **{option: after})
    assert output.read_bytes() == content
    assert extract(output, "a", "b", **{option: before}) == (["b"], [])


def test_failures_hold_nobody_to_their_options(tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    extract(output, "a", failing="a", model="wrong")
    assert extract(output, "a", model="right") == (["a"], [])
    assert [row["asked"] for row in rows(output)] == [{"model": "right"}]


def test_a_file_of_an_earlier_version_is_taken_up(tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    output.write_text(of_version_0("a", "b"))
    output.chmod(0o644)
    asked, notices = extract(output, "x", "a", "b", grounding="strict")
    assert asked == ["x"]
    assert "was begun by an earlier version, which did not note its options" in notices[0]
    assert "other users can read" in notices[1]
    assert places(output) == [(0, "id-x"), (1, "id-a"), (2, "id-b")]
    assert stat.S_IMODE(output.stat().st_mode) == 0o644
    output.chmod(0o600)
    assert extract(output, "x", "a", "b", grounding="strict") == ([], [])


@pytest.mark.parametrize(
    ("result", "options", "problem"),
    [
        ({}, {"task": "assistant_intent"}, "--task was not given and is assistant_intent"),
        ({"fields": {}, "task": "assistant_intent"}, {}, "--task was assistant_intent and is not given"),
        ({}, {"model": "base"}, "--model was medical-ie and is base"),
    ],
)
def test_other_options_than_results_of_an_earlier_version_tell_are_refused(
    result: dict[str, Any], options: dict[str, str], problem: str, tmp_path: Path
) -> None:
    output = tmp_path / "results.jsonl"
    output.write_text(of_version_0("a", **result))
    with pytest.raises(OutputError, match=problem):
        extract(output, "a", **options)
    assert output.read_text() == of_version_0("a", **result)


LINE = of_version_0("a").strip()
FOREIGN = {
    "csv": "id,label\n1,yes\n",
    "prose": "Stage IV melanoma.",
    "notes": '{"id": 1, "text": "melanoma"}\n',
    "an object": "{}\n",
    "a list": "[]",
    "an indented object": '{\n  "index": 0\n}\n',
    "other members": LINE.replace('"id"', '"name"') + "\n",
    "one member more": LINE[:-1] + ', "more": 1}\n',
    "both result and error": LINE[:-1] + ', "error": "x"}\n',
    "results, then something else": f"{LINE}\nmy remarks\n",
    "something else, then results": f"my remarks\n{LINE}\n",
    "results, then a text without a line's end": f"{LINE}\nmy remarks",
    "wrong types": LINE.replace('"index": 0', '"index": "0"') + "\n",
    "bytes": "\0\x01",
    "nothing but NULs": "\0" * 10,
    "one brace": "{",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_holds_anything_else_is_refused_and_left_alone(content: str, tmp_path: Path) -> None:
    output = tmp_path / "labels"
    output.write_text(content)
    with pytest.raises(OutputError, match=r"is not a file of results .* give a file that does not exist, is empty or"):
        extract(output, "a")
    assert output.read_text() == content
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("content", ["", "\n", " \r\n"])
def test_an_empty_file_is_taken_and_keeps_its_mode(content: str, tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    output.write_text(content)
    output.chmod(0o640)
    assert extract(output, "a") == (["a"], [])
    assert places(output) == [(0, "id-a")]
    assert stat.S_IMODE(output.stat().st_mode) == 0o640


@pytest.mark.parametrize("length", [0, 1, 5, 40, 150])
@pytest.mark.parametrize("end", [b"", b"\0\0\0"])
def test_a_line_that_was_cut_off_is_asked_again(length: int, end: bytes, tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    extract(output, "a", "b")
    first, second, _ = output.read_bytes().split(b"\n")
    output.write_bytes(first + b"\n" + second[:length] + end)
    assert extract(output, "a", "b") == (["b"], [])
    assert places(output) == [(0, "id-a"), (1, "id-b")]


def test_an_output_that_is_an_input_is_refused_under_every_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "notes.jsonl"
    notes.write_text(of_version_0("a"))  # even where it looks like results
    (tmp_path / "soft").symlink_to(notes)
    os.link(notes, tmp_path / "hard")
    monkeypatch.chdir(tmp_path)
    for name in (notes, Path("notes.jsonl"), Path("./soft"), Path("hard"), tmp_path / ".." / tmp_path.name / "hard"):
        with pytest.raises(OutputError, match=r"notes\.jsonl, which the command reads; give the results another file"):
            open_results(name, [tmp_path / "none", notes], items("a"), OPTIONS)
    assert notes.read_text() == of_version_0("a")


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_a_link_and_its_target_gets_the_results(exists: bool, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "target", tmp_path / "link"
    link.symlink_to(target)
    if exists:
        extract(target, "a", failing="a")  # so that the file is written anew
    assert extract(link, "a") == (["a"], [])
    assert link.is_symlink()
    assert places(target) == [(0, "id-a")]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_folder_or_a_place_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for output, problem in (
        (tmp_path, "is no file"),
        (tmp_path / "none" / "results", "cannot be written: No such file or directory"),
        (Path("/dev/null/results"), "cannot be written: Not a directory"),
    ):
        with pytest.raises(OutputError, match=problem):
            extract(output, "a")


def test_a_pipe_is_written_to_and_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    assert extract(pipe, "a", "b") == (["a", "b"], [])
    reader.join(10)
    assert [json.loads(line)["index"] for line in read[0].splitlines()] == [0, 1]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert extract(Path("/dev/null"), "a") == (["a"], [])


def test_two_runs_do_not_write_to_one_file(tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    extract(output, "a")
    with output.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="another run is writing to it"):
            extract(output, "a", "b")
    with open_results(output, [], items("a", "b"), OPTIONS), pytest.raises(OutputError, match="another run"):
        extract(output, "a", "b")


def test_half_a_character_in_an_id_is_written_as_an_escape(tmp_path: Path) -> None:
    output = tmp_path / "results.jsonl"
    for _ in range(2):
        with open_results(output, [], [Item(0, 1, "x\ud83d", "é")], OPTIONS) as results:
            if not results.done:
                results.write(Item(0, 1, "x\ud83d", "é"), {"status": 200, "result": RESULT})
    assert [row["id"] for row in rows(output)] == ["x\ud83d"]
    assert results.done == {0}
