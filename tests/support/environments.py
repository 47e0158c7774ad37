"""Programs from PyPI that pin what this project has in other versions: each in an environment of its own.

Made at the first use from a file of hashes, kept in the user's cache, and made anew when the file changes.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import venv
from pathlib import Path

CACHE = Path.home() / ".cache" / "slm-ft-serving"


def programs(requirements: Path, environment: Path) -> Path:
    """Return the folder of an environment's programs; the environment is made where it is missing or outdated.

    Args:
        requirements: All packages with versions and hashes.
        environment: Where it is, or will be.
    """
    environment.parent.mkdir(parents=True, exist_ok=True)
    installed = environment / "installed.txt"
    with environment.with_name(f"{environment.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Two tests may want it at once.
        if not installed.exists() or installed.read_bytes() != requirements.read_bytes():
            sys.stderr.write(f"installing {requirements.stem} into {environment}\n")
            venv.create(environment, with_pip=True, clear=True)
            python = environment / "bin" / "python"
            options: list[str | Path] = ["--quiet", "--no-deps", "--require-hashes", "-r", requirements]
            subprocess.run([python, "-m", "pip", "install", *options], check=True)
            installed.write_bytes(requirements.read_bytes())
    return environment / "bin"
