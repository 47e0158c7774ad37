"""Time limits of gateway, edge and unit: which of them would cut short what another one allows."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.filter.time_limits import time_limit_problems

from gateway.settings import Settings
from tests.local_region.names import REPOSITORY_ROOT
from tests.support.rendering import value
from tests.support.role_variables import defaults, load

GOOD: dict[str, Any] = {
    "edge": True,
    "body": 75,
    "answer": 900,
    "gateway_drain": 30,
    "engine_drain": 30,
    "stop": 180,
    "environment": {},
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"body": "61", "answer": "121"},
        {"environment": {"GATEWAY_REQUEST_TIMEOUT": "74.9"}},
        {"edge": False, "body": 1, "answer": 1},
        {"environment": {"GATEWAY_DRAIN_TIMEOUT": 30}},
        {"gateway_drain": 60, "engine_drain": 30, "stop": 140},
        {"gateway_drain": 60, "engine_drain": 30, "stop": 115, "edge": False},
        # The gateway says at its start that this is no number.
        {"environment": {"GATEWAY_REQUEST_TIMEOUT": "long"}},
        {"environment": {"GATEWAY_REQUEST_TIMEOUT": "nan"}},
    ],
)
def test_what_fits_together_is_no_problem(changes: dict[str, Any]) -> None:
    assert time_limit_problems(GOOD | changes) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"body": 60}, "inference_stack_edge_body_timeout is 60 s, and the gateway waits 60 s"),
        ({"environment": {"GATEWAY_REQUEST_TIMEOUT": "75"}}, "Set it to more than 75, such as 90"),
        ({"environment": {"GATEWAY_REQUEST_TIMEOUT": 80.5}}, "before the gateway can answer 408"),
        ({"answer": 120}, "inference_stack_edge_answer_timeout is 120 s, and the gateway may take 120 s"),
        (
            {"environment": {"GATEWAY_DRAIN_TIMEOUT": "45"}},
            "inference_stack_gateway_drain, which gives both, to 45",
        ),
        ({"gateway_drain": 120}, "inference_stack_stop_timeout is 180 s, and the containers may take 260 s"),
        ({"gateway_drain": 120, "edge": False}, "set it to at least 175"),
        ({"engine_drain": 130}, "inference_stack_stop_timeout is 180 s"),
        ({"stop": "84"}, "set it to at least 85"),
    ],
)
def test_what_does_not_fit_is_said_with_what_to_do(changes: dict[str, Any], words: str) -> None:
    adapted = {"stop": 170} if changes.get("edge") is False and "stop" not in changes else {}
    (problem,) = time_limit_problems(GOOD | changes | adapted)
    assert words in problem


def test_the_gateways_own_default_is_what_is_assumed() -> None:
    default = Settings.model_fields["request_timeout"].default
    assert time_limit_problems(GOOD | {"body": default + 1}) == []
    assert len(time_limit_problems(GOOD | {"body": default})) == 1


def test_the_roles_defaults_fit_together_and_are_those_of_the_inventory() -> None:
    """What is checked before a deployment touches anything is what the role takes."""
    own = defaults("inference_stack")
    limits = load(REPOSITORY_ROOT / "inventory/group_vars/all.yml")["stack_time_limits"]
    given = value("inference_stack", "_inference_stack_time_limits", {})
    for name, variable in {
        "body": "inference_stack_edge_body_timeout",
        "answer": "inference_stack_edge_answer_timeout",
        "gateway_drain": "inference_stack_gateway_drain",
        "engine_drain": "inference_stack_engine_drain",
        "stop": "inference_stack_stop_timeout",
    }.items():
        assert limits[name] == f"{{{{ {variable} | default({own[variable]}) }}}}"
        assert given[name] == own[variable]
    assert time_limit_problems(given | {"edge": True}) == []


def test_the_role_refuses_an_edge_that_would_answer_before_the_gateway() -> None:
    def refused(mode: str) -> list[str]:
        slow = {"inference_stack_gateway_environment": {"GATEWAY_REQUEST_TIMEOUT": 90}}
        given = {**slow, "inference_stack_edge_mode": mode}
        found: list[str] = value("inference_stack", "_inference_stack_time_problems", given)
        return found

    (problem,) = refused("plain")
    assert "more than 90, such as 105" in problem
    assert refused("off") == []
