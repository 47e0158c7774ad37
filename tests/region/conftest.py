"""What the tests of the local region share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from moto.ec2.models import ec2_backends
from moto.ecr.models import ecr_backends
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends
from werkzeug.serving import make_server

from tests.local_region.api_server import ApiServer, QuietHandler
from tests.local_region.machine import MachineError
from tests.local_region.seed import Account
from tests.local_region.state import RegionState


@dataclass
class FakeMachine:
    """Stands in for the instance container: does nothing but remember, and stops when it is let."""

    container: str = "fake-instance"
    running: bool = True
    active: bool = True
    broken: bool = False
    ended: list[str] = field(default_factory=list)
    stops: int = 0
    may_stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_stop.set()

    def is_running(self) -> bool:
        """As Machine.is_running."""
        return self.running

    def agent_is_active(self, max_age: float = 0.0) -> bool:
        """As Machine.agent_is_active."""
        return self.running and self.active

    def end_session(self, session: str) -> None:
        """As Machine.end_session."""
        self.ended.append(session)

    def create(self) -> None:
        """As InstanceMachine.create."""
        self.start()

    def remove(self) -> None:
        """As InstanceMachine.remove."""
        self.stop()

    def start(self) -> None:
        """As Machine.start."""
        if self.broken:
            raise MachineError("docker start: no")
        self.running = True

    def stop(self) -> None:
        """As Machine.stop."""
        self.may_stop.wait(timeout=10)
        self.stops += 1
        self.running = False


@dataclass
class Api:
    """An API server in this process, with its account and its machine."""

    account: Account
    machine: FakeMachine
    state: RegionState

    def client(self, service: str) -> Any:
        """Gives a boto3 client."""
        return self.account.client(service)


@pytest.fixture
def state(tmp_path: Path) -> RegionState:
    """The state of a region in a folder of its own."""
    state = RegionState("unit", root=tmp_path)
    state.prepare()
    return state


@pytest.fixture(scope="session")
def _moto() -> DomainDispatcherApplication:
    """moto's application: made once, for it costs more than all the rest; the fixture below empties its memory."""
    return DomainDispatcherApplication(create_backend_app)


@pytest.fixture
def api(state: RegionState, monkeypatch: pytest.MonkeyPatch, _moto: DomainDispatcherApplication) -> Iterator[Api]:
    """A fresh API server on a free port, with nothing seeded."""
    for variable in ("AWS_CA_BUNDLE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # hundreds, at every reset
    for backends in (ec2_backends, ecr_backends, iam_backends, s3_backends, secretsmanager_backends, ssm_backends):
        backends.reset()
    monkeypatch.setattr("tests.local_region.api_server.DomainDispatcherApplication", lambda _: _moto)
    machine = FakeMachine()
    monkeypatch.setattr("tests.local_region.api_server.InstanceMachine", lambda *_: machine)
    server = make_server(
        "127.0.0.1", 0, ApiServer("unit", state.folder, "docker"), threaded=True, request_handler=QuietHandler
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # seconds until it sees the shutdown
    thread.start()
    yield Api(Account(f"http://127.0.0.1:{server.server_port}"), machine, state)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder shaped as the small model is."""
    for part in ("base", "adapter"):
        (tmp_path / "model" / part).mkdir(parents=True)
        (tmp_path / "model" / part / "config.json").write_text("{}", encoding="ascii")
    return tmp_path / "model"
