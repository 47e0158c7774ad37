"""Which Chromium the tests of the page take, and what they say where there is none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.local_region import names
from tests.local_region.errors import RegionError
from tests.support import browser
from tests.support.browser import BrowserUnavailableError, ensure_program, evidence


def playwright(executable: Path) -> Any:
    return SimpleNamespace(chromium=SimpleNamespace(executable_path=str(executable)))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Return a machine without a browser: a Debian, where root may install one."""
    state: dict[str, Any] = {"debian": True, "uid": 0, "programs": {}, "installed": []}

    def install(packages: list[str], _: object) -> None:
        state["installed"] += packages
        if state.get("apt_fails"):
            raise RegionError("apt-get install chromium failed")
        state["programs"]["chromium"] = "/usr/bin/chromium"

    monkeypatch.setattr("shutil.which", lambda name: state["programs"].get(name))
    monkeypatch.setattr(browser, "is_debian_like", lambda: state["debian"])
    monkeypatch.setattr("os.geteuid", lambda: state["uid"])
    monkeypatch.setattr(browser, "apt_install", install)
    monkeypatch.setattr(names, "STATE_ROOT", tmp_path)
    return state


def test_an_installed_one_is_taken(machine: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "chrome").touch()
    assert ensure_program(playwright(tmp_path / "chrome")) == str(tmp_path / "chrome")
    machine["programs"]["google-chrome"] = "/opt/chrome"
    assert ensure_program(playwright(tmp_path / "chrome")) == "/opt/chrome"
    assert machine["installed"] == []


def test_root_on_debian_gets_debians_package(machine: dict[str, Any], tmp_path: Path) -> None:
    assert ensure_program(playwright(tmp_path / "none")) == "/usr/bin/chromium"
    assert machine["installed"] == ["chromium"]


@pytest.mark.parametrize("change", [{"debian": False}, {"uid": 1000}, {"apt_fails": True}])
def test_elsewhere_it_is_said_what_to_install(machine: dict[str, Any], tmp_path: Path, change: dict[str, Any]) -> None:
    machine.update(change)
    with pytest.raises(BrowserUnavailableError, match="playwright install chromium"):
        ensure_program(playwright(tmp_path / "none"))


def test_evidence_is_counted_in_code_points() -> None:
    answer = {"evidence": {"stage": [{"start": 1, "end": 3}, {"start": 5, "end": 6}], "site": []}}
    assert evidence(answer) == {"stage": {1, 2, 5}}
