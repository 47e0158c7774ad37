"""Options of ansible-playbook that would leave out a part of a playbook, and inventories without the instance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible import constants
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible_collections.slm.serving.plugins.callback.command_line import (
    inventory_problems,
    option_problems,
    with_localhost,
)

PLAYBOOK = Path("/clone/playbooks/deploy.yml")
NOTHING_GIVEN: dict[str, Any] = {"subset": None, "start_at_task": None, "tags": ("all",), "skip_tags": ()}


def test_a_plain_command_line_is_no_problem() -> None:
    assert option_problems(NOTHING_GIVEN) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"subset": "@instances.retry"}, "--limit takes the instances' ids"),
        ({"start_at_task": "Images"}, "--start-at-task leaves out"),
        ({"tags": ("images",)}, "--tags leaves out"),
        ({"tags": ("all", "never")}, "--tags leaves out"),
        ({"skip_tags": ("images",)}, "--skip-tags has no effect"),
    ],
)
def test_an_option_that_leaves_something_out_is_one(given: dict[str, Any], words: str) -> None:
    (problem,) = option_problems(NOTHING_GIVEN | given)
    assert words in problem


@pytest.mark.parametrize("limit", ["i-0123456789abcdef0", "i-1,i-2", "!i-1", "inference:!i-1"])
def test_a_limit_names_instances_and_is_no_problem(limit: str) -> None:
    assert option_problems(NOTHING_GIVEN | {"subset": limit}) == []


@pytest.mark.parametrize(
    ("limit", "left"),
    [
        ("i-1", {"localhost", "i-1"}),
        ("i-1,i-3", {"localhost", "i-1", "i-3"}),
        ("!i-1", {"localhost", "i-2", "i-3"}),
        ("inference:!i-1", {"localhost", "i-2", "i-3"}),
        ("localhost,i-2", {"localhost", "i-2"}),
    ],
)
def test_a_limit_always_leaves_the_controller(limit: str, left: set[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "INVENTORY_ENABLED", ["host_list"])
        inventory = InventoryManager(DataLoader(), sources=["i-1,i-2,i-3,"])
    inventory.add_group("inference")
    for name in ("i-1", "i-2", "i-3"):
        inventory.add_host(name, "inference")
    inventory.subset(with_localhost(limit))
    found = {host.name for pattern in ("localhost", "inference") for host in inventory.get_hosts(pattern)}
    assert found == left


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
