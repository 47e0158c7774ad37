"""What is wrong with the networks that may call the gateway."""

from __future__ import annotations

DOCUMENTATION = r"""
name: network_problems
short_description: List what is wrong with the networks that may call the gateway
description:
  - A sentence for each problem, with what to do.
options:
  _input:
    description: Networks in CIDR form.
    type: list
    elements: str
    required: true
  allow_everyone:
    description: Whether the whole internet may be among them.
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Report what is wrong with the networks
  ansible.builtin.debug:
    msg: "{{ ['203.0.113.0/24', '0.0.0.0/0'] | slm.serving.network_problems(allow_everyone=false) }}"
"""

RETURN = r"""
_value:
  description: A sentence for each problem; empty where the networks can be used as they are.
  type: list
  elements: str
"""

import ipaddress


def network_problems(networks: list[str], *, allow_everyone: bool) -> list[str]:
    """Return a sentence for each problem of a list of CIDRs; none when they can be used as they are."""
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
            problems.append(f"infrastructure_gateway_cidrs: {text!r} is not a network in CIDR form ({error}).")
            continue
        if "/" not in text:
            problems.append(f"infrastructure_gateway_cidrs: write {network} in place of {text}.")
        elif network.prefixlen == 0 and not allow_everyone:
            problems.append(
                f"infrastructure_gateway_cidrs: {text} is the whole internet. Name the networks that are meant, or"
                " allow it with -e infrastructure_allow_everyone=true."
            )
    return problems


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, object]:
        """Return the filter by its name."""
        return {"network_problems": network_problems}
