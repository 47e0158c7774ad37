"""The command line says what is wrong in one sentence, with an exit status that tells what to do."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from tests.training import tiny
from training import __main__ as command
from training import stages


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["training", *map(str, arguments)])
    return command.main()


def test_a_library_that_is_missing_is_named_with_the_way_to_it(
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
def test_a_full_disk_is_said_to_be_one(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_options: object) -> None:
        raise error

    monkeypatch.setattr(stages, "card", fail)
    assert run(monkeypatch, "card", "--out", "anywhere") == 1
    assert "free some space, and the same command goes on" in capsys.readouterr().err


def test_a_folder_that_may_not_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.write_data(tmp_path)
    (tmp_path / "file").touch()
    assert run(monkeypatch, "check-data", "--data", tmp_path, "--out", tmp_path / "file" / "report.json") == 1
    assert f"{tmp_path / 'file'}" in capsys.readouterr().err


def test_an_error_of_our_own_making_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_options: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(stages, "card", fail)
    with pytest.raises(RuntimeError, match="a fault"):
        run(monkeypatch, "card", "--out", "anywhere")


def test_a_number_that_makes_no_sense_is_an_error_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        run(monkeypatch, "adapter", "--data", "d", "--out", "o", "--threads", "0")
    assert raised.value.code == 2
    assert "0 is not 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "run", "pretrain", "adapter", "evaluate", "check-data", "card"])
def test_help_names_every_exit_status(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        run(monkeypatch, *filter(None, [name]), "--help")
    assert raised.value.code == 0
    assert "75  stopped by SIGTERM, with a checkpoint saved" in capsys.readouterr().out
