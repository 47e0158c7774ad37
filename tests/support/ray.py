"""The environment with Ray Serve LLM and the CPU engine, which `.ci/ray-env` makes."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".ray-venv/bin/python"
_SECONDS = 1800


def environment() -> Path:
    """Make the environment, or see that it is there, and return its Python.

    Raises:
        RuntimeError: it could not be made; the text says why.
    """
    lock = ROOT / "build/ray-env.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # Two tests may want it at once.
        made = subprocess.run([ROOT / ".ci/ray-env"], stderr=subprocess.PIPE, text=True, check=False, timeout=_SECONDS)
    if made.returncode:
        raise RuntimeError(made.stderr)
    return PYTHON
