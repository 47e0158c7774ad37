"""What an edge needs, and the address that clients call it by; NAME.yml documents each filter."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.slm.serving.plugins.filter.settings import DOMAIN, EMAIL

OFF = "off"
# Modes in which the edge itself has a certificate, which is of a name.
ENCRYPTED = ("acme", "certificate")
OPENED = ("docs", "metrics")
# The ports of each mode, and the gateway's own without an edge.
PORTS = {"acme": (80, 443), "certificate": (443,), "plain": (80,)}


def edge_problems(edge: Mapping[str, Any], path: str) -> list[str]:
    """Return a sentence for each thing that an edge lacks or cannot use; none for an edge that is off.

    A setting's form is checked with the other settings; here are those given with -e too.

    Args:
        edge: `mode`, `domain`, `email`, `trusted_proxies`, `open`, `tag` and `secret`.
        path: of the parameters.
    """
    mode = edge["mode"]
    if mode == OFF:
        return []
    if mode not in PORTS:
        known = ", ".join([OFF, *PORTS])
        return [f"The edge's mode is {mode!a}, which is none of {known}: correct the parameter {path}/edge/mode."]
    problems = []
    if not edge["tag"]:
        problems.append(
            f"The edge's mode is {mode}, and its image has no tag: put the parameter {path}/images/edge-tag, or delete"
            f" {path}/edge/mode for no edge."
        )
    if mode in ENCRYPTED and not edge["domain"]:
        problems.append(
            f"The edge's mode is {mode}, which needs the name that clients call: put the parameter {path}/edge/domain."
        )
    elif edge["domain"] and not DOMAIN.pattern.fullmatch(edge["domain"]):
        problems.append(f"The edge's domain is {edge['domain']!a}, which is not {DOMAIN.words}.")
    elif mode == "acme" and not _is_public(edge["domain"]):
        problems.append(
            f"The edge's domain is {edge['domain']}, for which no authority gives a certificate by ACME: put a name of"
            f" the public DNS into {path}/edge/domain, or set {path}/edge/mode to certificate."
        )
    if mode == "certificate" and not edge["secret"]:
        problems.append(
            "The edge's mode is certificate, and no secret holds one: create a secret with certificate, chain and key"
            f" in PEM, and put its name into the parameter {path}/secrets/edge-certificate."
        )
    if edge["email"] and not EMAIL.pattern.fullmatch(edge["email"]):
        problems.append(f"The edge's e-mail address is {edge['email']!a}, which is not {EMAIL.words}.")
    for network in edge["trusted_proxies"]:
        problems += _network_problems(network)
    problems += [
        f"{name!a} cannot be opened at the edge: there are {' and '.join(OPENED)}."
        for name in edge["open"]
        if name not in OPENED
    ]
    return problems


def _is_public(domain: str) -> bool:
    """Say whether a domain may be one of the public DNS."""
    labels = domain.split(".")
    return len(labels) > 1 and not labels[-1].isdigit() and labels[-1] not in ("local", "internal", "localhost")


def _network_problems(text: str) -> list[str]:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        return [f"The edge's trusted proxies: {text!a} is not a network in CIDR form ({error})."]
    if network.prefixlen == 0:
        return [f"The edge's trusted proxies: with {text} anybody's X-Forwarded-For is believed. Name the proxies."]
    return []


def edge_notes(edge: Mapping[str, Any]) -> list[str]:
    """Return what whoever deploys has to know of an edge.

    Args:
        edge: as `edge_problems` takes it.
    """
    if edge["mode"] != "plain":
        return []
    proxies = ", ".join(edge["trusted_proxies"])
    believed = (
        f"X-Forwarded-For is believed from {proxies} alone" if proxies else "X-Forwarded-For is believed from nobody"
    )
    return [
        "The edge is plain: it speaks HTTP without encryption, so what stands before it has to have TLS, and the way"
        f" between them has to be safe. {believed} (edge/trusted-proxies)."
    ]


def edge_url(edge: Mapping[str, Any]) -> str:
    """Return the address that clients call; empty where that is the instance's own.

    Args:
        edge: `mode` and `domain`.
    """
    return f"https://{edge['domain']}" if edge["mode"] != OFF and edge["domain"] else ""


def edge_public_ports(mode: str, gateway_port: int) -> list[int]:
    """Return the ports that clients come to: those of the edge's mode, or the gateway's.

    Args:
        mode: of the edge.
        gateway_port: where the gateway is published without one.
    """
    return list(PORTS.get(mode, (gateway_port,)))


def edge_names(text: str | Sequence[str]) -> list[str]:
    """Return the parts of a setting with commas between them; a list is one already."""
    parts = text.split(",") if isinstance(text, str) else text
    return [part.strip() for part in parts if part.strip()]


class FilterModule:
    """The filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "edge_names": edge_names,
            "edge_notes": edge_notes,
            "edge_problems": edge_problems,
            "edge_public_ports": edge_public_ports,
            "edge_url": edge_url,
        }
