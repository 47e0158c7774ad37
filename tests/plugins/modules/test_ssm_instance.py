"""Systems Manager's word on an instance, also after a reboot."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.modules.ssm_instance import ping_status

REQUEST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)


class FakeSystemsManager:
    """Systems Manager with the given entries for the instance."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self._entries = entries

    def describe_instance_information(self, **_: Any) -> dict[str, Any]:
        """Return the entries."""
        return {"InstanceInformationList": list(self._entries)}


def test_instance_without_an_agent_is_unknown() -> None:
    assert ping_status(FakeSystemsManager(), "i-1", None) == "unknown"


@pytest.mark.parametrize("status", ["Online", "ConnectionLost"])
def test_status_without_a_reboot_is_the_ping_status(status: str) -> None:
    assert ping_status(FakeSystemsManager({"PingStatus": status}), "i-1", None) == status


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        ({"PingStatus": "Online", "LastPingDateTime": REQUEST + SECOND}, "Online"),
        ({"PingStatus": "Online", "LastPingDateTime": REQUEST}, "unknown"),
        ({"PingStatus": "Online"}, "unknown"),
        ({"PingStatus": "ConnectionLost", "LastPingDateTime": REQUEST - SECOND}, "ConnectionLost"),
    ],
)
def test_ping_from_before_the_reboot_does_not_count(entry: dict[str, Any], status: str) -> None:
    assert ping_status(FakeSystemsManager(entry), "i-1", REQUEST) == status
