"""When an instance leaves the pool of engines and enters it again, and who its members are."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.support import caddy
from tests.support.rendering import value
from tests.support.role_variables import ROOT, load

ALONE, OPEN, BACK = ("engine_pool", "alone"), ("engine_pool", "open"), ("engine_pool", "back")


def roles(tasks: list[dict[str, Any]], part: str = "block") -> Iterator[tuple[str, str]]:
    """Yield role and entry point of each task, in their order, without what a rescue or an always does."""
    for task in tasks:
        if part in task:
            yield from roles(task[part])
        for kind in ("ansible.builtin.include_role", "ansible.builtin.import_role"):
            if kind in task:
                yield task[kind]["name"], task[kind].get("tasks_from", "main")


def play(name: str, number: int) -> list[dict[str, Any]]:
    """Return the tasks of a play."""
    tasks: list[dict[str, Any]] = load(ROOT / "playbooks" / f"{name}.yml")[number]["tasks"]
    return tasks


@pytest.mark.parametrize("name", ["deploy", "rollback"])
def test_a_release_is_judged_by_its_own_engine(name: str) -> None:
    tasks = play(name, 2)
    order = list(roles(tasks))
    judged = [("release", "activate"), ("health_verification", "main"), ("release", "accept")]
    steps = [("load_balancer", "out"), ALONE, *judged, OPEN]
    assert [step for step in order if step in steps] == steps
    (whole,) = (task for task in tasks if "rescue" in task)
    # Before the load balancer sends requests again, and after what served is back.
    always = list(roles(whole["always"]))
    assert always.index(BACK) < always.index(("load_balancer", "back"))


def test_an_instance_leaves_before_it_stops_and_enters_once_it_serves() -> None:
    stop = list(roles(play("stop", 1)))
    assert stop.index(ALONE) < stop.index(("inference_stack", "stop"))
    start = list(roles(play("start", 1)))
    assert start.index(("health_verification", "main")) < start.index(OPEN) < start.index(("load_balancer", "main"))


@pytest.mark.parametrize("name", ["deploy", "rollback", "stop", "start"])
def test_nothing_is_done_where_engines_are_not_pooled(name: str) -> None:
    text = (ROOT / "playbooks" / f"{name}.yml").read_text(encoding="utf-8")
    tasks = [part for part in text.split("\n\n") if "name: engine_pool" in part]
    assert len(tasks) == {"deploy": 3, "rollback": 3}.get(name, 1)
    assert [part for part in tasks if "stack_engine_pool.pooled" not in part.partition("when:")[2]] == []


def test_members_are_the_other_instances_whether_they_run_or_not() -> None:
    variables = {
        "groups": {"inference": ["i-1", "i-2", "i-3", "i-4"]},
        "inventory_hostname": "i-2",
        # What is just being made may have no address yet.
        "hostvars": {f"i-{number}": {"aws_private_ip_address": f"10.0.0.{number}"} for number in (1, 2, 3)}
        | {"i-4": {}},
    }
    expression = load(ROOT / "inventory/group_vars/inference.yml")["engine_pool_members"]
    found = Templar(loader=DataLoader(), variables=variables).template(trust_as_template(expression))
    assert sorted(found) == ["10.0.0.1", "10.0.0.3"]


def test_the_routers_log_is_shipped_where_there_is_one() -> None:
    services = [
        list(value("cloudwatch", "_cloudwatch_services", {"cloudwatch_pooled": pooled})) for pooled in (False, True)
    ]
    assert services == [["gateway", "engine"], ["gateway", "engine", "router"]]


@pytest.mark.parametrize("state", ["open", "alone"])
def test_caddy_takes_the_file(state: str, tmp_path: Path) -> None:
    """Without a warning; whether the certificate is there is seen at its start."""
    variables = {"_engine_pool_state": state, "engine_pool_members": ["10.0.0.2", "10.0.0.3"]}
    file = tmp_path / "Caddyfile"
    file.write_text(value("engine_pool", "_engine_pool_caddyfile", variables), encoding="utf-8")
    command = [caddy.program(), "adapt", "--config", str(file), "--adapter", "caddyfile"]
    environment = {"HOME": str(tmp_path), "ENGINE_KEY": "0123456789abcdef"}
    result = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    assert "warn" not in result.stderr
    content = json.loads(result.stdout)
    assert content["admin"]["disabled"] is True
    listened = {address for each in content["apps"]["http"]["servers"].values() for address in each["listen"]}
    ways = {"127.0.0.1:9001", "127.0.0.1:9002"} if state == "open" else set()
    assert listened == {"engines:8000", ":8443", "127.0.0.1:8180", *ways}
