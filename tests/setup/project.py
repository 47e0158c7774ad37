"""A project of a few lines with the real `.ci/`, to run the set-up in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.package_index import Wheel

ROOT = Path(__file__).resolve().parents[2]

PYPROJECT = """\
[project]
name = "small"
version = "1"
requires-python = ">=3.12"
dependencies = ["alpha (>=1.0)", "later (>=1.0) ; python_version >= '3.99'"]

[project.optional-dependencies]
more = ["beta (>=1.0)"]

[tool.poetry]
package-mode = false

[tool.poetry.group.dev.dependencies]
gamma = ">=1.0"
"""
# `poetry lock` writes this hash of the above into poetry.lock, and Poetry takes no lock with another.
CONTENT_HASH = "395ace78254f095c1090e6def604319351f844b875ec7fe4abf7a36fe6f9249b"


@dataclass(frozen=True)
class Locked:
    """An entry of poetry.lock.

    Attributes:
        wheel: the package and its only file.
        group: the group that it belongs to.
        marker: where it is to be installed; empty for everywhere.
        needs: names of the packages that it depends on.
    """

    wheel: Wheel
    group: str = "main"
    marker: str = ""
    needs: Sequence[str] = ()

    def toml(self) -> str:
        """Return the entry as Poetry writes it."""
        lines = [
            "[[package]]",
            f"name = {json.dumps(self.wheel.name)}",
            f"version = {json.dumps(self.wheel.version)}",
            'description = ""',
            f"optional = {json.dumps('extra' in self.marker)}",
            'python-versions = "*"',
            f"groups = [{json.dumps(self.group)}]",
            *([f"markers = {json.dumps(self.marker)}"] if self.marker else []),
            f'files = [{{file = "{self.wheel.filename}", hash = "sha256:{self.wheel.sha256}"}}]',
            *(["", "[package.dependencies]"] if self.needs else []),
            *(f'{name} = "*"' for name in self.needs),
        ]
        return "\n".join(lines) + "\n\n"


class Project:
    """A folder that the set-up makes an environment in.

    Attributes:
        folder: where it lies.
        environment: the environment variables of the set-up, with none of this machine's settings of pip.
        log: where the set-up writes all that its steps print.
    """

    def __init__(self, folder: Path, virtualenv_data: Path) -> None:
        """Write the project, without a lock, and lend it this one's Poetry."""
        assert (ROOT / ".poetry/.installed").exists(), (
            "these tests use the Poetry that `.ci/setup` installs: run it first"
        )
        self.folder = folder
        shutil.copytree(ROOT / ".ci", folder / ".ci")
        (folder / "pyproject.toml").write_text(PYPROJECT)
        (folder / ".poetry").symlink_to(ROOT / ".poetry")
        self.log = folder / "build/setup.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHON": sys.executable,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_CACHE_DIR": str(folder / "cache"),
            "PIP_RETRIES": "0",
            "VIRTUALENV_OVERRIDE_APP_DATA": str(virtualenv_data),
        }

    def lock(self, *packages: Locked) -> None:
        """Write poetry.lock."""
        (self.folder / "poetry.lock").write_text(
            "".join(package.toml() for package in packages)
            + '[extras]\nmore = ["beta"]\n\n'
            + f'[metadata]\nlock-version = "2.1"\npython-versions = ">=3.12"\ncontent-hash = "{CONTENT_HASH}"\n'
        )

    def start_setup(self, **environment: str) -> subprocess.Popen[str]:
        """Start the set-up, in a group of processes of its own."""
        return subprocess.Popen(
            [self.folder / ".ci/setup"],
            cwd="/",
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def setup(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the set-up to its end."""
        process = self.start_setup(**environment)
        stdout, stderr = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def installed(self) -> dict[str, str]:
        """Return the version of each package of the environment, as its modules say themselves."""
        program = (
            "import importlib, importlib.metadata as m, json\n"
            "names = {d.name for d in m.distributions()} - {'pip'}\n"
            "print(json.dumps({name: importlib.import_module(name).VERSION for name in names}))"
        )
        python = self.folder / ".venv/bin/python"
        result = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        versions: dict[str, str] = json.loads(result.stdout)
        return versions
