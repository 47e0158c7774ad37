"""What the role `infrastructure` decides about the load balancer."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.filter.load_balancer import load_balancer_problems, load_balancer_subnets

SUBNETS = [{"id": f"subnet-{zone}", "zone": zone} for zone in "abcd"]
THERE = {"name": "balancer", "ours": True, "scheme": "internal"}


@pytest.mark.parametrize(
    ("zones", "subnets"), [("bd", "bd"), ("abcd", "abcd"), ("c", "ca"), ("", "ab"), ("aab", "ab"), ("z", "ab")]
)
def test_it_is_in_the_instances_zones_and_in_two_at_least(zones: str, subnets: str) -> None:
    assert load_balancer_subnets(SUBNETS, list(zones)) == [f"subnet-{zone}" for zone in subnets]


def problems(*there: dict[str, Any], **changes: Any) -> list[str]:
    """Return what prevents it."""
    given: dict[str, Any] = {"choice": "auto", "names": {"name": "balancer"}, "scheme": "internal", "edge_mode": "off"}
    return load_balancer_problems(list(there), **(given | changes))


@pytest.mark.parametrize("choice", ["auto", "true", "false"])
def test_one_that_is_as_it_is_to_be_or_somebody_elses_is_no_problem_here(choice: str) -> None:
    assert problems(THERE | {"ours": False, "scheme": "internet-facing"}, choice=choice) == []
    assert problems(choice=choice) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"choice": "false"}, "infrastructure_load_balancer=false would leave it"),
        ({"scheme": "internet-facing"}, "infrastructure_load_balancer_scheme=internal"),
        ({"edge_mode": "acme"}, "Set edge/mode to off"),
        ({"names": {"name": "internal-x"}}, "no name that AWS takes"),
        ({"names": {"name": "x" * 33}}, "32 at most"),
        ({"names": {"name": "a_b"}}, "no name that AWS takes"),
        ({"names": {"name": "a-"}}, "no name that AWS takes"),
    ],
)
def test_what_prevents_it_is_said_with_what_to_do(changes: dict[str, Any], words: str) -> None:
    (problem,) = problems(THERE, **changes)
    assert words in problem
