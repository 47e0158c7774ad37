"""The command line of the local region, where no Docker is needed."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from tests.local_region import __main__ as command_line
from tests.local_region import names
from tests.local_region.docker.engine import DockerUnavailable


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "STATE_ROOT", tmp_path)


def _parsers() -> list[argparse.ArgumentParser]:
    parser = command_line.build_parser()
    choices = next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return [parser, *choices.values()]


def test_every_option_is_explained() -> None:
    for parser in _parsers():
        assert parser.description
        for action in parser._actions:
            assert action.help or isinstance(action, argparse._SubParsersAction), f"{parser.prog} {action.dest}"


def test_status_of_a_region_that_is_not_there_is_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["status", "--name", "nowhere"]) == 1
    assert capsys.readouterr().out.split() == ["region", "absent"]


def test_env_of_a_region_that_is_not_there_explains_how_to_make_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["env", "--name", "nowhere"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "python -m tests.local_region up --name nowhere" in captured.err


def test_missing_docker_engine_is_reported_in_its_own_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise DockerUnavailable("this user may not use it; add the user to the docker group")

    monkeypatch.setattr("tests.local_region.docker.engine.ensure", refuse)
    assert command_line.main(["up", "--name", "nowhere"]) == 1
    assert "error: this user may not use it; add the user to the docker group" in capsys.readouterr().err


def test_notes_that_are_missing_are_named_before_anything_is_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = tmp_path / "notes"
    data.mkdir()
    (data / "train.jsonl").touch()
    assert command_line.main(["up", "--name", "nowhere", "--training-data", str(data)]) == 1
    assert f"{data} lacks validation.jsonl" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()


def test_an_empty_account_takes_no_notes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        command_line.main(["up", "--empty-account", "--training-data", str(tmp_path)])
    assert "leave --empty-account out" in capsys.readouterr().err


def test_a_bad_name_is_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["status", "--name", "../x"]) == 1
    assert "lower-case" in capsys.readouterr().err


def test_an_unknown_command_is_exit_2() -> None:
    with pytest.raises(SystemExit, match="2"):
        command_line.main(["restart"])
