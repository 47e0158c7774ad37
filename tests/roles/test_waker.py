"""The function that wakes an instance: whom it answers, what it starts, and what it tells a client to do."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from tests.support.role_variables import ROLES

KEY = "a-key-of-this-test"
USUAL = 180.0
HOLD = 20.0
ADDRESS = "203.0.113.7"
URL = f"http://{ADDRESS}:8080"
BY_ITSELF, BY_HAND = "Client.InstanceInitiatedShutdown", "Client.UserInitiatedShutdown"


@pytest.fixture(scope="module")
def waker() -> Iterator[ModuleType]:
    """Yield the function as a Python module."""
    specification = importlib.util.spec_from_file_location("waker", ROLES / "waker/files/waker.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    # Its dataclasses look their module up.
    sys.modules["waker"] = module
    specification.loader.exec_module(module)
    yield module
    del sys.modules["waker"]


class Clock:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        """Begin at some time."""
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@dataclass
class Machine:
    """An instance of the fake EC2.

    Attributes:
        state: Its state now; a pending one runs and a stopping one is stopped at `until`.
        reason: Why it is stopped.
        launched: When it was started for the last time, in seconds before the clock's beginning if negative.
        address: Its public address while it runs.
        refusal: The code by which EC2 refuses to start it; empty for none.
        starts: How often it was started.
    """

    state: str = "stopped"
    reason: str = BY_ITSELF
    launched: float = -86_400.0
    address: str = ADDRESS
    refusal: str = ""
    until: float = 0.0
    starts: int = 0


@dataclass
class FakeEc2:
    """EC2 with some instances, as a state machine over the clock."""

    clock: Clock
    machines: dict[str, Machine]
    boot: float = 15.0
    calls: list[str] = field(default_factory=list)
    broken: Exception | None = None

    def __post_init__(self) -> None:
        """Begin where the clock does."""
        self._began = self.clock()
        self._lock = threading.Lock()

    def get_paginator(self, operation: str) -> FakeEc2:
        """Return what asks for all pages: itself."""
        assert operation == "describe_instances"
        return self

    def paginate(self, Filters: list[dict[str, Any]]) -> list[dict[str, Any]]:  # noqa: N803 - boto3's name
        """Return the instances, each on a page of its own."""
        assert Filters == [{"Name": "tag:Application", "Values": ["slm-ft-serving"]}]
        with self._lock:
            self.calls.append("DescribeInstances")
            if self.broken:
                raise self.broken
            return [
                {"Reservations": [{"Instances": [self._shown(name, each)]}]} for name, each in self.machines.items()
            ]

    def _shown(self, name: str, machine: Machine) -> dict[str, Any]:
        if machine.state in ("pending", "stopping") and self.clock() >= machine.until:
            machine.state = {"pending": "running", "stopping": "stopped"}[machine.state]
        shown: dict[str, Any] = {
            "InstanceId": name,
            "State": {"Name": machine.state},
            "LaunchTime": dt.datetime.fromtimestamp(self._began + machine.launched, dt.UTC),
        }
        shown |= {"StateReason": {"Code": machine.reason}} if machine.state in ("stopping", "stopped") else {}
        return shown | ({"PublicIpAddress": machine.address} if machine.state == "running" and machine.address else {})

    def start_instances(self, InstanceIds: list[str]) -> dict[str, Any]:  # noqa: N803 - boto3's name
        """Start one that is stopped; one that is up stays as it is, as on AWS."""
        (name,) = InstanceIds
        with self._lock:
            self.calls.append("StartInstances")
            machine = self.machines[name]
            if machine.refusal:
                raise refusal(machine.refusal)
            if machine.state == "stopping":
                raise refusal("IncorrectInstanceState")
            if machine.state == "stopped":
                machine.state, machine.until = "pending", self.clock() + self.boot
                machine.launched = self.clock() - self._began
                machine.starts += 1
            return {}


def refusal(code: str) -> ClientError:
    """Return an error of AWS."""
    return ClientError({"Error": {"Code": code, "Message": "of a test"}}, "StartInstances")


@dataclass
class FakeSecrets:
    """Secrets Manager with one secret."""

    value: str = f"{KEY}\n"
    reads: int = 0
    broken: Exception | None = None

    def get_secret_value(self, SecretId: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        """Return the secret."""
        assert SecretId == "slm-ft-serving/waker"
        self.reads += 1
        if self.broken:
            raise self.broken
        return {"SecretString": self.value}


@dataclass
class World:
    """An account with a waker."""

    module: ModuleType
    clock: Clock
    ec2: FakeEc2
    secrets: FakeSecrets
    keys: Any
    waker: Any
    serves_at: float | None
    probed: list[str] = field(default_factory=list)

    def probe(self, url: str) -> bool | None:
        """Say whether the gateway serves; None where its port is closed."""
        self.probed.append(url)
        return None if self.serves_at is None else self.clock() >= self.serves_at

    def call(self, key: str = KEY, method: str = "POST", scheme: str = "Bearer") -> tuple[int, dict[str, Any], int]:
        """Call the waker; return status, body and the seconds of Retry-After (0 for none)."""
        event = {"headers": {"authorization": f"{scheme} {key}"}, "requestContext": {"http": {"method": method}}}
        answer = self.module.answer_to(event, self.keys, self.waker).as_event()
        return answer["statusCode"], json.loads(answer["body"]), int(answer["headers"].get("retry-after", 0))


def world(
    module: ModuleType, *machines: Machine, serves_in: float | None = 0.0, url: str = "", by_hand: bool = False
) -> World:
    """Return an account with instances.

    Args:
        module: The function.
        machines: The instances.
        serves_in: Seconds until a gateway serves; None where its port is closed to the function.
        url: Where clients call it; empty means at the public address.
        by_hand: Whether what was stopped on purpose is woken too.
    """
    clock = Clock()
    ec2 = FakeEc2(clock, {f"i-{number}": each for number, each in enumerate(machines)})
    secrets = FakeSecrets()
    settings = module.Settings("slm-ft-serving", "slm-ft-serving/waker", url, 8080, HOLD, USUAL, by_hand)
    at = None if serves_in is None else clock() + serves_in
    made = World(module, clock, ec2, secrets, module.Keys(secrets, "slm-ft-serving/waker", clock), None, at)
    made.waker = module.Waker(ec2, settings, probe=made.probe, now=clock, sleep=clock.sleep)
    return made


def test_one_that_serves_is_named_with_its_present_address(waker: ModuleType) -> None:
    status, body, wait = world(waker, Machine("running")).call()
    assert (status, body["state"], body["instance"], body["url"], wait) == (200, "serving", "i-0", URL, 0)


def test_one_that_stopped_itself_is_started_and_the_client_told_when_to_come_back(waker: ModuleType) -> None:
    here = world(waker, Machine(), serves_in=USUAL)
    status, body, wait = here.call()
    assert (status, body["state"], wait) == (503, "starting", USUAL)
    assert here.ec2.machines["i-0"].starts == 1
    here.clock.sleep(30)
    assert here.call()[2] == USUAL - 30
    here.clock.sleep(USUAL - 30)
    assert here.call()[:2] == (200, body | {"state": "serving", "detail": "The gateway serves.", "url": URL} | NO_WAIT)
    assert here.ec2.machines["i-0"].starts == 1


NO_WAIT = {"retry_after": None}


def test_a_burst_of_calls_starts_it_once(waker: ModuleType) -> None:
    here, together = world(waker, Machine(), serves_in=USUAL), threading.Barrier(50)

    def call(_: int) -> tuple[int, dict[str, Any], int]:
        together.wait(timeout=60)
        return here.call()

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(call, range(50)))
    assert here.ec2.machines["i-0"].starts == 1
    assert {(status, body["state"], wait) for status, body, wait in answers} == {(503, "starting", USUAL)}


def test_a_call_is_held_while_it_may_be_served_within_the_budget(waker: ModuleType) -> None:
    here = world(waker, Machine("running", launched=-(USUAL - 15)), serves_in=9)
    began = here.clock()
    assert here.call()[0] == 200
    assert 9 <= here.clock() - began <= 11


def test_a_held_call_ends_with_the_budget(waker: ModuleType) -> None:
    here = world(waker, Machine("running", launched=-(USUAL - 15)), serves_in=1000)
    began = here.clock()
    status, body, wait = here.call()
    assert (status, body["state"]) == (503, "starting")
    assert wait > 0
    assert HOLD - 2 <= here.clock() - began <= HOLD


def test_a_call_that_would_be_held_in_vain_is_answered_at_once(waker: ModuleType) -> None:
    here = world(waker, Machine("pending", launched=-5, until=1e9), serves_in=1000)
    began = here.clock()
    assert here.call()[2] == USUAL - 5
    assert here.clock() == began


def test_one_that_ought_to_serve_and_does_not_is_for_the_operator(waker: ModuleType) -> None:
    here = world(waker, Machine("running", launched=-4000), serves_in=1000)
    status, body, wait = here.call()
    assert (status, body["state"], wait) == (503, "starting", 60)
    assert "playbooks/status.yml" in body["detail"]


@pytest.mark.parametrize("reason", [BY_HAND, "Client.UserInitiatedHibernate", "Client.InternalError", ""])
@pytest.mark.parametrize("state", ["stopped", "stopping"])
def test_what_was_stopped_on_purpose_is_not_woken(waker: ModuleType, state: str, reason: str) -> None:
    here = world(waker, Machine(state, reason, until=1e9))
    status, body, wait = here.call()
    assert (status, body["state"], wait) == (409, state, 0)
    assert "playbooks/start.yml" in body["detail"]
    assert "StartInstances" not in here.ec2.calls


def test_what_was_stopped_on_purpose_is_woken_where_the_operator_allows_it(waker: ModuleType) -> None:
    here = world(waker, Machine("stopped", BY_HAND), by_hand=True)
    assert here.call()[1]["state"] == "starting"
    assert here.ec2.machines["i-0"].starts == 1


@pytest.mark.parametrize("reason", ["Server.InsufficientInstanceCapacity", "Server.InternalError"])
def test_a_start_that_failed_afterwards_is_tried_again(waker: ModuleType, reason: str) -> None:
    assert world(waker, Machine("stopped", reason)).call()[1]["state"] == "starting"


def test_one_that_is_stopping_is_woken_by_a_later_call(waker: ModuleType) -> None:
    here = world(waker, Machine("stopping", until=1_000_025.0))
    status, body, wait = here.call()
    assert (status, body["state"], wait) == (503, "stopping", 30)
    assert here.ec2.calls == ["DescribeInstances"]
    here.clock.sleep(wait)
    assert here.call()[1]["state"] == "starting"


def test_that_somebody_else_was_quicker_is_no_error(waker: ModuleType) -> None:
    here = world(waker, Machine(refusal="IncorrectInstanceState"))
    status, body, wait = here.call()
    assert (status, body["state"]) == (503, "starting")
    assert wait > 0


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "VcpuLimitExceeded"])
def test_without_room_the_client_is_told_so_and_to_come_back_later(waker: ModuleType, code: str) -> None:
    here = world(waker, Machine(refusal=code))
    began = here.clock()
    status, body, wait = here.call()
    assert (status, body["state"], wait) == (503, "stopped", 300)
    assert code in body["detail"]
    assert here.clock() == began


def test_of_several_one_is_woken_and_the_next_where_a_zone_has_no_room(waker: ModuleType) -> None:
    here = world(waker, Machine(refusal="InsufficientInstanceCapacity"), Machine(), Machine(), serves_in=USUAL)
    assert here.call()[1]["instance"] == "i-1"
    assert [each.starts for each in here.ec2.machines.values()] == [0, 1, 0]


def test_of_several_one_that_serves_is_enough(waker: ModuleType) -> None:
    here = world(waker, Machine(), Machine("pending", until=1e9), Machine("running"))
    assert here.call()[:2][1]["instance"] == "i-2"
    assert here.ec2.calls == ["DescribeInstances"]


def test_of_several_one_that_was_stopped_on_purpose_does_not_stand_in_the_way(waker: ModuleType) -> None:
    here = world(waker, Machine("stopped", BY_HAND), Machine(), serves_in=USUAL)
    assert here.call()[1]["instance"] == "i-1"


def test_where_the_port_is_closed_the_time_since_the_start_decides_and_the_answer_says_so(waker: ModuleType) -> None:
    young = world(waker, Machine("running", launched=-60), serves_in=None)
    assert young.call()[0::2] == (503, USUAL - 60)
    status, body, wait = world(waker, Machine("running", launched=-USUAL), serves_in=None).call()
    assert (status, body["state"], body["url"], wait) == (200, "running", URL, 0)
    assert "closed to this function" in body["detail"]


def test_that_there_is_no_public_address_is_said(waker: ModuleType) -> None:
    here = world(waker, Machine("running", address=""))
    status, body, _ = here.call()
    assert (status, body["state"], body["url"]) == (200, "running", None)
    assert "no public address" in body["detail"]
    assert here.probed == []


def test_an_address_of_its_own_is_told_and_probed_in_place_of_the_instances(waker: ModuleType) -> None:
    here = world(waker, Machine("running", address=""), url="https://notes.example")
    assert here.call()[1]["url"] == "https://notes.example"
    assert here.probed == ["https://notes.example"]


@pytest.mark.parametrize(
    ("key", "scheme"), [("another", "Bearer"), ("", "Bearer"), (KEY, "Basic"), (f"{KEY}x", "Bearer"), ("é", "Bearer")]
)
def test_without_the_key_nothing_is_asked_of_ec2(waker: ModuleType, key: str, scheme: str) -> None:
    here = world(waker, Machine())
    status, body, _ = here.call(key, scheme=scheme)
    assert (status, body["state"]) == (401, "refused")
    assert here.ec2.calls == []


def test_an_empty_secret_opens_nothing(waker: ModuleType) -> None:
    here = world(waker, Machine())
    here.secrets.value = " \n\n"
    assert here.call("")[0] == 401


def test_a_scan_reads_the_secret_once_a_minute_and_a_new_key_works_within_one(waker: ModuleType) -> None:
    here = world(waker, Machine("running"))
    assert {here.call("guess")[0] for _ in range(20)} == {401}
    assert here.secrets.reads == 1
    here.secrets.value = "next\nprevious\n"
    here.clock.sleep(60)
    assert [here.call(key)[0] for key in ("next", "previous", KEY)] == [200, 200, 401]


def test_a_get_starts_nothing(waker: ModuleType) -> None:
    here = world(waker, Machine())
    assert here.call(method="GET")[0] == 405
    assert here.ec2.calls == []


def test_without_an_instance_nothing_is_retried(waker: ModuleType) -> None:
    status, body, wait = world(waker, Machine("terminated")).call()
    assert (status, body["state"], wait) == (404, "missing", 0)


@pytest.mark.parametrize(
    ("error", "status", "wait"),
    [
        (refusal("RequestLimitExceeded"), 503, 10),
        (ConnectTimeoutError(endpoint_url="https://ec2.example"), 503, 10),
        (refusal("UnauthorizedOperation"), 500, 0),
    ],
)
def test_an_error_of_aws_is_told_by_its_code(waker: ModuleType, error: Exception, status: int, wait: int) -> None:
    here = world(waker, Machine())
    here.ec2.broken = error
    assert here.call()[0::2] == (status, wait)
    here = world(waker, Machine())
    here.secrets.broken = error
    assert here.call()[0::2] == (status, wait)
    assert here.ec2.calls == []


def test_no_key_is_in_what_is_logged(waker: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    here = world(waker, Machine(), serves_in=USUAL)
    here.call()
    here.call("a-wrong-key")
    logged = capsys.readouterr().out
    assert json.loads(logged.splitlines()[0]) == {"woke": "i-0"}
    assert KEY not in logged
    assert "a-wrong-key" not in logged
