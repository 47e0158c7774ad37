"""Read who may call a port by the rules of EC2's security groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

ANY_PROTOCOL = "-1"
# A rule names whom it lets in by one of these lists, each entry by its key.
SOURCES = {
    "IpRanges": "CidrIp",
    "Ipv6Ranges": "CidrIpv6",
    "PrefixListIds": "PrefixListId",
    "UserIdGroupPairs": "GroupId",
}


def networks(rules: Iterable[Mapping[str, Any]], port: int | None = None) -> list[str]:
    """Return who is let in: CIDRs, ids of prefix lists and of security groups, each once and in order.

    Args:
        rules: IpPermissions, as DescribeSecurityGroups answers them.
        port: the TCP port that is to be called; None means any.
    """
    sources = (
        str(source[key])
        for rule in rules
        if port is None or _covers(rule, port)
        for part, key in SOURCES.items()
        for source in rule.get(part, [])
    )
    return list(dict.fromkeys(sources))


def _covers(rule: Mapping[str, Any], port: int) -> bool:
    if rule["IpProtocol"] == ANY_PROTOCOL:
        return True
    return rule["IpProtocol"] in ("tcp", "6") and rule.get("FromPort", 0) <= port <= rule.get("ToPort", 65535)
