"""Runs parliament, which lints a policy, in a process of its own: its import warns, and leaves files open.

As a program it reads policies by name, as JSON, from standard input and writes the findings of each.
"""

from __future__ import annotations

import importlib
import importlib.resources
import json
import subprocess
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from tests.local_region import names

TIMEOUT_SECONDS = 120


def findings(documents: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return what is wrong with each policy: the kind, with the action or the condition that it is about."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.policies.linter"],
        cwd=names.REPOSITORY_ROOT,
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert result.returncode == 0, result.stderr
    return {name: set(found) for name, found in json.loads(result.stdout).items()}


def _lint(document: Any, parliament: Any) -> list[str]:
    found = parliament.analyze_policy_string(json.dumps(document)).findings
    return sorted({f"{each.issue} {subject}" for each in found for subject in _subjects(each.detail)})


def _subjects(detail: Any) -> set[str]:
    if isinstance(detail, list):
        return {str(each["action"]) if isinstance(each, dict) else str(each) for each in detail}
    return {next((word for word in str(detail).split() if ":" in word), str(detail))}


def main() -> int:
    """Write the findings of the policies on standard input."""
    # parliament 1.6.4 asks for pkg_resources, which setuptools no longer brings, and takes two paths from it.
    resources: Any = ModuleType("pkg_resources")
    resources.resource_filename = lambda package, name: str(importlib.resources.files(package) / name)
    sys.modules.setdefault("pkg_resources", resources)
    parliament: Any = importlib.import_module("parliament")
    documents = json.load(sys.stdin)
    json.dump({name: _lint(document, parliament) for name, document in documents.items()}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
