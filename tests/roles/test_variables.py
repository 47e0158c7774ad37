"""Defaults, argument_specs and READMEs of the roles say the same."""

import re

import pytest

from tests.support.role_variables import ROLES, defaults, entry_points, load, role_names, with_table


@pytest.mark.parametrize("role", role_names())
def test_defaults_equal_the_specification(role: str) -> None:
    specified = {name: option for options in entry_points(role).values() for name, option in options.items()}
    with_default = {name: option["default"] for name, option in specified.items() if "default" in option}
    assert defaults(role) == with_default


@pytest.mark.parametrize("role", role_names())
def test_every_variable_is_described_and_either_required_or_has_a_default(role: str) -> None:
    for options in entry_points(role).values():
        for name, option in options.items():
            assert option["description"], name
            assert option.get("required", False) != ("default" in option), name


@pytest.mark.parametrize("role", role_names())
def test_variables_bear_the_roles_name(role: str) -> None:
    for options in entry_points(role).values():
        assert [name for name in options if not name.startswith(f"{role}_")] == []
    internal = load(ROLES / role / "vars/main.yml")
    assert [name for name in internal if not name.startswith(f"_{role}_")] == []


@pytest.mark.parametrize("role", role_names())
def test_every_variable_is_used(role: str) -> None:
    files = [path for folder in ("tasks", "templates", "vars") for path in (ROLES / role / folder).glob("*")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    for options in entry_points(role).values():
        assert [name for name in options if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("role", role_names())
def test_readme_has_the_table_of_the_specification(role: str) -> None:
    readme = (ROLES / role / "README.md").read_text(encoding="utf-8")
    assert readme == with_table(role, readme), "run `python -m tests.support.role_variables`"


@pytest.mark.parametrize("role", role_names())
def test_every_entry_point_has_its_tasks(role: str) -> None:
    for name in entry_points(role):
        assert (ROLES / role / "tasks" / f"{name}.yml").is_file()


def remote_tasks(tasks: list[dict[str, object]]) -> list[tuple[str, str]]:
    """Return name and registered variable of the tasks that open a session."""
    local = {
        "ansible.builtin.fail",
        "ansible.builtin.set_fact",
        "ansible.builtin.debug",
        "ansible.builtin.include_tasks",
    }
    local |= {"ansible.builtin.include_role", "ansible.builtin.pause", "block"}
    remote = [task for task in tasks if not local & task.keys() and task.get("delegate_to") != "localhost"]
    return [(str(task["name"]), str(task.get("register", ""))) for task in remote]


@pytest.mark.parametrize(
    "role", [role for role in role_names() if role not in {"controller", "ec2_instance", "infrastructure"}]
)
def test_every_remote_task_is_followed_by_a_check_that_the_instance_was_reached(role: str) -> None:
    """Without it a lost session would be passed over, as deploy.yml ignores UNREACHABLE so that rescue can run."""
    for path in (ROLES / role / "tasks").glob("*.yml"):
        if path.stem in {"resolve", "stop"}:  # On the controller; and stop goes on on purpose.
            continue
        text = path.read_text(encoding="utf-8")
        for name, variable in remote_tasks(load(path)):
            assert variable, f"{path.name}: {name} registers nothing"
            handed_on = variable.startswith(f"{role}_found")
            assert (
                f"{variable} is unreachable" in text or handed_on or f"{variable}]" in text or f"{variable}," in text
            ), name
