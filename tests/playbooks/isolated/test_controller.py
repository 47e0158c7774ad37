"""Every playbook reports all that an operator's machine lacks in one message, before anything is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local_region import names

BIN = Path(sys.executable).parent
PLAYBOOKS = sorted(path.stem for path in (names.REPOSITORY_ROOT / "playbooks").glob("*.yml"))


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_every_playbook_names_all_that_the_controller_lacks_at_once(playbook: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [BIN / "ansible-playbook", f"playbooks/{playbook}.yml"],
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
