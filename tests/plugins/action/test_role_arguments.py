"""The variables of all roles are checked before the first role begins, so that a late one's cannot undo a release."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slm.serving.plugins.action.role_arguments import refused, specified

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
OPTIONS = {name: option for _, name, option in specified()}
SETTINGS = {"s3/transfer-bucket": "bucket", "images/engine-tag": "v1", "model/base": "s3://models/base"}
# What the role `controller` leaves; what other roles find out is not there yet.
FACTS = {
    "controller_settings": SETTINGS, "controller_region": "eu-central-1", "controller_instance": "i-1",
    "controller_caller": "arn", "controller_stamp": "20260101T000000Z",
}  # fmt: skip


def said(folder: Path, **extra: Any) -> dict[str, Any]:
    """Return the answer for the inventory's own variables, with `-e` over them."""
    (folder / "inventory").mkdir()
    (folder / "inventory/group_vars").symlink_to(ROOT / "inventory/group_vars")
    (folder / "gateway").symlink_to(ROOT / "gateway")
    hosts = {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **FACTS}}
    groups = {"hosts": hosts, "children": {"inference": {"hosts": {"i-1": {}}}}}
    (folder / "inventory/hosts.yml").write_text(yaml.safe_dump({"all": groups}))
    check = {"slm.serving.role_arguments": {"host": "i-1"}, "register": "answer", "ignore_errors": True}
    show = {"ansible.builtin.copy": {"content": "{{ answer | to_json }}", "dest": f"{folder}/answer", "mode": "0600"}}
    tasks = [{"name": "Check", **check}, {"name": "Show", **show}]
    play = {"name": "Check", "hosts": "localhost", "gather_facts": False, "tasks": tasks}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    arguments: list[str | Path] = ["-i", folder / "inventory/hosts.yml", "-e", json.dumps(extra), folder / "play.yml"]
    result = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), *arguments],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_INVENTORY_ENABLED": "yaml", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    answer: dict[str, Any] = json.loads((folder / "answer").read_text())
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
