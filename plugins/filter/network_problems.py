"""What is wrong with the networks that may call the gateway."""

from __future__ import annotations

import ipaddress


def network_problems(networks: list[str], *, allow_everyone: bool) -> list[str]:
    """Return a sentence for each problem of a list of CIDRs; none when they may be used as they are."""
    if not networks:
        return [
            "Nobody could call the gateway: name the networks that may, such as"
            " -e infrastructure_gateway_cidrs=203.0.113.0/24,198.51.100.7/32."
        ]
    problems = []
    for text in networks:
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            problems.append(f"infrastructure_gateway_cidrs: {text!r} is no network in CIDR form ({error}).")
            continue
        if "/" not in text:
            problems.append(f"infrastructure_gateway_cidrs: write {network} in place of {text}.")
        elif network.prefixlen == 0 and not allow_everyone:
            problems.append(
                f"infrastructure_gateway_cidrs: {text} is the whole internet. Name the networks that are meant, or say"
                " that this one is with -e infrastructure_allow_everyone=true."
            )
    return problems


class FilterModule:
    """Tells Ansible of the filters."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"network_problems": network_problems}
