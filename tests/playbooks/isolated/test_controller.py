"""Every playbook reports all that an operator's machine lacks in one message, before anything is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.local_region import names
from tests.support.role_variables import load

BIN = Path(sys.executable).parent
PLAYBOOKS = sorted((names.REPOSITORY_ROOT / "playbooks").glob("*.yml"))
# What may come before, since it neither calls AWS nor opens a session.
HARMLESS = {"ansible.builtin.assert", "ansible.builtin.debug", "ansible.builtin.fail", "ansible.builtin.set_fact"}
KEYWORDS = {"name", "vars", "when", "tags"}
ROLE = "ansible.builtin.import_role"
# It reads no settings, for the rights to read them are what it writes down; it asks whose credentials there are itself.
WITHOUT_SETTINGS = {"permissions"}


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)
def test_every_playbook_checks_the_controller_before_anything_else(playbook: Path) -> None:
    plays: list[dict[str, Any]] = load(playbook)
    first = plays[0]
    assert first["hosts"] == "localhost"
    assert first["gather_facts"] is False
    if playbook.stem in WITHOUT_SETTINGS:
        assert "slm.serving.controller_check" in first["tasks"][0]
        return
    at = next(number for number, task in enumerate(first["tasks"]) if task.get(ROLE, {}).get("name") == "controller")
    # Nothing lets it pass, nor leaves it out.
    assert set(first["tasks"][at]) <= {"name", "vars", ROLE}
    assert all(set(task) - KEYWORDS <= HARMLESS for task in first["tasks"][:at])


def test_playbook_names_all_that_the_controller_lacks_at_once(tmp_path: Path) -> None:
    """The longest playbook; the others begin with the same role."""
    result = subprocess.run(
        [BIN / "ansible-playbook", "playbooks/deploy.yml"],
        cwd=names.REPOSITORY_ROOT,
        env={
            "HOME": str(tmp_path),
            "PATH": f"{BIN}{os.pathsep}/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SESSION_MANAGER_PLUGIN": str(tmp_path / "session-manager-plugin"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode != 0
    for problem in ("Session Manager plugin", "AWS_REGION", "No AWS credentials"):
        assert problem in result.stdout
    assert "failed=1" in result.stdout
