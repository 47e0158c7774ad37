"""A file is due to be read again once it has changed, and as long as it could not be used."""

from pathlib import Path

import pytest

from gateway.files import watching
from gateway.files.watching import WatchedFile


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedFile:
    monkeypatch.setattr(watching, "_CHECK_SECONDS", 0.0)
    (tmp_path / "file").write_text("one")
    return WatchedFile(tmp_path / "file")


def test_it_is_due_once_after_each_change(file: WatchedFile) -> None:
    assert not file.is_due()
    file.path.write_text("another")
    assert file.is_due()
    assert not file.is_due()
    file.path.unlink()
    assert file.is_due()
    assert not file.is_due()


def test_one_that_could_not_be_used_is_due_until_it_can_be(file: WatchedFile) -> None:
    """A file that becomes readable keeps its size and its time."""
    file.is_usable = False
    assert file.is_due()
    assert file.is_due()
    file.is_usable = True
    assert not file.is_due()


def test_it_is_looked_at_once_in_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_CHECK_SECONDS", 3600.0)
    (tmp_path / "file").write_text("one")
    file = WatchedFile(tmp_path / "file")
    file.path.write_text("another")
    assert not file.is_due()
