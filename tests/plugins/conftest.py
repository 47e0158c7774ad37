"""What tests of the releases share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import (
    activation,
    containers,
    docker_engine,
    engine,
    mending,
    units,
)
from ansible_collections.slm.serving.plugins.modules import stack_release

from tests.support.containers import FakeInstance
from tests.support.releases import FakeDocker, ReleasesFixture


@pytest.fixture
def made(tmp_path: Path) -> ReleasesFixture:
    """Make an instance without a release."""
    return ReleasesFixture(tmp_path)


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeDocker:
    """Bring up no container, and keep what was asked for."""
    fake = FakeDocker()
    monkeypatch.setattr(docker_engine, "run", fake.run)
    monkeypatch.setattr(stack_release, "run", fake.run)
    monkeypatch.setattr(stack_release, "stop", lambda project: fake.commands.append(["stop", project]))
    monkeypatch.setattr(stack_release, "containers", lambda _: {})
    monkeypatch.setattr(activation, "LOCK", tmp_path / "activation.lock")

    def bring_up(stack: Any, stamp: str, *, anew: bool = False) -> list[str]:
        stack.releases.point("current", stamp)
        fake.commands.append(["up", stamp, "anew"] if anew else ["up", stamp])
        return []

    monkeypatch.setattr(activation.Stack, "bring_up", bring_up)
    monkeypatch.setattr(activation.Stack, "is_serving", lambda _: True)
    return fake


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> FakeInstance:
    """Return a fake of the instance's Docker and systemd, on which a stack serves."""
    fake = FakeInstance()
    for module in (activation, containers, engine, mending, units):
        monkeypatch.setattr(module, "run", fake.run)
    return fake
