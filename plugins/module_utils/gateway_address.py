"""Find under which address the gateway of an instance can be called, by what its security groups let in."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

# Addresses that no caller on the internet has.
INSIDE = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")))


def address_of(instance: Mapping[str, Any], open_to: Sequence[str], port: int) -> str:
    """Return the gateway's URL for those who are let in; empty where nobody is, or not at an address that there is.

    Args:
        instance: as DescribeInstances answers it.
        open_to: CIDRs, ids of prefix lists and of security groups.
        port: the gateway's.
    """
    four = [ipaddress.IPv4Network(each, strict=False) for each in open_to if "/" in each and ":" not in each]
    candidates = (
        (any(not _is_inside(each) for each in four), instance.get("PublicIpAddress", "")),
        (any(":" in each for each in open_to), _six(instance)),
        # A security group or a prefix list stands for callers of the VPC, as far as anybody can tell from here.
        (any("/" not in each for each in open_to) or any(map(_is_near, four)), instance.get("PrivateIpAddress", "")),
    )
    return next((f"http://{address}:{port}" for lets_in, address in candidates if lets_in and address), "")


def _is_inside(network: ipaddress.IPv4Network) -> bool:
    return any(network.subnet_of(each) for each in INSIDE)


def _is_near(network: ipaddress.IPv4Network) -> bool:
    return any(network.overlaps(each) for each in INSIDE)


def _six(instance: Mapping[str, Any]) -> str:
    parts = instance.get("NetworkInterfaces", [])
    addresses = [each["Ipv6Address"] for part in parts for each in part.get("Ipv6Addresses", [])]
    return f"[{addresses[0]}]" if addresses else ""
