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
