"""What a region remembers."""

import threading
from pathlib import Path

import pytest

from tests.local_region import names
from tests.local_region.errors import RegionError
from tests.local_region.state import Ports, RegionState


@pytest.mark.parametrize("name", ["", "Test", "a/b", "..", "-x", "x" * 32])
def test_names_that_could_leave_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="lower-case letters"):
        RegionState(name, root=tmp_path)


def test_the_default_region_has_the_well_known_ports(tmp_path: Path) -> None:
    assert RegionState(names.DEFAULT_REGION_NAME, root=tmp_path).choose_ports() == Ports(4566, 5443, 8080)


def test_another_region_gets_free_ports_and_keeps_them(tmp_path: Path) -> None:
    state = RegionState("other", root=tmp_path)
    state.prepare()
    ports = state.choose_ports()
    assert len({ports.api, ports.registry, ports.gateway} | {4566, 5443, 8080}) == 6
    state.save_ports(ports)
    assert RegionState("other", root=tmp_path).choose_ports() == ports


def test_a_state_file_cut_short_counts_as_none(tmp_path: Path) -> None:
    state = RegionState("other", root=tmp_path)
    state.prepare()
    (state.folder / "state.json").write_text('{"ports": {"api"', encoding="ascii")
    assert state.load_ports() is None


def test_two_commands_for_one_region_take_turns(state: RegionState) -> None:
    order: list[str] = []
    reported = threading.Event()

    def second() -> None:
        with state.locked(reported.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with state.locked(lambda: order.append("must not wait")):
        thread.start()
        assert reported.wait(timeout=10)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_state_folder_is_private(state: RegionState) -> None:
    assert state.folder.stat().st_mode & 0o777 == 0o700
