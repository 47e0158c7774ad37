"""A lost session is a failed result with `lost_session`, so that rescue and always run; a short loss harms nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slm.serving.plugins.action.on_instance import PROCESS_CHECK

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_SECONDS = 300
FOREVER = ""
PLAIN, ASYNC = {"limit": 0}, {"limit": 60}


@dataclass(frozen=True)
class Case:
    """A fake instance: its faults, each for so many commands, and its variables."""

    variables: dict[str, Any]
    faults: dict[str, str] = field(default_factory=dict)


CASES = {
    "plain": Case(PLAIN),
    "async": Case(ASYNC),
    "refused": Case(PLAIN, {"refuse": FOREVER}),
    "refused-async": Case(ASYNC, {"refuse": FOREVER}),
    "broken-pipe": Case(PLAIN, {"broken_pipe": FOREVER}),
    "broken-pipe-async": Case(ASYNC, {"broken_pipe": FOREVER}),
    "cut": Case(PLAIN, {"cut": FOREVER}),
    "own-failure": Case({**PLAIN, "path": "/proc/none/file"}),
    "lost-polls": Case(ASYNC, {"refuse_status": "2"}),
    "lost-for-good": Case({"limit": 3600, "on_instance_patience": 2}, {"refuse_status": FOREVER}),
    "asked-again": Case({**ASYNC, "ask_again": True, "on_instance_patience": -1}, {"refuse_status": "1"}),
    "asked-again-in-vain": Case({**PLAIN, "ask_again": True}, {"refuse": FOREVER}),
    "over-its-time": Case({"limit": 2}, {"unfinished": FOREVER}),
    # The module has ended, so that no process is left, and its answer never comes.
    "gone": Case({"limit": 3600, "on_instance_check_interval": 1}, {"unfinished": FOREVER}),
    # The process is looked for at every poll.
    "looked-for": Case({"limit": 60, "on_instance_check_interval": 0}),
}
# What the sections of a block saw; `always` writes it.
SEEN = (
    "{{ {'result': result | default({}), 'rescued': failure is defined, 'failed': failure | default({})} | to_json }}"
)
PLAY = {
    "hosts": "all",
    "gather_facts": False,
    "tasks": [
        {
            "name": "Run a module of the collection",
            "block": [
                {
                    "name": "Write a file",
                    "slm.serving.instance_files": {"files": [{"path": "{{ path }}", "content": "text\n"}]},
                    "async": "{{ limit }}",
                    "poll": 1,
                    "until": "not (ask_again | default(false) and result.lost_session | default(false))",
                    "retries": 2,
                    "delay": 0,
                    "register": "result",
                }
            ],
            "rescue": [{"name": "Keep", "ansible.builtin.set_fact": {"failure": "{{ ansible_failed_result }}"}}],
            "always": [
                {
                    "name": "Report",
                    "ansible.builtin.copy": {"content": SEEN, "dest": "{{ folder }}/report.json", "mode": "0600"},
                    "delegate_to": "localhost",
                    "vars": {"ansible_connection": "local"},
                }
            ],
        }
    ],
}


def host(folder: Path, case: Case) -> dict[str, Any]:
    """Return the variables of a fake instance whose files and faults lie in a folder."""
    (folder / "faults").mkdir(parents=True)
    for name, times in case.faults.items():
        (folder / "faults" / name).write_text(times)
    return {
        "ansible_connection": "fake_session",
        "ansible_python_interpreter": sys.executable,
        "ansible_remote_tmp": str(folder / "tmp"),
        "ansible_async_dir": str(folder / "jobs"),
        "fake_session_faults": str(folder / "faults"),
        "folder": str(folder),
        "path": str(folder / "written"),
        **case.variables,
    }


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], str]:
    """Play all cases at once, each on a fake instance of its own; return their folders by name, and what was shown."""
    root = tmp_path_factory.mktemp("on-instance")
    folders = {name: root / name for name in CASES}
    hosts = {name: host(folders[name], case) for name, case in CASES.items()}
    (root / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    (root / "play.yml").write_text(yaml.safe_dump([{**PLAY, "name": "All"}]), encoding="utf-8")
    # The module has systemd read its units again, for as long as a poll or two.
    systemctl = root / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text("#!/bin/sh\nsleep 2\n")
    systemctl.chmod(0o755)
    result = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", root / "inventory.yml", root / "play.yml"],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{systemctl.parent}{os.pathsep}{os.environ['PATH']}",
            "ANSIBLE_CONNECTION_PLUGINS": str(ROOT / "tests/fakes/connection"),
            "ANSIBLE_INVENTORY_ENABLED": "yaml",
            "ANSIBLE_NOCOLOR": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    missing = [name for name, folder in folders.items() if not (folder / "report.json").exists()]
    assert not missing, f"always did not run for {missing}:\n{result.stdout}{result.stderr}"
    return folders, result.stdout


@pytest.fixture(scope="module")
def folders(played: tuple[dict[str, Path], str]) -> dict[str, Path]:
    """Return the cases' folders by name."""
    return played[0]


@pytest.fixture(scope="module")
def output(played: tuple[dict[str, Path], str]) -> str:
    """Return what Ansible showed."""
    return played[1]


def report(folder: Path) -> dict[str, Any]:
    """Return what a case's sections saw: `result`, `rescued` and the failure's result `failed`."""
    content: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("case", ["plain", "async"])
def test_without_a_fault_the_module_answers(folders: dict[str, Path], case: str) -> None:
    folder = folders[case]
    seen = report(folder)
    assert seen["rescued"] is False, seen["failed"]
    assert seen["result"]["changed_paths"] == [str(folder / "written")]
    assert "lost_session" not in seen["result"]
    assert not list((folder / "jobs").glob("*")), "the job's status file was left on the instance"


@pytest.mark.parametrize("case", ["refused", "refused-async", "broken-pipe", "broken-pipe-async", "cut"])
def test_a_lost_session_is_rescued_as_data(folders: dict[str, Path], case: str) -> None:
    seen = report(folders[case])
    assert seen["rescued"] is True
    assert seen["failed"]["lost_session"] is True
    assert seen["failed"]["msg"].startswith("The session with the instance was lost: ")


def test_a_modules_own_failure_is_no_lost_session(folders: dict[str, Path]) -> None:
    seen = report(folders["own-failure"])
    assert seen["rescued"] is True
    assert "lost_session" not in seen["failed"]


def test_an_async_task_outlives_lost_polls(folders: dict[str, Path]) -> None:
    folder = folders["lost-polls"]
    seen = report(folder)
    assert seen["rescued"] is False, seen["failed"]
    assert seen["result"]["changed_paths"] == [str(folder / "written")]
    assert not (folder / "faults" / "refuse_status").exists(), "the fault never struck"


def test_an_async_task_gives_a_lost_instance_up_before_its_own_time(folders: dict[str, Path]) -> None:
    assert report(folders["lost-for-good"])["failed"]["lost_session"] is True


def test_a_lost_task_can_be_asked_again_and_is_asynchronous_again(folders: dict[str, Path]) -> None:
    seen = report(folders["asked-again"])
    assert seen["rescued"] is False, seen["failed"]
    assert seen["result"]["attempts"] == 2
    assert seen["result"]["ansible_job_id"]


def test_a_task_that_is_lost_each_time_it_is_asked_stays_a_lost_session(folders: dict[str, Path]) -> None:
    failed = report(folders["asked-again-in-vain"])["failed"]
    assert failed["lost_session"] is True


def test_an_async_task_over_its_time_is_no_lost_session(folders: dict[str, Path]) -> None:
    failed = report(folders["over-its-time"])["failed"]
    assert failed["msg"].startswith("The task 'Write a file' did not end within 2 s; the instance said ")
    assert "lost_session" not in failed


def test_a_job_that_is_gone_is_noticed_long_before_its_time_is_over(folders: dict[str, Path]) -> None:
    failed = report(folders["gone"])["failed"]
    assert failed["msg"].startswith(
        "The task 'Write a file' has no job on the instance any more: its process was killed"
    )
    assert failed["lost_session"] is True, "it says nothing about what was to be done"


def test_a_job_that_takes_its_time_is_not_taken_for_one_that_is_gone(folders: dict[str, Path]) -> None:
    seen = report(folders["looked-for"])
    assert seen["rescued"] is False, seen["failed"]


def test_polls_are_quiet(output: str) -> None:
    assert "ASYNC POLL" not in output


def test_a_process_that_ends_during_the_check_does_not_hide_the_job(tmp_path: Path) -> None:
    (tmp_path / "cmdline").write_bytes(b"python3\0async_wrapper.py\0j123456\0")
    read = f"{tmp_path}/has-ended {tmp_path}/cmdline {tmp_path}/has-ended"
    command = PROCESS_CHECK.format(first="j", rest="123456").replace("/proc/[0-9]*/cmdline", read)
    said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert said.startswith("job=alive ")
