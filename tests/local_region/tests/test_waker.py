"""The waker as it is called: over HTTP, with boto3, in front of an account of moto's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fakes.account import Api
from tests.fakes.http_service import HttpFake
from tests.local_region.faults import Faults
from tests.support.waker import KEY, SECRET, call, served

CALLS = 12


class Gateway(HttpFake):
    """A gateway whose health is what a test says."""

    serves = False

    def answer(self, request: Any) -> None:
        """Answer /health, and nothing else."""
        assert request.path == "/health"
        request.send_response(200 if self.serves else 503)
        request.end_headers()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """Serve a gateway that is not healthy."""
    with Gateway() as gateway:
        yield gateway


@pytest.fixture
def url(api: Api, gateway: Gateway) -> Iterator[str]:
    """Serve the function in an account with an instance and the key."""
    api.account.seed(api.state)
    api.client("secretsmanager").create_secret(Name=SECRET, SecretString=KEY)
    with served(f"http://127.0.0.1:{api.port}", f"http://127.0.0.1:{gateway.port}/") as address:
        yield address


def wait_for(what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, "did not happen within a minute"
        time.sleep(0.02)


def test_an_instance_goes_from_its_own_stop_over_a_burst_of_calls_to_serving(
    api: Api, gateway: Gateway, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[float] = []
    start = api.machine.start

    def counted() -> None:
        starts.append(time.monotonic())
        start()

    monkeypatch.setattr(api.machine, "start", counted)
    api.machine.running = False  # as a power-off from within leaves it
    assert call(url, "another")[0] == 401
    with ThreadPoolExecutor(CALLS) as pool:
        answers = list(pool.map(lambda _: call(url), range(CALLS)))
    assert {(status, body["state"]) for status, body, _ in answers} == {(503, "starting")}
    assert all(170 <= int(wait or 0) <= 180 for *_, wait in answers)
    wait_for(lambda: call(url)[1]["url"] is not None and api.machine.running)
    gateway.serves = True
    status, body, wait = call(url)
    assert (status, body["state"], body["url"], wait) == (200, "serving", f"http://127.0.0.1:{gateway.port}", None)
    assert len(starts) == 1


def test_what_an_operator_stopped_stays_stopped_and_a_full_zone_is_told(api: Api, url: str) -> None:
    ec2 = api.client("ec2")

    def instance() -> dict[str, Any]:
        found: dict[str, Any] = ec2.describe_instances()["Reservations"][0]["Instances"][0]
        return found

    ec2.stop_instances(InstanceIds=[instance()["InstanceId"]])
    wait_for(lambda: bool(instance()["State"]["Name"] == "stopped"))
    status, body, wait = call(url)
    assert (status, body["state"], wait) == (409, "stopped", None)
    assert "Client.UserInitiatedShutdown" in body["detail"]
    ec2.start_instances(InstanceIds=[instance()["InstanceId"]])
    wait_for(lambda: bool(instance()["State"]["Name"] == "running"))
    api.machine.running = False
    Faults(api.state.faults).switch_on("instance-start", "capacity")
    status, body, wait = call(url)
    assert (status, body["state"], wait) == (503, "stopped", "300")
    assert "InsufficientInstanceCapacity" in body["detail"]
