"""A fake AWS account in this process: the API server over moto, and a fake in place of the instance container."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from moto.acm.models import acm_backends
from moto.autoscaling.models import autoscaling_backends
from moto.awslambda.models import lambda_backends
from moto.budgets.models import budgets_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.ec2.models import ec2_backends
from moto.ecr.models import ecr_backends
from moto.elbv2.models import elbv2_backends
from moto.iam.models import iam_backends
from moto.logs.models import logs_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.s3.models import s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends
from werkzeug.serving import make_server

from tests.local_region.aws_api.server import ApiServer, QuietHandler
from tests.local_region.docker.load_balancer_container import Place
from tests.local_region.docker.machine import MachineError
from tests.local_region.seed import Account
from tests.local_region.state import RegionState

BACKENDS = (
    *(
        acm_backends,
        autoscaling_backends,
        budgets_backends,
        cloudwatch_backends,
        ec2_backends,
        ecr_backends,
        elbv2_backends,
        iam_backends,
        lambda_backends,
    ),
    logs_backends,
    *(s3_backends, secretsmanager_backends, ssm_backends),
)


@dataclass
class FakeMachine:
    """A stand-in for the instance container: it does nothing but remember, and stops when it is let."""

    container: str = "fake-instance"
    running: bool = True
    active: bool = True
    broken: bool = False
    ended: list[str] = field(default_factory=list)
    stops: int = 0
    may_stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Let it stop at once."""
        self.may_stop.set()

    def is_running(self) -> bool:
        """Do as Machine.is_running."""
        return self.running

    def agent_is_active(self, max_age: float = 0.0) -> bool:
        """Do as Machine.agent_is_active."""
        return self.running and self.active

    def agent_start(self) -> str | None:
        """Do as Machine.agent_start."""
        return f"after {self.stops} stops" if self.agent_is_active() else None

    def end_session(self, session: str) -> None:
        """Do as Machine.end_session."""
        self.ended.append(session)

    def create(self, machine_image: str = "") -> None:
        """Do as InstanceMachine.create."""
        self.start()

    def snapshot(self, machine_image: str) -> None:
        """Do as InstanceMachine.snapshot."""

    def remove(self) -> None:
        """Do as InstanceMachine.remove."""
        self.stop()

    def start(self) -> None:
        """Do as Machine.start."""
        if self.broken:
            raise MachineError("docker start: no")
        self.running = True

    def stop(self) -> None:
        """Do as Machine.stop."""
        self.may_stop.wait(timeout=10)
        self.stops += 1
        self.running = False


class FakeProxy:
    """A stand-in for the load balancer's data plane: a target is up while the machine runs."""

    def __init__(self, machine: FakeMachine) -> None:
        """Lead to one machine."""
        self._machine = machine
        self.requests = 0
        self.did: list[tuple[str, int]] = []

    def put_in(self, number: int) -> None:
        """Do as Proxy.put_in."""
        self.did.append(("in", number))

    def drain(self, number: int) -> None:
        """Do as Proxy.drain."""
        self.did.append(("drain", number))

    def take_out(self, number: int) -> None:
        """Do as Proxy.take_out."""
        self.did.append(("out", number))

    def places(self) -> dict[int, Place]:
        """Do as Proxy.places."""
        return dict.fromkeys(range(1, 10), Place(up=self._machine.running, requests=self.requests))


@dataclass
class Api:
    """An API server in this process, with its account and its machine."""

    account: Account
    machine: FakeMachine
    state: RegionState
    port: int
    proxy: FakeProxy

    def client(self, service: str) -> Any:
        """Return a boto3 client."""
        return self.account.client(service)


def forget() -> None:
    """Empty the memory of moto, which all accounts of this process share."""
    for backends in BACKENDS:
        backends.reset()


@contextmanager
def served(state: RegionState, moto: DomainDispatcherApplication) -> Iterator[Api]:
    """Serve a fresh API on a free port, with an empty account.

    Args:
        state: Its region's.
        moto: moto's application, made once, for that costs more than all the rest.
    """
    machine = FakeMachine()
    proxy = FakeProxy(machine)
    forget()
    server_module = "tests.local_region.aws_api.server"
    with (
        mock.patch(f"{server_module}.DomainDispatcherApplication", return_value=moto),
        mock.patch(f"{server_module}.InstanceMachine", return_value=machine),
        mock.patch(f"{server_module}.Proxy", return_value=proxy),
    ):
        application = ApiServer(state.name, state.folder, "docker")
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=QuietHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # seconds until it sees the shutdown
    thread.start()
    try:
        yield Api(Account(f"http://127.0.0.1:{server.server_port}"), machine, state, server.server_port, proxy)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
