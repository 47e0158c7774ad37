"""What the role `infrastructure` decides about the load balancer; NAME.yml documents each filter."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

# AWS's rule for load balancers and target groups alike.
NAME = re.compile(r"(?!internal-)[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?")
# AWS takes no load balancer with fewer.
ZONES = 2


def load_balancer_subnets(subnets: list[dict[str, str]], zones: list[str]) -> list[str]:
    """Return the ids of the subnets that the load balancer is in: those of the instances' zones, and two at least.

    In other zones it would have addresses that are billed and reach no instance.

    Args:
        subnets: that it may be in, each with `id` and `zone`, one for each zone.
        zones: of the instances.
    """
    used = [each["id"] for each in subnets if each["zone"] in zones]
    others = [each["id"] for each in subnets if each["zone"] not in zones]
    return used + others[: max(ZONES - len(used), 0)]


def load_balancer_problems(
    there: list[dict[str, Any]], *, choice: str, names: dict[str, str], scheme: str, edge_mode: str
) -> list[str]:
    """Return a sentence for each thing that prevents the load balancer, or its absence.

    Args:
        there: the load balancer of the application as infrastructure_info returns it; none where there is none.
        choice: infrastructure_load_balancer.
        names: what load balancer and target group are called, by the variable.
        scheme: infrastructure_load_balancer_scheme.
        edge_mode: the setting edge/mode.
    """
    ours = [each for each in there if each["ours"]]
    if choice == "false":
        return [
            f"The load balancer {each['name']} exists, and infrastructure_load_balancer=false would leave it without"
            " what it needs. Leave the variable out; or remove it by hand, listener first, and run again."
            for each in ours
        ]
    problems = [
        f"{variable}: {name!r} is no name that AWS takes: letters, digits and hyphens, 32 at most, no hyphen at either"
        " end, and not internal- at the beginning."
        for variable, name in names.items()
        if not NAME.fullmatch(name)
    ]
    problems += [
        f"The load balancer {each['name']} is {each['scheme']}, which AWS does not change. Give"
        f" infrastructure_load_balancer_scheme={each['scheme']}, or remove it by hand and run again."
        for each in ours
        if each["scheme"] != scheme
    ]
    if edge_mode != "off":
        problems.append(
            f"The parameter edge/mode is {edge_mode}: with an edge nobody reaches the gateway's port, and the load"
            " balancer speaks TLS itself. Set edge/mode to off, deploy, and run again."
        )
    return problems


class FilterModule:
    """The filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "load_balancer_problems": load_balancer_problems,
            "load_balancer_subnets": load_balancer_subnets,
        }
