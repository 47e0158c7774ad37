"""The commit that images are made from."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from pipeline import revision
from pipeline.errors import PipelineError


def test_a_clean_commit_is_read(repository: Path) -> None:
    found = revision.read(repository)
    assert len(found.commit) == 40
    assert found.seconds == 1767323045
    assert found.source == ""


@pytest.mark.parametrize("change", ["changed", "new", "removed", "staged"])
def test_changes_that_are_in_no_commit_are_refused(repository: Path, change: str) -> None:
    if change == "removed":
        (repository / "script").unlink()
    else:
        (repository / ("new" if change == "new" else "script")).write_text("other", encoding="utf-8")
    if change == "staged":
        subprocess.run(["git", "add", "--all"], cwd=repository, check=True)
    with pytest.raises(PipelineError, match=r"(?s)these changes are in none:\n.*(script|new)\nCommit them, or"):
        revision.read(repository)


def test_what_git_ignores_is_no_change(repository: Path) -> None:
    (repository / "ignored").write_text("x", encoding="utf-8")
    assert revision.read(repository).commit


def test_a_folder_without_a_commit_is_reported(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="git rev-parse"):
        revision.read(tmp_path)


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://github.com/owner/name.git", "https://github.com/owner/name"),
        ("https://user:token@github.com/owner/name", "https://github.com/owner/name"),
        ("git@github.com:owner/name.git", "https://github.com/owner/name"),
        ("ssh://git@example.org:2222/owner/name.git", "https://example.org/owner/name"),
        ("/somewhere/on/a/disk", ""),
        ("file:///somewhere", ""),
        ("../elsewhere", ""),
    ],
)
def test_source_is_an_address_without_user_and_password(remote: str, address: str) -> None:
    assert revision.public_address(remote) == address


def test_in_a_workflow_the_source_is_githubs(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/name")
    assert revision.read(repository).source == "https://github.com/owner/name"


def test_exported_files_are_the_commits_with_its_times_and_plain_modes(repository: Path, tmp_path: Path) -> None:
    found = revision.read(repository)
    (repository / "ignored").write_text("x", encoding="utf-8")
    folder = tmp_path / "context"
    folder.mkdir()
    revision.export(repository, found, folder)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert set(files) == {
        *("docker/images.toml", "docker/gateway/Dockerfile", "pyproject.toml", "script", ".gitignore"),
    }
    assert {path.stat().st_mtime for path in files.values()} == {found.seconds}
    assert stat.S_IMODE(files["script"].stat().st_mode) == 0o755
    assert stat.S_IMODE(files["pyproject.toml"].stat().st_mode) == 0o644
