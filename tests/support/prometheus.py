"""Prometheus's own programs: those on PATH, else those of Debian's package, unpacked and not installed."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.local_region.names import REPOSITORY_ROOT

FOLDER = REPOSITORY_ROOT / "build" / "prometheus"
DOWNLOAD = ["apt-get", "download", "-q", "prometheus"]


def program(name: str) -> str:
    """Return the path of `prometheus` or `promtool`; skip the test on machines that have neither them nor apt.

    Raises:
        CalledProcessError: The package could not be fetched or unpacked.
    """
    found = shutil.which(name)
    if found is not None:
        return found
    unpacked = FOLDER / "usr/bin" / name
    if not unpacked.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            pytest.skip(f"{name} is not on PATH: install Prometheus to run this test")
        _unpack()
    return str(unpacked)


def _unpack() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(DOWNLOAD, cwd=FOLDER, capture_output=True, check=False)
    if fetched.returncode != 0:
        # The lists of a fresh machine are empty; only root may fetch them.
        if os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
        subprocess.run(DOWNLOAD, cwd=FOLDER, capture_output=True, check=True)
    package = max(FOLDER.glob("prometheus_*.deb"), key=lambda path: path.stat().st_mtime)
    subprocess.run(["dpkg-deb", "--extract", package, FOLDER], capture_output=True, check=True)
    package.unlink()
