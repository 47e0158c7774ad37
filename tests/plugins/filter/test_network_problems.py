"""The networks that may call the gateway."""

from __future__ import annotations

import pytest
from ansible_collections.slm.serving.plugins.filter.network_problems import network_problems


def test_valid_networks_are_no_problem() -> None:
    assert network_problems(["10.0.0.0/8", "2001:db8::/32", "198.51.100.7/32"], allow_everyone=False) == []


@pytest.mark.parametrize(
    ("network", "word"),
    [
        ("0.0.0.0/0", "whole internet"),
        ("::/0", "whole internet"),
        ("10.0.0.1/8", "host bits"),
        ("everyone", "not a network"),
        ("10.0.0.1", "write 10.0.0.1/32"),
    ],
)
def test_invalid_network_is_a_problem(network: str, word: str) -> None:
    (problem,) = network_problems([network], allow_everyone=False)
    assert word in problem


def test_whole_internet_is_no_problem_when_everyone_is_allowed() -> None:
    assert network_problems(["0.0.0.0/0", "::/0"], allow_everyone=True) == []


def test_empty_list_is_a_problem() -> None:
    (problem,) = network_problems([], allow_everyone=False)
    assert "-e infrastructure_gateway_cidrs=" in problem
