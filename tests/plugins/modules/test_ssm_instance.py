"""What counts as an instance that Systems Manager reaches: AWS's word on it is old for minutes after a stop."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.modules.ssm_instance import HELP, Agent

from tests.support.pages import Paginated, client_with_pages

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
ONLINE = {"PingStatus": "Online", "LastPingDateTime": START + SECOND}


class FakeSystemsManager(Paginated):
    """Systems Manager with the given entries for the instance, whose agent is connected or not."""

    def __init__(self, *entries: dict[str, Any], connection: str = "connected") -> None:
        self._entries = entries
        self._connection = connection

    def describe_instance_information(self, **_: Any) -> dict[str, Any]:
        """Return the entries."""
        return {"InstanceInformationList": list(self._entries)}

    def get_connection_status(self, **_: Any) -> dict[str, Any]:
        """Return whether the agent is connected."""
        return {"Status": self._connection}


class FakeEc2:
    """EC2 with an instance that was launched once, whose clock is an hour ahead of this machine's."""

    def __init__(self, *launched: dt.datetime, date: str | None = "Thu, 01 Jan 2026 00:00:00 GMT") -> None:
        self._launched = launched
        self._headers = {} if date is None else {"date": date}
        self.rebooted: list[str] = []

    def describe_instances(self, **_: Any) -> dict[str, Any]:
        """Return the instance, if there is one."""
        return {"Reservations": [{"Instances": [{"LaunchTime": each}]} for each in self._launched]}

    def reboot_instances(self, InstanceIds: list[str], **_: Any) -> dict[str, Any]:  # noqa: N803 # boto3's name
        """Note the instance."""
        self.rebooted += InstanceIds
        return {"ResponseMetadata": {"HTTPHeaders": self._headers}}


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (ONLINE, "Online"),
        ({**ONLINE, "LastPingDateTime": START}, "unknown"),
        ({**ONLINE, "LastPingDateTime": START - 60 * SECOND}, "unknown"),
        ({"PingStatus": "Online"}, "unknown"),
        ({**ONLINE, "PingStatus": "ConnectionLost"}, "ConnectionLost"),
        ({**ONLINE, "PingStatus": "Inactive"}, "Inactive"),
    ],
)
def test_a_ping_from_before_the_start_does_not_count(entry: dict[str, Any], status: str) -> None:
    assert Agent(FakeSystemsManager(entry), FakeEc2(), "i-1").status(START) == status


def test_an_agent_behind_an_empty_page_is_found() -> None:
    """Systems Manager applies the filter to each page."""
    ssm = client_with_pages("ssm", describe_instance_information=[{**ONLINE, "PingStatus": "Inactive"}])
    assert Agent(ssm, FakeEc2(), "i-1").status(START) == "Inactive"


def test_an_instance_without_an_agent_is_unknown() -> None:
    assert Agent(FakeSystemsManager(), FakeEc2(), "i-1").status(START) == "unknown"


def test_an_instance_that_is_gone_is_unknown() -> None:
    agent = Agent(FakeSystemsManager(ONLINE), FakeEc2(), "i-1")
    assert agent.status(agent.started()) == "unknown"


def test_an_agent_that_has_reported_and_is_not_connected_is_not_reached() -> None:
    agent = Agent(FakeSystemsManager(ONLINE, connection="notconnected"), FakeEc2(START), "i-1")
    assert agent.started() == START
    assert agent.status(agent.started()) == "notconnected"


def test_a_reboot_is_dated_by_the_clock_of_aws() -> None:
    ec2 = FakeEc2(START)
    assert Agent(FakeSystemsManager(), ec2, "i-1").reboot() == START
    assert ec2.rebooted == ["i-1"]


def test_a_reboot_without_a_date_is_dated_by_the_own_clock() -> None:
    before = dt.datetime.now(dt.UTC)
    assert Agent(FakeSystemsManager(), FakeEc2(START, date=None), "i-1").reboot() >= before


def test_no_advice_asks_for_the_policy_that_reads_every_parameter() -> None:
    assert "AmazonSSMManagedInstanceCore" not in "".join(HELP.values())
