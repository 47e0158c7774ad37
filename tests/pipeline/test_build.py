"""What docker is asked to build."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline import __main__ as command
from pipeline import revision
from tests.pipeline.conftest import FakeDocker


def options(line: str, name: str) -> list[str]:
    """Return the values of an option in a command line."""
    return re.findall(rf"{name}[ =](\S+)", line)


@pytest.mark.parametrize("buildx", [True, False])
def test_image_is_built_from_the_commit_under_the_commit(
    client: FakeDocker, repository: Path, capsys: pytest.CaptureFixture[str], *, buildx: bool
) -> None:
    client.answer("buildx version", code=0 if buildx else 1)
    assert command.main(["build"]) == 0
    commit = revision.read(repository).commit
    lines = [line for line in client.commands() if "--tag" in line]
    assert [options(line, "--tag") for line in lines] == [[f"example-gateway:{commit}"], [f"example-vllm:{commit}"]]
    assert capsys.readouterr().out.splitlines() == [f"example-gateway:{commit}", f"example-vllm:{commit}"]
    for line, base, version in zip(
        lines, ("python:3.13-slim", "vllm/vllm-openai:v1.2.3"), ("4.5.6", "1.2.3"), strict=True
    ):
        assert line.startswith("buildx build --output type=docker,rewrite-timestamp=true" if buildx else "build ")
        assert options(line, "--platform") == ["linux/amd64"]
        assert set(options(line, "--build-arg")) == {
            *(f"BASE={base}", f"REVISION={commit}", f"VERSION={version}", "SOURCE=", "SOURCE_DATE_EPOCH=1767323045"),
        }
        assert not Path(line.split()[-1]).exists(), "the context is gone"


def test_another_architecture_is_in_the_tag(client: FakeDocker, repository: Path) -> None:
    assert command.main(["build", "gateway", "--platform", "linux/arm64"]) == 0
    (line,) = [line for line in client.commands() if "--tag" in line]
    assert options(line, "--tag") == [f"example-gateway:{revision.read(repository).commit}-arm64"]
    assert options(line, "--platform") == ["linux/arm64"]


def test_more_options_go_to_docker_and_a_cache_to_buildx(client: FakeDocker, repository: Path) -> None:
    assert command.main(["build", "gateway", "--cache", "gha", "--", "--network", "host"]) == 0
    (line,) = [line for line in client.commands() if "--tag" in line]
    assert "--network host" in line
    assert options(line, "--cache-from") == ["type=gha,scope=gateway"]
    assert options(line, "--cache-to") == ["type=gha,scope=gateway,mode=max"]


@pytest.mark.parametrize("name", ["build", "smoke", "push"])
def test_a_dirty_tree_is_refused_before_docker_is_asked(
    client: FakeDocker, repository: Path, capsys: pytest.CaptureFixture[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "script").write_text("changed", encoding="utf-8")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert command.main([name]) == 1
    assert "these changes are in none" in capsys.readouterr().err
    assert client.calls() == []


def test_a_failed_build_is_reported(client: FakeDocker, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client.answer("buildx build", code=1, error="no space left on device")
    assert command.main(["build", "gateway"]) == 1
    assert capsys.readouterr().err.endswith("docker buildx build failed; its output is above.\n")


def test_a_machine_without_docker_is_told(
    repository: Path, capsys: pytest.CaptureFixture[str], client: FakeDocker
) -> None:
    client.path.unlink()
    assert command.main(["build", "gateway"]) == 1
    assert "install Docker, or set DOCKER" in capsys.readouterr().err
