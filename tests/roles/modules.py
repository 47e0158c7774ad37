"""Runs a role's module as Ansible does on the instance: arguments in, JSON out, what modules share within reach."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import ansible.module_utils

from tests.roles.variables import ROLES

TIMEOUT_SECONDS = 120
# On the instance, Ansible packs what a module imports with it.
START = """
import runpy, sys, ansible.module_utils
_, shared, module = sys.argv
sys.argv = [module]
ansible.module_utils.__path__.append(shared)
runpy.run_path(module, run_name="__main__")
"""


def load_shared(name: str) -> ModuleType:
    """Return what the modules on the instance share, `ansible.module_utils.NAME`, for a test of its functions."""
    shared = str(ROLES / "instance_modules/module_utils")
    if shared not in ansible.module_utils.__path__:
        ansible.module_utils.__path__.append(shared)
    return importlib.import_module(f"ansible.module_utils.{name}")


def load_module(role: str, name: str) -> ModuleType:
    """Return `roles/ROLE/library/NAME.py` as a Python module, for a test of its functions."""
    load_shared("slm_models")
    path = ROLES / role / "library" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(f"{role}_{name}", path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def run_module(
    role: str, name: str, arguments: dict[str, Any], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run `roles/ROLE/library/NAME.py` and return what it answers.

    environment: in place of this process's own. Raises AssertionError when the module does not answer.
    """
    shared, module = ROLES / "instance_modules/module_utils", ROLES / role / "library" / f"{name}.py"
    result = subprocess.run(
        [sys.executable, "-c", START, shared, module],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
        env=None if environment is None else dict(environment),
    )
    assert result.stdout, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer
