"""The gateway's address as EC2 has it at the moment."""

from __future__ import annotations

from typing import Any

from ansible_collections.slm.serving.plugins.modules.gateway_address_info import find

RULE = {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "IpRanges": [{"CidrIp": "198.51.100.0/24"}]}


class FakeEc2:
    """EC2 with one instance, whose public address is another after each start."""

    def __init__(self, *rules: dict[str, Any]) -> None:
        self.address = "203.0.113.7"
        self._rules = list(rules)

    def describe_instances(self, **_: Any) -> dict[str, Any]:
        """Answer as EC2."""
        instance = {"PublicIpAddress": self.address, "SecurityGroups": [{"GroupId": "sg-1"}]}
        return {"Reservations": [{"Instances": [instance]}]}

    def describe_security_groups(self, GroupIds: list[str], **_: Any) -> dict[str, Any]:  # noqa: N803
        """Answer as EC2."""
        return {"SecurityGroups": [{"GroupId": each, "IpPermissions": self._rules} for each in GroupIds]}


def test_address_of_an_open_port_follows_the_instance() -> None:
    ec2 = FakeEc2(RULE)
    assert find(ec2, "i-1", 8080)["address"] == "http://203.0.113.7:8080"
    ec2.address = "203.0.113.8"
    assert find(ec2, "i-1", 8080) == {
        "address": "http://203.0.113.8:8080",
        "open_to": ["198.51.100.0/24"],
        "unseen": "",
    }


def test_a_closed_port_has_no_address() -> None:
    assert find(FakeEc2(), "i-1", 8080) == {"address": "", "open_to": [], "unseen": ""}


def test_clients_call_an_edge_by_its_name_where_its_port_is_open() -> None:
    edge = {**RULE, "FromPort": 443, "ToPort": 443}
    url = "https://notes.example.org"
    assert find(FakeEc2(edge), "i-1", 443, url)["address"] == url
    # Of a closed port a name is of no use either.
    assert find(FakeEc2(RULE), "i-1", 443, url)["address"] == ""
