"""A file that one process at a time adds to, also where it is replaced meanwhile."""

import fcntl
import stat
from pathlib import Path
from typing import Any

import pytest

from gateway.files.locking import LockedError, open_locked


def test_one_at_a_time_adds_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with open_locked(path, 0o600) as file:
        file.write(b"a")
        with pytest.raises(LockedError):
            open_locked(path)
    with open_locked(path) as file:
        assert file.read() == b"a"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("new", [True, False])
def test_a_file_that_is_replaced_before_it_is_locked_is_opened_anew(
    new: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_text("old")
    lock = fcntl.flock

    def late(file: Any, operation: int) -> None:
        if other.exists():
            other.replace(path)
        elif not new:
            path.unlink(missing_ok=True)
            monkeypatch.setattr(fcntl, "flock", lock)
        lock(file, operation)

    if new:
        other.write_text("new")
    monkeypatch.setattr(fcntl, "flock", late)
    with open_locked(path) as file:
        file.write(b"!")
    assert path.read_text() == ("new!" if new else "!")


def test_a_file_system_without_locks_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(fcntl, "flock", without)
    with open_locked(tmp_path / "file") as file:
        file.write(b"a")
    assert (tmp_path / "file").read_text() == "a"
