"""Check the variables of all roles by the roles' own specifications, before the first of them does anything.

Ansible checks a role's variables when the role begins. A value that only a late role refuses would then undo what the
earlier ones have done, down to a release that serves and was verified.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

STRUCTURES = {"dict": "{...}", "list": "[...]"}
# libyaml's where PyYAML was built with it: nine times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ROLES = Path(__file__).resolve().parents[2] / "roles"


class ActionModule(ActionBase):  # type: ignore[misc] # ansible ships no types
    """The action `role_arguments`; plugins/modules/role_arguments.py documents its options and its result."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check every variable that is there and can be known by now."""
        super().run(tmp, task_vars)
        hostvars = (task_vars or {})["hostvars"]
        # The host's own variables look at those of others.
        variables = {**hostvars.raw_get(self._task.args["host"]), "hostvars": hostvars}
        templar = self._templar.copy_with_new_env(available_variables=variables)
        checked, problems = 0, []
        for role, name, option in specified():
            if name not in variables:
                continue
            try:
                value = templar.template(variables[name])
            except AnsibleError:
                continue  # It depends on what a role is yet to find out.
            checked += 1
            problems += [f"{name}, a variable of the role {role}: {said}" for said in refused(name, option, value)]
        if problems:
            return {"failed": True, "problems": problems, "msg": "Nothing was touched. " + "\n".join(problems)}
        return {"changed": False, "problems": [], "msg": f"{checked} variables are as their roles expect them"}


def specified() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield role, name and specification of every role's variables, each name once."""
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        points = yaml.load(path.read_text(encoding="utf-8"), LOADER)["argument_specs"]  # noqa: S506
        options = {name: option for point in points.values() for name, option in (point.get("options") or {}).items()}
        for name, option in options.items():
            yield path.parents[1].name, name, option


def refused(name: str, option: Mapping[str, Any], value: Any) -> list[str]:
    """Return what a specification has against a value.

    Args:
        name: of the variable.
        option: its specification.
        value: its value.
    """
    if value is None:
        return []  # As Ansible does at the role: a value that is not there is not checked.
    if option["type"] in STRUCTURES and isinstance(value, str):
        # The check below would take `a=1` for a dict and `a,b` for a list; the role gets the text as it is.
        given = f'{{"{name}": {STRUCTURES[option["type"]]}}}'
        return [f"a {option['type']} is expected, not a text: give it as -e '{given}'"]
    alone = {key: content for key, content in option.items() if key not in {"default", "required"}}
    messages: list[str] = ArgumentSpecValidator({name: alone}).validate({name: value}).error_messages
    return messages
