"""What the tests of the local region share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from tests.fakes.account import Api, FakeMachine, served
from tests.local_region.state import RegionState

__all__ = ["Api", "FakeMachine"]


@pytest.fixture
def state(tmp_path: Path) -> RegionState:
    """Return the state of a region in a folder of its own."""
    state = RegionState("unit", root=tmp_path)
    state.prepare()
    return state


@pytest.fixture(scope="session")
def _moto() -> DomainDispatcherApplication:
    """Return moto's application, made once: that costs more than all the rest. `api` empties its memory."""
    return DomainDispatcherApplication(create_backend_app)


@pytest.fixture
def api(state: RegionState, monkeypatch: pytest.MonkeyPatch, _moto: DomainDispatcherApplication) -> Iterator[Api]:
    """Serve a fresh API on a free port, with nothing seeded."""
    for variable in ("AWS_CA_BUNDLE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # hundreds, at every reset
    with served(state, _moto) as api:
        yield api


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Make a folder shaped as the small model is."""
    for part in ("base", "adapter"):
        (tmp_path / "model" / part).mkdir(parents=True)
        (tmp_path / "model" / part / "config.json").write_text("{}", encoding="ascii")
    return tmp_path / "model"
