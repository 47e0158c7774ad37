"""Who may call the gateway by the rules of security groups, and at which address they reach it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils.gateway_address import address_of
from ansible_collections.slm.serving.plugins.module_utils.security_groups import networks

INSTANCE = {
    "PublicIpAddress": "203.0.113.7",
    "PrivateIpAddress": "10.0.0.5",
    "NetworkInterfaces": [{"Ipv6Addresses": [{"Ipv6Address": "2001:db8::7"}]}],
}
PUBLIC, PRIVATE, SIX = "http://203.0.113.7:8080", "http://10.0.0.5:8080", "http://[2001:db8::7]:8080"


def rule(protocol: str = "tcp", first: int = 8080, last: int = 8080, **sources: Any) -> dict[str, Any]:
    """Return a rule as DescribeSecurityGroups answers it; of all protocols it has no ports."""
    ports = {} if protocol == "-1" else {"FromPort": first, "ToPort": last}
    return {"IpProtocol": protocol, **ports, **(sources or {"IpRanges": [{"CidrIp": "198.51.100.0/24"}]})}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], []),
        ([rule()], ["198.51.100.0/24"]),
        ([rule(first=8000, last=9000)], ["198.51.100.0/24"]),
        ([rule("-1")], ["198.51.100.0/24"]),
        ([rule("udp")], []),
        ([rule(first=22, last=22)], []),
        ([rule(Ipv6Ranges=[{"CidrIpv6": "::/0"}])], ["::/0"]),
        ([rule(PrefixListIds=[{"PrefixListId": "pl-1"}])], ["pl-1"]),
        ([rule(UserIdGroupPairs=[{"GroupId": "sg-1"}])], ["sg-1"]),
        ([rule(), rule("-1")], ["198.51.100.0/24"]),
    ],
)
def test_networks_are_those_that_a_rule_lets_in_to_the_port(rules: list[dict[str, Any]], expected: list[str]) -> None:
    assert networks(rules, 8080) == expected


@pytest.mark.parametrize(
    ("open_to", "address"),
    [
        ([], ""),
        (["198.51.100.0/24"], PUBLIC),
        (["0.0.0.0/0"], PUBLIC),
        (["10.0.0.0/8", "198.51.100.0/24"], PUBLIC),
        (["10.0.0.0/8"], PRIVATE),
        (["sg-1"], PRIVATE),
        (["pl-1"], PRIVATE),
        (["::/0"], SIX),
    ],
)
def test_address_is_one_that_those_who_are_let_in_can_reach(open_to: list[str], address: str) -> None:
    assert address_of(INSTANCE, open_to, 8080) == address


@pytest.mark.parametrize(
    ("instance", "open_to", "address"),
    [
        ({"PrivateIpAddress": "10.0.0.5"}, ["198.51.100.0/24"], ""),
        ({"PrivateIpAddress": "10.0.0.5"}, ["0.0.0.0/0"], PRIVATE),
        ({"PublicIpAddress": "203.0.113.7"}, ["2001:db8::/32"], ""),
    ],
)
def test_an_address_that_the_instance_lacks_is_not_told(
    instance: dict[str, Any], open_to: list[str], address: str
) -> None:
    assert address_of(instance, open_to, 8080) == address
