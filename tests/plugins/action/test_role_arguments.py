"""The variables of all roles are checked before the first role begins, so that a late one's cannot undo a release."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible import constants
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager
from ansible_collections.slm.serving.plugins.action.role_arguments import ActionModule, refused, specified

ROOT = Path(__file__).resolve().parents[3]
OPTIONS = {name: option for _, name, option in specified()}
SETTINGS = {"s3/transfer-bucket": "bucket", "images/engine-tag": "v1", "model/base": "s3://models/base"}
# What the role `controller` leaves; what other roles find out is not there yet.
FACTS = {
    "controller_settings": SETTINGS, "controller_region": "eu-central-1", "controller_instance": "i-1",
    "controller_caller": "arn", "controller_stamp": "20260101T000000Z",
}  # fmt: skip


def said(folder: Path, **extra: Any) -> dict[str, Any]:
    """Return the answer for the inventory's own variables, with `extra` over them as `-e` would put it."""
    (folder / "inventory").mkdir()
    (folder / "inventory/group_vars").symlink_to(ROOT / "inventory/group_vars")
    (folder / "gateway").symlink_to(ROOT / "gateway")
    groups = {"hosts": {"localhost": FACTS}, "children": {"inference": {"hosts": {"i-1": {}}}}}
    (folder / "inventory/hosts.yml").write_text(yaml.safe_dump({"all": groups}))
    loader = DataLoader()
    with pytest.MonkeyPatch.context() as patch:
        # The repository's own configuration has no inventories in files.
        patch.setattr(constants, "INVENTORY_ENABLED", ["yaml"])
        inventory = InventoryManager(loader, sources=[str(folder / "inventory/hosts.yml")])
    variables = VariableManager(loader, inventory)
    variables._extra_vars = {
        name: trust_as_template(value) if isinstance(value, str) else value for name, value in extra.items()
    }
    action = ActionModule(
        task=SimpleNamespace(args={"host": "i-1"}, async_val=0, check_mode=False),
        connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir="")),
        play_context=None,
        loader=loader,
        templar=Templar(loader=loader),
    )
    answer: dict[str, Any] = action.run(task_vars={"hostvars": HostVars(inventory, variables, loader)})
    return answer


def test_the_inventorys_own_variables_are_right(tmp_path: Path) -> None:
    answer = said(tmp_path)
    assert answer["problems"] == []
    assert int(answer["msg"].split()[0]) > 20, "they were looked at"


def test_every_value_that_a_role_would_refuse_is_named_at_once(tmp_path: Path) -> None:
    """Whatever the role, and the last one of the playbook too."""
    answer = said(
        tmp_path,
        release_keep_good="abc",
        health_verification_wait="soon",
        inference_stack_accelerator="tpu",
        inference_stack_engine_options="max-num-seqs=4",
        # Not a role's own, but part of what one is given.
        health_verification_minimum="most",
        rollback_timeout="{{ what_a_role_is_yet_to_find_out }}",
        release_keep_failed="7",
    )
    assert answer["failed"] is True
    named = {problem.partition(",")[0] for problem in answer["problems"]}
    assert named == {
        "release_keep_good",
        "health_verification_wait",
        "inference_stack_accelerator",
        "inference_stack_engine_options",
        # The role preflight is given the same.
        "preflight_engine_options",
        "inference_stack_verification",
    }
    assert answer["msg"].startswith("Nothing was touched. ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("release_keep_good", 3),
        ("release_keep_good", "3"),
        ("release_failed", "no"),
        ("inference_stack_accelerator", "cpu"),
        ("inference_stack_engine_options", {}),
        ("inference_stack_engine_memory", ""),
        ("secrets_list", [{"name": "a", "parameter": "b", "path": "c"}]),
        ("inference_stack_verification", {"adapters": ["a"], "gateway_port": "8080", "golden": [], "minimum": "12"}),
        ("release_stamp", None),
    ],
)
def test_what_a_role_takes_is_not_refused(name: str, value: Any) -> None:
    assert refused(name, OPTIONS[name], value) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("release_keep_good", "3 releases"),
        ("release_keep_good", 1.5),
        ("release_keep_good", [3]),
        ("release_failed", "maybe"),
        ("inference_stack_accelerator", "GPU"),
        ("inference_stack_engine_options", "a=b"),
        ("inference_stack_engine_options", ["a"]),
        ("secrets_list", "a,b"),
        ("secrets_list", [{"name": "a"}]),
        ("inference_stack_verification", {"minimum": "12 of 14"}),
    ],
)
def test_what_a_role_refuses_is_refused(name: str, value: Any) -> None:
    [problem] = refused(name, OPTIONS[name], value)
    assert problem
