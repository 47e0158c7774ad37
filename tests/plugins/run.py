"""Run a module of the collection: arguments in, JSON out."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any
from unittest import mock

from ansible.module_utils.testing import patch_module_args

from tests.support.collection import COLLECTIONS

PACKAGE = "ansible_collections.slm.serving.plugins.modules"
TIMEOUT_SECONDS = 120


def run_module(name: str, arguments: dict[str, Any], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run `plugins/modules/NAME.py` in this process, which costs no start of Python, and return its answer.

    Args:
        name: of the module, without its collection.
        arguments: the task's.
        environment: in place of this process's own.

    Raises:
        AssertionError: the module printed nothing.
    """
    module = importlib.import_module(f"{PACKAGE}.{name}")
    printed = io.StringIO()
    with (
        patch_module_args(arguments),
        mock.patch.dict(os.environ, environment or {}, clear=environment is not None),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        module.main()
    return _answer(printed.getvalue(), "")


def run_module_in_a_process(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run a module as Ansible does on the instance, in a process of its own, and return its answer."""
    result = subprocess.run(
        [sys.executable, "-m", f"{PACKAGE}.{name}"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
    )
    return _answer(result.stdout, result.stderr)


def _answer(printed: str, errors: str) -> dict[str, Any]:
    """Return what a module printed. Raises AssertionError when that is nothing."""
    assert printed, errors
    answer: dict[str, Any] = json.loads(printed)
    return answer
