"""A role's templates rendered by Ansible's own Templar, from the role's own defaults and variables."""

from __future__ import annotations

import sys
from functools import cache
from types import CodeType
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar, trust_as_template

from tests.support.collection import load_collections
from tests.support.role_variables import ROLES

# Look-ups and filters are found by their full names only after this.
load_collections()


def _keep_compiled_templates() -> None:
    """Compile each template once in a process: Ansible does so at every use, a third of the time of these tests."""
    environment = type(Templar(loader=DataLoader(), variables={}).environment)
    compile_ = environment.compile
    compiled: dict[tuple[object, ...], CodeType] = {}

    def compile_once(self: Any, source: Any, *args: Any, **kwargs: Any) -> Any:
        # How a backslash is read depends on where the template stands.
        if not isinstance(source, str) or "\\" in source or args or kwargs:
            return compile_(self, source, *args, **kwargs)
        key = (
            str(source),
            self.trim_blocks,
            self.lstrip_blocks,
            self.keep_trailing_newline,
            self.variable_start_string,
        )
        if key not in compiled:
            compiled[key] = compile_(self, source)
        return compiled[key]

    environment.compile = compile_once


def _share_variables() -> None:
    """Have the look-up `template` give the variables themselves: it copies all of them, to the last, for each file.

    That was two fifths of the time of these tests; a template cannot change a variable.
    """
    module = sys.modules[type(lookup_loader.get("ansible.builtin.template")).__module__]
    module.deepcopy = dict  # type: ignore[attr-defined]


_keep_compiled_templates()
_share_variables()


def templar(role: str, variables: dict[str, Any]) -> Templar:
    """Return a Templar that knows a role's defaults and internal variables, with `variables` over them."""
    loader = DataLoader()
    loader.set_basedir(str(ROLES / role))
    values = {**_own_variables(role), **variables, "ansible_search_path": [str(ROLES / role)]}
    return Templar(loader=loader, variables=values)


@cache
def _own_variables(role: str) -> dict[str, Any]:
    """Return a role's defaults and internal variables; nothing that a Templar does changes them."""
    loader = DataLoader()
    values: dict[str, Any] = {}
    for folder in ("defaults", "vars"):
        path = ROLES / role / folder / "main.yml"
        if path.is_file():
            values |= loader.load_from_file(str(path), cache="none", trusted_as_template=True)
    return values


def value(role: str, name: str, variables: dict[str, Any]) -> Any:
    """Return the value of one of a role's variables, templates and look-ups included."""
    return templar(role, variables).template(trust_as_template("{{ " + name + " }}"))
