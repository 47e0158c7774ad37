"""The repository as a collection: wherever a clone lies, wherever Ansible is started, and with no circle of links."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("ansible.cfg", "collections", "gateway/tasks", "inventory", "meta", "playbooks", "plugins", "roles")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Copy what Ansible needs into a folder with spaces in its path."""
    folder = tmp_path / "a clone" / "with spaces"
    folder.mkdir(parents=True)
    for part in PARTS:
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(
                ROOT / part, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "molecule")
            )
        else:
            shutil.copy(ROOT / part, target)
    return folder


def ansible(program: str, *arguments: str | Path, folder: Path, **environment: str) -> str:
    """Run one of Ansible's programs in a folder and return what it prints; it must succeed."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    result = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=folder,
        env={**variables, "ANSIBLE_NOCOLOR": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("configured", [True, False], ids=["with ANSIBLE_CONFIG", "without"])
def test_playbooks_are_read_from_another_folder(clone: Path, tmp_path: Path, configured: bool) -> None:
    """A role or a module that is not found fails a check of the syntax."""
    playbooks = sorted((clone / "playbooks").glob("*.yml"))
    environment = {"ANSIBLE_CONFIG": str(clone / "ansible.cfg")} if configured else {}
    printed = ansible(
        "ansible-playbook", "-i", "localhost,", "--syntax-check", *playbooks, folder=tmp_path, **environment
    )
    assert [line for line in printed.splitlines() if line] == [f"playbook: {path}" for path in playbooks]


def test_a_module_runs_from_the_clone(clone: Path) -> None:
    task = ("-m", "slm.serving.stack_release_info", "-a", f"root='{clone}'")
    here = ("-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter='{sys.executable}'")
    printed = ansible("ansible", "localhost", *here, *task, folder=clone)
    assert "There is no earlier good release to go back to" in printed


def test_no_link_leads_to_a_folder_above_itself() -> None:
    links = [path for part in PARTS for path in (ROOT / part).rglob("*") if path.is_symlink()]
    assert links, "the collection is linked"
    for link in links:
        assert link.exists(), f"{link} leads nowhere"
        assert link.resolve() not in link.parents, f"whoever follows {link} walks in circles"
    seen = {folder: Path(folder).resolve() for part in PARTS for folder, *_ in os.walk(ROOT / part, followlinks=True)}
    assert len(seen) < 10_000
