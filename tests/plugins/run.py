"""Run a module of the collection as Ansible does on the instance: arguments in, JSON out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from tests.support.collection import COLLECTIONS

TIMEOUT_SECONDS = 120


def run_module(name: str, arguments: dict[str, Any], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run `plugins/modules/NAME.py` in a process of its own and return its answer.

    Args:
        name: of the module, without its collection.
        arguments: the task's.
        environment: in place of this process's own.

    Raises:
        AssertionError: the module printed nothing.
    """
    result = subprocess.run(
        [sys.executable, "-m", f"ansible_collections.slm.serving.plugins.modules.{name}"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
        env={**(os.environ if environment is None else environment), "PYTHONPATH": str(COLLECTIONS)},
    )
    assert result.stdout, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer
