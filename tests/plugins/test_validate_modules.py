"""Modules and filters pass ansible-test's `validate-modules`, and their examples are tasks that Ansible would accept.

`ansible-test sanity` itself asks for a copy of the collection in a folder ansible_collections and for a virtual
environment of its own; the program behind it needs neither.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.plugins.loader import fragment_loader
from ansible.utils.plugin_docs import get_docstring

from tests.support.collection import COLLECTIONS

COLLECTION = Path("ansible_collections/slm/serving")
FOLDER = COLLECTIONS / COLLECTION
EXEMPT = {"missing-gplv3-license"}  # Galaxy asks for it; this project is under the MIT licence.
# A module that is an action plugin alone is documented in a YAML file.
MODULES = {path.stem: path for path in sorted((FOLDER / "plugins/modules").glob("*")) if path.suffix in {".py", ".yml"}}
FILTERS = sorted(path.stem for path in (FOLDER / "plugins/filter").glob("*.yml"))
ACTIONS = sorted(path.stem for path in (FOLDER / "plugins/action").glob("*.py"))


def validate(kind: str, *paths: str) -> dict[str, list[str]]:
    """Return the findings by the plugin's name; a plugin without any is left out."""
    package = find_spec("ansible_test")
    assert package is not None
    assert package.origin is not None
    program = Path(package.origin).parent / "_util/controller/sanity/validate-modules/validate.py"
    options = ["--format", "json", "--arg-spec", "--collection", str(COLLECTION), "--plugin-type", kind]
    result = subprocess.run(
        [sys.executable, program, *options, *paths],
        cwd=FOLDER,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "PYTHONPATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode in {0, 3}, result.stdout + result.stderr
    findings = {
        Path(path).stem: [f"{each['code']}: {each['msg']}" for each in report["errors"] if each["code"] not in EXEMPT]
        for path, report in json.loads(result.stdout).items()
    }
    return {name: lines for name, lines in findings.items() if lines}


@pytest.fixture(scope="module")
def module_findings() -> dict[str, list[str]]:
    return validate("module", "plugins/modules")


@pytest.fixture(scope="module")
def filter_findings() -> dict[str, list[str]]:
    return validate("filter", *(f"plugins/filter/{name}.yml" for name in FILTERS))


@pytest.mark.parametrize("name", MODULES)
def test_module_is_valid(name: str, module_findings: dict[str, list[str]]) -> None:
    assert name not in module_findings, "\n".join(module_findings[name])


@pytest.mark.parametrize("name", FILTERS)
def test_filter_is_valid(name: str, filter_findings: dict[str, list[str]]) -> None:
    assert name not in filter_findings, "\n".join(filter_findings[name])


def test_every_filter_has_a_file_with_its_documentation() -> None:
    modules = [
        import_module(f"ansible_collections.slm.serving.plugins.filter.{path.stem}")
        for path in (FOLDER / "plugins/filter").glob("*.py")
    ]
    assert sorted(name for module in modules for name in module.FilterModule().filters()) == FILTERS


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_tasks_with_the_documented_options(name: str) -> None:
    documentation, examples, _, _ = get_docstring(
        str(MODULES[name]), fragment_loader, collection_name="slm.serving", plugin_type="module"
    )
    assert examples
    options: dict[str, Any] = documentation.get("options", {})
    tasks = [task for task in yaml.safe_load(examples) if f"slm.serving.{name}" in task]
    assert tasks
    for task in tasks:
        arguments = task[f"slm.serving.{name}"] or {}
        assert task["name"]
        assert set(arguments) <= set(options)
        assert {option for option, about in options.items() if about.get("required")} <= set(arguments)
        for option, value in arguments.items():
            for each in value if isinstance(value, list) else [value]:
                assert each in options[option].get("choices", [each])


@pytest.mark.parametrize("name", ACTIONS)
def test_action_is_documented_where_ansible_doc_looks(name: str) -> None:
    """Either by a module of its name, or it serves modules that `meta/runtime.yml` names."""
    routing = yaml.safe_load((FOLDER / "meta/runtime.yml").read_text(encoding="utf-8")).get("plugin_routing", {})
    routed = {route.get("action_plugin") for route in routing.get("modules", {}).values()}
    assert name in MODULES or f"slm.serving.{name}" in routed
