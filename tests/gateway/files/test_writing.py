"""A result is written whole, where the user means it, and readable by whom it was."""

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from gateway.files.writing import same_as_any, write_whole


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_private_or_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "private", "é", private=True)
        write_whole(tmp_path / "plain", b"\xff")
    finally:
        os.umask(before)
    assert (mode(tmp_path / "private"), mode(tmp_path / "plain")) == (0o600, 0o640)
    assert (tmp_path / "private").read_bytes() == "é".encode()
    assert (tmp_path / "plain").read_bytes() == b"\xff"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "private"]


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("kept", [0o600, 0o640, 0o664])
def test_an_earlier_file_keeps_its_mode(kept: int, private: bool, tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_text("old")
    path.chmod(kept)
    write_whole(path, "new", private=private)
    assert (path.read_text(), mode(path)) == ("new", kept)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_an_earlier_file_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_text("old")
    os.chown(path, 12345, 23456)
    write_whole(path, "new")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_a_file_that_would_change_its_owner_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    path = tmp_path / "result"
    path.write_text("old")
    status = path.stat()
    monkeypatch.setattr("os.fchown", refuse)
    other = os.stat_result((*status[:4], status.st_uid + 1, *status[5:]))
    monkeypatch.setattr("gateway.files.writing.status_of", lambda _: other)
    with pytest.raises(PermissionError):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_stays_and_its_target_is_written(exists: bool, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "target", tmp_path / "link"
    if exists:
        target.write_text("old")
    link.symlink_to("far/target")
    write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert list((tmp_path / "far").iterdir()) == [target]


def test_a_pipe_and_a_device_are_written_to_as_they_are(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, "new")
    reader.join(10)
    assert read == [b"new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    write_whole(Path("/dev/null"), "new")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.parametrize("failing", ["os.fsync", "pathlib.Path.replace"])
def test_a_full_disk_leaves_the_earlier_file(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "result"
    path.write_text("old")
    monkeypatch.setattr(failing, full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_one_file_is_known_under_every_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes, other = tmp_path / "notes", tmp_path / "other"
    notes.write_text("x")
    other.write_text("x")
    (tmp_path / "soft").symlink_to(notes)
    os.link(notes, tmp_path / "hard")
    monkeypatch.chdir(tmp_path)
    for name in ("notes", "./notes", "soft", "hard", f"../{tmp_path.name}/notes"):
        assert same_as_any(Path(name).stat(), [Path("gone"), notes]) == notes
    assert same_as_any(other.stat(), [Path("gone"), notes]) is None
