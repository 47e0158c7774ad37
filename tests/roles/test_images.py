"""Which images a run takes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.local_region.names import REPOSITORY_ROOT
from tests.support.rendering import value

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SETTINGS = {"images/engine-tag": "v1", "images/gateway-tag": "v2"}


def tags(**variables: Any) -> dict[str, str]:
    """Return the tags of the images, by the inventory's own variables."""
    inventory = yaml.safe_load((REPOSITORY_ROOT / "inventory/group_vars/all.yml").read_text(encoding="utf-8"))
    known = {"stack_settings": SETTINGS, "stack_revision": inventory["stack_revision"], **variables}
    names = ("engine", "gateway", "trainer")
    expressions = {
        name: inventory[f"images_{name}_tag"].strip().removeprefix("{{").removesuffix("}}") for name in names
    }
    return {name: value("images", expression, known) for name, expression in expressions.items()}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"engine": "v1", "gateway": "v2", "trainer": ""}),
        ({"stack_revision": ""}, {"engine": "v1", "gateway": "v2", "trainer": ""}),
        ({"stack_revision": COMMIT}, dict.fromkeys(("engine", "gateway", "trainer"), COMMIT)),
        ({"stack_revision": COMMIT, "stack_settings": {}}, dict.fromkeys(("engine", "gateway", "trainer"), COMMIT)),
    ],
)
def test_a_commit_stands_for_the_tags_of_all_images(given: dict[str, Any], expected: dict[str, str]) -> None:
    assert tags(**given) == expected
