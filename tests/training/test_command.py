"""The command line reports an error in one sentence, with an exit status that tells what to do."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training import tiny
from training import __main__ as command
from training import stages
from training.data.dataset import DatasetError


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["training", *map(str, arguments)])
    return command.main()


def test_a_missing_library_is_reported_with_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    data = tiny.write_data(tmp_path / "data")
    assert run(monkeypatch, "adapter", "--data", data, "--out", tmp_path / "out") == 1
    assert "package torch is not installed here. `.ci/training-env`" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"),
        caused(RuntimeError("cannot save"), OSError(errno.ENOSPC, "")),
    ],
)
def test_an_error_due_to_a_full_disk_is_reported_as_a_full_disk(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_args: object) -> None:
        raise error

    monkeypatch.setattr(stages, "card", fail)
    assert run(monkeypatch, "card", "--out", "anywhere") == 1
    assert "free some space, and the same command resumes" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_reported_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.write_data(tmp_path)
    (tmp_path / "file").touch()
    assert run(monkeypatch, "check-data", "--data", tmp_path, "--out", tmp_path / "file" / "report.json") == 1
    assert f"{tmp_path / 'file'}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["train.jsonl", "../data/validation.jsonl", "hard"])
@pytest.mark.parametrize("how", [("check-data", "--out"), ("evaluate", "--out", "out", "--answers")])
def test_an_output_that_is_a_file_of_the_data_is_refused(
    how: tuple[str, ...], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = tiny.write_data(tmp_path / "data")
    (data / "hard").hardlink_to(data / "train.jsonl")
    before = (data / name).read_bytes()
    assert run(monkeypatch, *how, data / name, "--data", data) == 1
    assert ".jsonl, which the command reads: give another file" in capsys.readouterr().err
    assert (data / name).read_bytes() == before


def test_an_unexpected_error_is_raised_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_args: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(stages, "card", fail)
    with pytest.raises(RuntimeError, match="a fault"):
        run(monkeypatch, "card", "--out", "anywhere")


def test_a_number_of_threads_below_one_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        run(monkeypatch, "adapter", "--data", "d", "--out", "o", "--threads", "0")
    assert raised.value.code == 2
    assert "0 is not 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["", "run", "pretrain", "adapter", "evaluate", "check-data", "make-data", "generate", "card"]
)
def test_the_help_of_every_command_explains_the_exit_statuses(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        run(monkeypatch, *filter(None, [name]), "--help")
    assert raised.value.code == 0
    assert "75  stopped by SIGTERM, with a checkpoint saved" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--task", "weather"], "there is no task weather: name one of assistant_intent, medical_ie"),
        (["--task", "assistant_intent", "--validation", "900000"], "has fewer than"),
    ],
)
def test_data_that_no_grammar_makes_are_an_error_with_the_reason(
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("training.stages.make_distinct", few)
    assert run(monkeypatch, "make-data", *arguments, "--out", tmp_path) == 1
    assert reason in capsys.readouterr().err


def few(task: str, count: int, *_others: object) -> list[object]:
    """Stand for a grammar of few texts."""
    if count > 1000 and count != 4000:
        raise DatasetError(f"the grammar of {task} has fewer than {count} different texts")
    return []


def test_make_trains_the_task_that_is_named(tmp_path: Path) -> None:
    def shown(*arguments: str) -> str:
        command = ["make", "-n", "model", *arguments]
        return subprocess.run(command, cwd=tiny.ROOT, capture_output=True, text=True, check=True).stdout

    assistant = shown("TASK=assistant_intent")
    assert 'make-data --task "assistant_intent" --out "build/assistant_intent-model/data"' in assistant
    assert '--config "training/assistant_intent.yaml" --data "build/assistant_intent-model/data"' in assistant
    medical = shown("DATA=notes")
    assert "make-data" not in medical
    assert '--config "training/small.yaml" --data "notes" --out "build/small-model"' in medical
