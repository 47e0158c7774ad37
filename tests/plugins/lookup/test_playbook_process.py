"""Which process is the playbook's, whatever it was started by."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.slm.serving.plugins.lookup.playbook_process import playbook_process

from tests.local_region.names import REPOSITORY_ROOT


def test_process_itself_is_the_playbooks_where_no_worker_was_forked() -> None:
    assert playbook_process() == os.getpid()


@pytest.mark.parametrize("program", [["-m", "ansible", "playbook"]], ids=["python -m ansible playbook"])
def test_task_of_a_playbook_gets_the_process_that_was_started(program: list[str], tmp_path: Path) -> None:
    """No process of this command is called ansible-playbook."""
    playbook = tmp_path / "some.yml"
    playbook.write_text(
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.debug: {msg: \"process={{ lookup('slm.serving.playbook_process') }}=\"}\n"
    )
    command = [sys.executable, *program, "-i", "localhost,", str(playbook)]
    with subprocess.Popen(command, cwd=REPOSITORY_ROOT, stdout=subprocess.PIPE, text=True) as process:
        printed, _ = process.communicate(timeout=120)
    assert f"process={process.pid}=" in printed
