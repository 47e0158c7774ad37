"""A lost session is a failed result with `lost_session`, so that rescue and always run; a short loss harms nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_SECONDS = 120


class Play:
    """One task on a fake instance, in a block with rescue and always."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults = folder / "faults"
        self.faults.mkdir()
        self.written = folder / "written"
        # The module has systemd read its units again.
        systemctl = folder / "bin" / "systemctl"
        systemctl.parent.mkdir()
        systemctl.write_text("#!/bin/sh\n")
        systemctl.chmod(0o755)

    def run(self, task: Mapping[str, Any] | None = None, **variables: Any) -> dict[str, Any]:
        """Play it and return what the sections saw: `result`, `rescued`, `failed` (the failure's result), `always`."""
        seen = "{'result': result | default({}), 'rescued': failure is defined, 'failed': failure | default({})}"
        main = {
            "name": "Write a file",
            "slm.serving.instance_files": {"files": [{"path": str(self.written), "content": "text\n"}]},
            "register": "result",
            **(task or {}),
        }
        keep = {"name": "Keep", "ansible.builtin.set_fact": {"failure": "{{ ansible_failed_result }}"}}
        copy = {
            "name": "Report",
            "ansible.builtin.copy": {
                "content": "{{ " + seen + " | to_json }}",
                "dest": str(self.folder / "report.json"),
                "mode": "0600",
            },
            "delegate_to": "localhost",
            "vars": {"ansible_connection": "local"},
        }
        play = {
            "hosts": "instance",
            "gather_facts": False,
            "vars": {
                "ansible_connection": "fake_session",
                "ansible_python_interpreter": sys.executable,
                "ansible_remote_tmp": str(self.folder / "tmp"),
                "ansible_async_dir": str(self.folder / "jobs"),
                **variables,
            },
            "tasks": [{"name": "All", "block": [main], "rescue": [keep], "always": [copy]}],
        }
        playbook = self.folder / "play.yml"
        playbook.write_text(yaml.safe_dump([play]), encoding="utf-8")
        result = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-i", "instance,", playbook],
            cwd=ROOT,
            env={
                **os.environ,
                "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "ANSIBLE_CONNECTION_PLUGINS": str(ROOT / "tests/fakes/connection"),
                "FAKE_SESSION_FAULTS": str(self.faults),
                "ANSIBLE_NOCOLOR": "1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        path = self.folder / "report.json"
        assert path.exists(), f"always did not run:\n{result.stdout}{result.stderr}"
        report_read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return report_read


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Return a play whose instance is this machine."""
    return Play(tmp_path)


ASYNC = {"async": 60, "poll": 1}


@pytest.mark.parametrize("task", [{}, ASYNC], ids=["plain", "async"])
def test_without_a_fault_the_module_answers(play: Play, task: dict[str, Any]) -> None:
    report = play.run(task)
    assert report["rescued"] is False, report["failed"]
    assert report["result"]["changed_paths"] == [str(play.written)]
    assert "lost_session" not in report["result"]
    assert not list((play.folder / "jobs").glob("*")), "the job's status file was left on the instance"


@pytest.mark.parametrize("task", [{}, ASYNC], ids=["plain", "async"])
@pytest.mark.parametrize("fault", ["refuse", "broken_pipe"])
def test_a_lost_session_is_rescued_as_data(play: Play, task: dict[str, Any], fault: str) -> None:
    (play.faults / fault).touch()
    report = play.run(task)
    assert report["rescued"] is True
    assert report["failed"]["lost_session"] is True
    assert report["failed"]["msg"].startswith("The session with the instance was lost: ")


def test_an_answer_that_is_cut_off_is_a_lost_session(play: Play) -> None:
    (play.faults / "cut").touch()
    assert play.run()["failed"]["lost_session"] is True


def test_a_modules_own_failure_is_no_lost_session(play: Play) -> None:
    missing = {"slm.serving.instance_files": {"files": [{"path": "/proc/none/file", "content": ""}]}}
    report = play.run(missing)
    assert report["rescued"] is True
    assert "lost_session" not in report["failed"]


def test_an_async_task_outlives_lost_polls(play: Play) -> None:
    (play.faults / "refuse_status").write_text("2")
    report = play.run(ASYNC)
    assert report["rescued"] is False, report["failed"]
    assert report["result"]["changed_paths"] == [str(play.written)]
    assert (play.faults / "refuse_status").exists() is False, "the fault never struck"


def test_an_async_task_gives_a_lost_instance_up_before_its_own_time(play: Play) -> None:
    (play.faults / "refuse_status").touch()
    report = play.run({"async": 3600, "poll": 1}, on_instance_patience=2)
    assert report["failed"]["lost_session"] is True


def test_an_async_task_over_its_time_is_no_lost_session(play: Play) -> None:
    (play.faults / "unfinished").touch()
    report = play.run({"async": 2, "poll": 1})
    assert report["failed"]["msg"] == "it did not end within 2 s"
    assert "lost_session" not in report["failed"]
