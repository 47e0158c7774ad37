"""What a role knows is what it was given: facts go from role to role through playbooks and inventory only."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.role_variables import ROLES, ROOT, entry_points, load, role_names

PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
OWN_COLLECTION = "slm.serving."
# It goes on where an instance cannot be reached, and stops it all the same: systemd stops the stack on its way down.
GOES_ON = "Stop the containers, each when its running requests are done"
# They run on the controller, whatever host the play is for.
ON_THE_CONTROLLER = {
    "ansible.builtin.add_host",
    "ansible.builtin.assert",
    "ansible.builtin.debug",
    "ansible.builtin.fail",
    "ansible.builtin.import_role",
    "ansible.builtin.include_role",
    "ansible.builtin.include_tasks",
    "ansible.builtin.pause",
    "ansible.builtin.set_fact",
    "ansible.builtin.set_stats",
}
CONTROLLER_ROLES = {
    "adapter_gate",
    "controller",
    "deployment_lock",
    "ec2_instance",
    "infrastructure",
    "load_balancer",
    "scaling_group",
    "waker",
}


def tasks_of(content: Any) -> Iterator[dict[str, Any]]:
    """Yield every task of a tasks file or a playbook, those inside of blocks included."""
    for entry in content or []:
        sections = [entry[key] for key in ("tasks", "block", "rescue", "always") if key in entry]
        if not sections:
            yield entry
        for section in sections:
            yield from tasks_of(section)


@functools.cache
def role_tasks(role: str) -> list[dict[str, Any]]:
    """Return every task of a role."""
    return [task for path in sorted((ROLES / role / "tasks").glob("*.yml")) for task in tasks_of(load(path))]


def included(role: str) -> set[str]:
    """Return the roles that a role calls itself; what these answer is its own to read."""
    calls = [
        task.get("ansible.builtin.include_role") or task.get("ansible.builtin.import_role") for task in role_tasks(role)
    ]
    return {call["name"] for call in calls if call}


@functools.cache
def variables(role: str) -> set[str]:
    """Return the names of a role's variables and of the facts that it leaves behind."""
    options = {name for point in entry_points(role).values() for name in point}
    facts = {name for task in role_tasks(role) for name in task.get("ansible.builtin.set_fact", {})}
    return options | facts | {task["register"] for task in role_tasks(role) if "register" in task}


@pytest.mark.parametrize("role", role_names())
def test_a_role_reads_no_variable_of_another_role(role: str) -> None:
    others = [name for name in role_names() if name != role and name not in included(role)]
    foreign = {variable for other in others for variable in variables(other)}
    for folder in ("tasks", "templates", "vars", "defaults"):
        for path in sorted((ROLES / role / folder).glob("*")):
            # Not the name of a module's option, nor a variable that a message advises to set.
            names = set(re.findall(r"(?<![\w.])\w+(?![\w:=])", path.read_text(encoding="utf-8")))
            assert names & foreign == set(), path.relative_to(ROOT)


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_a_playbook_sets_no_fact_of_a_role(path: Any) -> None:
    facts = [name for task in tasks_of(load(path)) for name in task.get("ansible.builtin.set_fact", {})]
    assert [name for name in facts if any(name.startswith(f"{role}_") for role in role_names())] == []


@pytest.mark.parametrize("role", sorted(set(role_names()) - CONTROLLER_ROLES))
def test_a_lost_session_of_a_builtin_task_is_a_failure_too(role: str) -> None:
    """A module of the collection fails by itself (on_instance); a builtin one is UNREACHABLE, which skips rescue."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROLES / role / "tasks").glob("*.yml")))
    for task in role_tasks(role):
        builtin = [
            key for key in task if "." in key and not key.startswith(OWN_COLLECTION) and key not in ON_THE_CONTROLLER
        ]
        if not builtin or task.get("delegate_to") == "localhost" or task["name"] == GOES_ON:
            continue
        assert task.get("ignore_unreachable") is True, task["name"]
        assert task.get("register"), f"{task['name']} registers nothing"
        assert re.search(rf"{task['register']}( is unreachable|[\],])", text), (
            f"{task['name']}: nobody asks whether it was reached"
        )


def test_every_module_of_the_instance_goes_through_on_instance() -> None:
    routing = load(ROOT / "meta/runtime.yml")["plugin_routing"]["modules"]
    for role in sorted(set(role_names()) - CONTROLLER_ROLES):
        for task in role_tasks(role):
            for key in task:
                name = key.removeprefix(OWN_COLLECTION)
                if (
                    name != key
                    and task.get("delegate_to") != "localhost"
                    and not (ROOT / f"plugins/action/{name}.py").exists()
                ):
                    assert routing[name] == {"action_plugin": f"{OWN_COLLECTION}on_instance"}, task["name"]


def test_no_play_goes_on_with_an_instance_that_cannot_be_reached() -> None:
    for path in PLAYBOOKS:
        assert "ignore_unreachable" not in path.read_text(encoding="utf-8"), path.name
