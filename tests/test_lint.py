"""Every linter of the project is a test, so that one pytest run and one summary say everything."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHELL = re.compile(rb"#!.*\b(ba)?sh\b")
FOLDERS_WITH_SCRIPTS = (".ci", "docker", "roles", "tests")


def shell_scripts() -> list[str]:
    """Return every shell script of the project, by its first line."""
    files = (path for folder in FOLDERS_WITH_SCRIPTS for path in (ROOT / folder).rglob("*") if path.is_file())
    return sorted(str(path) for path in files if SHELL.match(path.read_bytes()))


def dockerfiles() -> list[str]:
    """Return every Dockerfile of the project."""
    files = [path for folder in ("docker", "tests") for path in (ROOT / folder).rglob("Dockerfile*")]
    return sorted(str(path) for path in files if path.suffix != ".dockerignore")


SCRIPTS = sorted(
    str(path)
    for pattern in ("roles/*/files/*.py", "charts/*/files/*.py")
    for path in ROOT.glob(pattern)
    if not path.is_symlink()
)
LINTERS = {
    "ruff": ["ruff", "check"],
    "ruff-format": ["ruff", "format", "--check"],
    "mypy": ["mypy", "--no-error-summary"],
    # Scripts of roles and of the chart that run by themselves, in no package.
    "mypy-scripts": ["mypy", "--no-error-summary", *SCRIPTS],
    "yamllint": ["yamllint", "--strict", "."],
    # --offline: the collections come with the ansible package; nothing is fetched from Galaxy.
    "ansible-lint": ["ansible-lint", "--offline"],
    # SC1091: what a script reads on the machine where it runs is not there to be looked at.
    "shellcheck": ["shellcheck", "--exclude", "SC1091", *shell_scripts()],
    "hadolint": ["hadolint", *dockerfiles()],
    # --offline: what can be found without asking GitHub.
    "zizmor": ["zizmor", "--offline", "--no-progress", "--quiet", ".github"],
    "actionlint": [".ci/actionlint"],
}


@pytest.mark.parametrize(
    "linter", [pytest.param(name, marks=pytest.mark.slow) if name == "ansible-lint" else name for name in LINTERS]
)
def test_lint(linter: str) -> None:
    """The linter finds nothing; its findings are the failure's message."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        LINTERS[linter],
        cwd=ROOT,
        # ansible-lint has Ansible check the syntax of each playbook and role: the repository's own inventory would have
        # each of these processes load boto3 and ask AWS for an instance.
        env={**os.environ, "PATH": path, "NO_COLOR": "1", "ANSIBLE_INVENTORY": os.devnull},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert result.returncode == 0, f"{' '.join(LINTERS[linter])}\n{result.stdout}{result.stderr}"
