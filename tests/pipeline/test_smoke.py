"""What is found wrong with an image before it is pushed; tests/pipeline/test_pipeline.py tries a real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import __main__ as command
from tests.pipeline.conftest import FakeDocker

LABELS = {f"org.opencontainers.image.{key}": "x" for key in ("revision", "version", "licenses")}


@pytest.fixture
def built(client: FakeDocker, repository: Path) -> FakeDocker:
    """Return a client whose daemon has an image with nothing wrong about it."""
    client.answer("image inspect --format {{.Size}}", "150000000")
    client.answer("image inspect --format {{json .Config.Labels}}", json.dumps(LABELS))
    client.answer("run --rm", json.dumps({"found": [], "user": 10001}))
    return client


def problem(capsys: pytest.CaptureFixture[str], name: str = "gateway") -> str:
    """Return what a failed run of the command says."""
    assert command.main(["smoke", name]) == 1
    return capsys.readouterr().err


def test_an_image_that_is_not_there_is_to_be_built(
    client: FakeDocker, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client.answer("image inspect", code=1, error="Error: No such image: example")
    assert "build it first, with `make images`" in problem(capsys)


def test_a_daemon_that_does_not_answer_is_another_problem(
    client: FakeDocker, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client.answer("image inspect", code=1, error="Cannot connect to the Docker daemon")
    assert "Cannot connect to the Docker daemon" in problem(capsys)


def test_labels_and_size_are_reported_together(built: FakeDocker, capsys: pytest.CaptureFixture[str]) -> None:
    built.answer("image inspect --format {{json .Config.Labels}}", "null")
    built.answer("image inspect --format {{.Size}}", "200000001")
    said = problem(capsys)
    assert "has no label org.opencontainers.image.revision" in said
    assert "200 MB, and max_megabytes in docker/images.toml is 200" in said


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"found": ["gcc", "/usr/lib/python3/dist-packages/pip"], "user": 10001}, "only a build needs: gcc, /usr/lib"),
        ({"found": [], "user": 0}, "runs as root"),
    ],
)
def test_what_a_build_needs_and_root_are_refused(
    built: FakeDocker, capsys: pytest.CaptureFixture[str], seen: dict[str, object], words: str
) -> None:
    built.answer("run --rm", json.dumps(seen))
    assert words in problem(capsys)


@pytest.mark.parametrize(("version", "code"), [("1.2.3", 0), ("1.2.3+cpu", 0), ("1.2.4", 1), ("", 1)])
def test_an_engine_of_another_version_is_refused(built: FakeDocker, version: str, code: int) -> None:
    built.answer("run --rm", f"{version}\n")
    assert command.main(["smoke", "engine"]) == code


@pytest.mark.parametrize(
    ("seen", "code", "words"),
    [({"found": [], "user": 10004}, 0, ""), ({"found": ["gcc"], "user": 10004}, 1, "only a build needs: gcc")],
)
def test_llamacpp_has_to_load_as_production_runs_it(
    built: FakeDocker, capsys: pytest.CaptureFixture[str], seen: dict[str, object], code: int, words: str
) -> None:
    built.answer("run --rm", json.dumps(seen))
    assert command.main(["smoke", "llamacpp"]) == code
    assert words in capsys.readouterr().err
