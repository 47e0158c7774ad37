"""What an operator may type: a command line that a playbook cannot do with ends it before anything is called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local_region import names

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
WRONG_OPTION = 5


def ansible_playbook(
    *arguments: str | Path, home: Path, folder: Path = names.REPOSITORY_ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook on a machine without credentials, where nobody can type."""
    return subprocess.run(
        [BIN / "ansible-playbook", *arguments],
        cwd=folder,
        env={
            "HOME": str(home),
            "PATH": f"{BIN}{os.pathsep}/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "AWS_EC2_METADATA_DISABLED": "true",
            "ANSIBLE_NOCOLOR": "1",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_wrong_command_line_is_refused_before_the_first_task_for_all_that_is_wrong(tmp_path: Path) -> None:
    variables = ("-e", "images_gatewy_tag=v2", "-e", "vars.yml")
    parts = ("--limit", "i-1", "--tags", "images", "--start-at-task", "Images")
    run = ansible_playbook("playbooks/deploy.yml", *variables, *parts, "-i", "i-1,", home=tmp_path)
    assert run.returncode == WRONG_OPTION
    assert "deploy.yml was not run; nothing was touched" in run.stderr
    reasons = (
        *("Did you mean images_gateway_tag?", "-e @vars.yml", "inventory/aws_ec2.yml"),
        *("--tags leaves out", "--start-at-task leaves out"),
    )
    assert [reason for reason in reasons if reason not in run.stderr] == []
    assert "TASK" not in run.stdout


def test_a_wrong_name_in_a_file_of_variables_is_refused_from_any_folder(tmp_path: Path) -> None:
    variables = tmp_path / "more.yml"
    variables.write_text("images_gateway_tag: v2\nimages_engin_tag: v2\n", encoding="utf-8")
    playbook = names.REPOSITORY_ROOT / "playbooks/deploy.yml"
    run = ansible_playbook(
        playbook, "-e", "@more.yml", home=tmp_path, folder=tmp_path, ANSIBLE_CALLBACKS_ENABLED="ansible.posix.timer"
    )
    assert run.returncode == WRONG_OPTION
    assert "There is no variable images_engin_tag. Did you mean images_engine_tag?" in run.stderr
    assert f"ANSIBLE_CONFIG={names.REPOSITORY_ROOT}/ansible.cfg" in run.stderr


def test_the_document_of_the_json_callback_is_alone_on_standard_output(tmp_path: Path) -> None:
    run = ansible_playbook(
        "playbooks/verify.yml", home=tmp_path, ANSIBLE_STDOUT_CALLBACK="ansible.posix.json", SLM_OUTCOME="json"
    )
    assert json.loads(run.stdout)["stats"]["localhost"]["failures"] == 1
    outcome = json.loads(run.stderr.splitlines()[-1])
    assert (outcome["playbook"], outcome["result"]) == ("verify.yml", "failed")
    assert "No AWS credentials" in outcome["cause"]
