"""Containers that another copy of the repository made: never taken over, and removed once that copy is gone."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.local_region.docker.ownership import remove_abandoned, remove_own, require_own
from tests.local_region.errors import RegionError
from tests.local_region.names import REGION_LABEL, REPOSITORY_ROOT, of_this_copy
from tests.local_region.state import Ports, RegionState


class FakeEngine:
    """A Docker Engine with one container of the region `unit`, made for a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.removed: list[str] = []

    def run(self, *arguments: str, **_options: Any) -> subprocess.CompletedProcess[str]:
        """Answer what `containers` asks."""
        if arguments[0] == "rm":
            self.removed.extend(arguments[3:])
        listed = ""
        if arguments[0] == "ps":
            of_all = f"label={REGION_LABEL}" in arguments
            listed = "registry-id\n" if "--quiet" in arguments else f"{'unit ' if of_all else ''}{self._folder}\n"
        return subprocess.CompletedProcess(arguments, 0, listed, "")


@pytest.fixture
def state(tmp_path: Path) -> RegionState:
    return RegionState("unit", tmp_path / "here/.local-region")


@pytest.fixture
def anothers(tmp_path: Path) -> FakeEngine:
    """Return an engine with the container of another copy, which is there."""
    other = RegionState("unit", tmp_path / "other/.local-region")
    other.prepare()
    other.save_ports(Ports(1, 2, 3))
    return FakeEngine(other.folder)


def test_a_region_of_another_copy_is_refused_by_name(state: RegionState, anothers: FakeEngine) -> None:
    engine: Any = anothers
    with pytest.raises(RegionError, match=r"another copy of this repository, \S+/other\. Run `make down` there"):
        require_own(engine, state, lambda _line: None)
    assert engine.removed == []


def test_what_a_deleted_copy_left_is_removed(state: RegionState, tmp_path: Path) -> None:
    engine: Any = FakeEngine(tmp_path / "gone/.local-region/unit")
    require_own(engine, state, lambda _line: None)
    assert engine.removed == ["registry-id"]


def test_up_keeps_its_own_region(state: RegionState) -> None:
    engine: Any = FakeEngine(state.folder)
    require_own(engine, state, lambda _line: None)
    assert engine.removed == []


def test_down_leaves_the_region_of_another_copy_alone(state: RegionState, anothers: FakeEngine) -> None:
    engine: Any = anothers
    assert "left alone: they belong to another copy" in remove_own(engine, state)
    assert anothers.removed == []


def test_down_removes_its_own_region(state: RegionState) -> None:
    engine: Any = FakeEngine(state.folder)
    assert remove_own(engine, state) == "1 removed"
    assert engine.removed == ["registry-id"]


def test_regions_of_deleted_copies_are_removed_whatever_their_name(tmp_path: Path) -> None:
    engine: Any = FakeEngine(tmp_path / "gone/.local-region/unit")
    lines: list[str] = []
    remove_abandoned(engine, tmp_path / "here/.local-region", lines.append)
    assert engine.removed == ["registry-id"]
    assert lines == ["Removing region unit, which a copy that is gone left behind"]


def test_regions_of_copies_that_are_there_are_left_alone(anothers: FakeEngine, tmp_path: Path) -> None:
    engine: Any = anothers
    remove_abandoned(engine, tmp_path / "here/.local-region", lambda _line: None)
    assert anothers.removed == []


def test_the_tests_of_two_copies_name_their_regions_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    here = of_this_copy("test")
    assert of_this_copy("test") == here != of_this_copy("bare")
    monkeypatch.setattr("tests.local_region.names.REPOSITORY_ROOT", REPOSITORY_ROOT / "copy")
    assert of_this_copy("test") != here
    assert RegionState(of_this_copy("molecule-verification")).name.startswith("molecule-verification-")
