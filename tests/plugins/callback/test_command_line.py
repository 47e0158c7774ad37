"""Options of ansible-playbook that would leave out a part of a playbook, and inventories without the instance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.callback.command_line import inventory_problems, option_problems

PLAYBOOK = Path("/clone/playbooks/deploy.yml")
NOTHING_GIVEN: dict[str, Any] = {"subset": None, "start_at_task": None, "tags": ("all",), "skip_tags": ()}


def test_a_plain_command_line_is_no_problem() -> None:
    assert option_problems(NOTHING_GIVEN) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"subset": "inference"}, "--limit leaves out"),
        ({"subset": "i-0123456789abcdef0"}, "-e ec2_instance_id="),
        ({"start_at_task": "Images"}, "--start-at-task leaves out"),
        ({"tags": ("images",)}, "--tags leaves out"),
        ({"tags": ("all", "never")}, "--tags leaves out"),
        ({"skip_tags": ("images",)}, "--skip-tags has no effect"),
    ],
)
def test_an_option_that_leaves_something_out_is_one(given: dict[str, Any], words: str) -> None:
    (problem,) = option_problems(NOTHING_GIVEN | given)
    assert words in problem


@pytest.mark.parametrize(
    "sources",
    [("/clone/inventory/aws_ec2.yml",), ("/clone/inventory",), ("/elsewhere", "/clone/inventory/aws_ec2.yml")],
)
def test_the_repositorys_inventory_is_no_problem(sources: tuple[str, ...]) -> None:
    assert inventory_problems(sources, PLAYBOOK) == []


@pytest.mark.parametrize("sources", [("i-0123456789abcdef0,",), ("/etc/ansible/hosts",), ("/clone/inventory,",), ()])
def test_another_inventory_is_one(sources: tuple[str, ...]) -> None:
    (problem,) = inventory_problems(sources, PLAYBOOK)
    assert "/clone/inventory/aws_ec2.yml" in problem
    assert "ANSIBLE_INVENTORY unset" in problem
