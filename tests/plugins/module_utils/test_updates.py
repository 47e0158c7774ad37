"""Which updates would take the GPU or the session away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import updates

FAKE = Path(__file__).parents[2] / "fakes/ubuntu_updates.py"
IMAGE, HEADERS, BOTH = "linux-image-aws-lts-24.04", "linux-headers-aws-lts-24.04", "linux-aws"
OTHERS = [
    ("linux-image-6.8.0-1066-aws", "install", "installed"),
    ("linux-aws-headers-6.8.0-1066", "install", "installed"),
    ("linux-libc-dev", "install", "installed"),
    ("linux-generic", "deinstall", "config-files"),
]
BUILT = "nvidia/595.91.07, 6.8.0-1066-aws, x86_64: installed"
System = Callable[..., None]


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """Return what puts programs on an otherwise empty PATH, with what they tell."""
    monkeypatch.setenv("FAKE_UPDATES", str(tmp_path / "updates.json"))

    def begin(programs: str, **told: Any) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in programs.split():
            (folder / name).symlink_to(FAKE)
        # The fake's own interpreter.
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin" if programs else str(folder))
        monkeypatch.setattr(shutil, "which", lambda name: name if (folder / name).exists() else None)
        (tmp_path / "updates.json").write_text(json.dumps({"packages": [], "dkms": [], "snaps": {}, **told}))

    return begin


@pytest.mark.parametrize(
    ("packages", "dkms", "held"),
    [
        ([(BOTH, "install", "installed")], [], [BOTH]),
        ([(HEADERS, "install", "installed"), (IMAGE, "install", "installed")], [], [HEADERS, IMAGE]),
        ([(BOTH, "hold", "installed"), (IMAGE, "install", "installed")], [], [IMAGE]),
        ([(BOTH, "hold", "installed")], [], []),
        # DKMS builds it, with the headers that come along; in the words of its version 2 and 3.
        ([(BOTH, "install", "installed")], [BUILT], []),
        ([(HEADERS, "install", "installed"), (IMAGE, "install", "installed")], ["nvidia, 595.91.07: added"], []),
        ([(IMAGE, "install", "installed")], [BUILT], [IMAGE]),
        ([(BOTH, "install", "installed")], ["zfs/2.2.2, 6.8.0-1066-aws, x86_64: installed"], [BOTH]),
        ([], [], []),
    ],
)
def test_kernel_that_would_have_no_module_is_held(
    system: System, packages: list[tuple[str, str, str]], dkms: list[str], held: list[str]
) -> None:
    system("dpkg-query dkms", packages=[*OTHERS, *packages], dkms=dkms)
    assert updates.kernels_without_module() == held


def test_without_dkms_nothing_builds_it(system: System) -> None:
    system("dpkg-query", packages=[(BOTH, "install", "installed")])
    assert updates.kernels_without_module() == [BOTH]


@pytest.mark.parametrize(
    ("notes", "refreshed"), [("classic", True), ("classic,held", False), ("held", False), ("-", True), (None, False)]
)
def test_agent_that_is_a_snap_is_held(system: System, notes: str | None, refreshed: bool) -> None:
    system("snap", snaps={} if notes is None else {updates.AGENT: notes})
    assert updates.agent_is_refreshed() is refreshed


def test_distribution_without_these_programs_has_nothing_to_hold(system: System) -> None:
    system("")
    assert updates.kernels_without_module() == []
    assert not updates.agent_is_refreshed()
