"""llama.cpp for tests: the environment with its server, and the small model as the file that it reads."""

from __future__ import annotations

import fcntl
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".llamacpp-venv/bin/python"
SMALL = ROOT / "models/small"
TIMEOUT_SECONDS = 900
# What the package index has a wheel of the server for: docker/llamacpp/requirements.in.
MACHINES = ("x86_64", "aarch64")


def environment() -> Path:
    """Make the environment, or see that it is there, and return its Python; skip where there is no wheel for it."""
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        pytest.skip(f"there is no wheel of llama.cpp's server for {sys.platform} on {platform.machine()}")
    lock = ROOT / "build/llamacpp-env.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        command = [ROOT / ".ci/llamacpp-env"]
        made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    assert made.returncode == 0, made.stderr
    return PYTHON


def write_gguf(out: Path, kind: str = "f16") -> None:
    """Write the small model with its adapter as one file of a type."""
    command: list[str | Path] = [environment(), "-m", "training", "gguf"]
    command += ["--base", SMALL / "base", "--adapter", SMALL / "adapter", "--type", kind, "--out", out]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    assert made.returncode == 0, made.stderr
