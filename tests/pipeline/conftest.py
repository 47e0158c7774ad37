"""A repository of a few files, and a docker client that answers what a test says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import docker

COMMITTED = "2026-01-02T03:04:05+00:00"
DEFINITIONS = """\
[gateway]
repository = "example-gateway"
dockerfile = "docker/gateway/Dockerfile"
base = "python:3.13-slim"
max_megabytes = 200

[engine]
repository = "example-vllm"
dockerfile = "docker/vllm/Dockerfile"
base = "vllm/vllm-openai:v1.2.3"
is_versioned_by_base = true

[llamacpp]
repository = "example-llamacpp"
dockerfile = "docker/llamacpp/Dockerfile"
base = "python:3.13-slim"
"""
CLIENT = """\
#!{python} -IS
import json, pathlib, sys
folder = pathlib.Path({folder!r})
arguments = sys.argv[1:]
given = "" if sys.stdin is None or "--password-stdin" not in arguments else sys.stdin.read()
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps([arguments, given]) + "\\n")
answers = json.loads((folder / "answers").read_text())
found = [words for words in answers if " ".join(arguments).startswith(words)]
code, out, error = answers[max(found, key=len)] if found else (0, "", "")
sys.stdout.write(out)
sys.stderr.write(error)
sys.exit(code)
"""


class FakeDocker:
    """A docker client that notes its calls and answers by the beginning of its arguments."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "docker"
        self._folder = folder
        self._answers: dict[str, tuple[int, str, str]] = {}
        self.path.write_text(CLIENT.format(python=sys.executable, folder=str(folder)), encoding="utf-8")
        self.path.chmod(0o755)
        self.answer("", "")

    def answer(self, beginning: str, out: str = "", *, code: int = 0, error: str = "") -> None:
        """Set what a command that begins so answers; the longest beginning wins."""
        self._answers[beginning] = (code, out, error)
        (self._folder / "answers").write_text(json.dumps(self._answers), encoding="utf-8")

    def calls(self) -> list[tuple[list[str], str]]:
        """Return the arguments and the input of every call."""
        file = self._folder / "calls"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [(arguments, given) for arguments, given in map(json.loads, lines)]

    def commands(self) -> list[str]:
        """Return the calls' arguments, each as a line."""
        return [" ".join(arguments) for arguments, _ in self.calls()]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDocker]:
    """Return the client that the pipeline finds."""
    folder = tmp_path / "client"
    folder.mkdir()
    fake = FakeDocker(folder)
    monkeypatch.setenv("DOCKER", str(fake.path))
    docker.has_buildx.cache_clear()
    yield fake
    docker.has_buildx.cache_clear()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of a repository with one commit, the folder that commands run in."""
    root = tmp_path / "repository"
    files = {
        "docker/images.toml": DEFINITIONS,
        "docker/gateway/Dockerfile": "FROM scratch\n",
        "pyproject.toml": '[project]\nversion = "4.5.6"\n',
        "script": "#!/bin/sh\n",
        ".gitignore": "ignored\n",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    (root / "script").chmod(0o755)
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
        monkeypatch.setenv(name, COMMITTED)
    commit_all(root)
    monkeypatch.chdir(root)
    return root


def commit_all(root: Path) -> None:
    """Commit all files of a folder, as somebody of no machine."""
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false")
    for command in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "--message", "Begin"]):
        subprocess.run(["git", *command], cwd=root, check=True, capture_output=True)
