"""What pooled engines need before a deployment touches anything."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.filter.engine_pool import engine_pool_problems
from ansible_collections.slm.serving.plugins.filter.settings import KINDS, invalid_setting_problems

GOOD: dict[str, Any] = {
    "pooled": True,
    "tag": "v1",
    "secret": "slm-ft-serving/engine-pool",
    "name": "p.internal",
    "most": 0,
}


@pytest.mark.parametrize("changes", [{}, {"pooled": False, "tag": "", "secret": "", "most": 4}])
def test_what_can_work_is_no_problem(changes: dict[str, Any]) -> None:
    assert engine_pool_problems(GOOD | changes, "/app") == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tag": ""}, "put the parameter /app/images/edge-tag"),
        ({"secret": ""}, "-addext subjectAltName=DNS:p.internal"),
        ({"secret": ""}, "into the parameter /app/secrets/engine-pool"),
        ({"most": 3}, "remove the group with provision.yml -e scaling_group_most=0"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(changes: dict[str, Any], words: str) -> None:
    (problem,) = engine_pool_problems(GOOD | changes, "/app")
    assert words in problem


def test_the_setting_is_a_truth() -> None:
    assert {"engine/pooled", "secrets/engine-pool"} <= set(KINDS)
    assert invalid_setting_problems({"engine/pooled": "true"}, "/app") == []
    (problem,) = invalid_setting_problems({"engine/pooled": "on"}, "/app")
    assert "is not true or false" in problem
