"""The commands of docs/operating.md, each run as it stands there, in the order of the page."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drills.test_instance import instance_id
from tests.local_region.names import REPOSITORY_ROOT
from tests.local_region.region import LocalRegion
from tests.support.gateway_client import golden_note, is_serving
from tests.support.runner import RunningPlaybook, run_playbook

PAGE = REPOSITORY_ROOT / "docs" / "operating.md"
# What a person types that no test of this file can run, and which test runs it.
ELSEWHERE = {
    "ansible-playbook playbooks/provision.yml -e waker_mode=on": "tests/playbooks/isolated/test_waker.py",
    'curl --request POST --header "Authorization: Bearer $KEY" https://ADDRESS/': "tests/drills/test_idle_stop.py",
    "sudo less /opt/slm-ft-serving/releases/<STAMP>/logs/engine.log": "roles/rollback/molecule/default/verify.yml",
    "journalctl --unit slm-ft-serving-metrics.service": "roles/cloudwatch/molecule/default/verify.yml",
    "aws ssm start-session --target <INSTANCE ID>": "tests/local_region/tests/test_session_plugin.py",
}
# Ansible's own for Ctrl-C.
INTERRUPTED = 99
PLAYBOOK = "ansible-playbook playbooks/"


def lines() -> Iterator[str]:
    """Yield each command once: the lines of the fenced blocks, and the spans of code that are one by themselves."""
    page = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    fenced = [re.split(r"  +#", line)[0].strip() for block in blocks for line in block.splitlines()]
    text = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`((?:sudo|systemctl|journalctl|aws|python -m) [^`]+|playbooks/\w+\.yml -[^`]+)`", text)
    every = [*fenced, *(f"ansible-playbook {each}" if each.startswith("playbooks/") else each for each in spans)]
    yield from dict.fromkeys(every)


COMMANDS = [each for each in lines() if each not in ELSEWHERE]


@pytest.fixture(scope="module")
def stack(drill_region: LocalRegion, tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalRegion, Path]:
    """Return the region with a release that the page's first deployment replaces, and a folder with its golden.yml."""
    drill_region.repair()
    other = {"inference_stack_gateway_environment": {"GATEWAY_MAX_QUEUE": "9"}}
    run_playbook(drill_region, "deploy", "-e", json.dumps(other)).must_succeed()
    folder = tmp_path_factory.mktemp("golden")
    notes = {"health_verification_golden": [golden_note()]}
    (folder / "golden.yml").write_text(json.dumps(notes), encoding="utf-8")
    return drill_region, folder


def test_what_is_run_elsewhere_stands_on_the_page_and_its_test_is_there() -> None:
    assert ELSEWHERE.keys() <= set(lines())
    assert [file for file in ELSEWHERE.values() if not (REPOSITORY_ROOT / file).is_file()] == []


@pytest.mark.region
@pytest.mark.nightly  # a playbook for each
@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_does_what_it_is_for(command: str, stack: tuple[LocalRegion, Path]) -> None:
    region, folder = stack
    command = command.replace("i-...", instance_id(region)).replace("@golden.yml", f"@{folder}/golden.yml")
    words = shlex.split(command)
    if command.startswith(f"{PLAYBOOK}connect.yml"):
        connect(region, words[2:])
    elif command.startswith(PLAYBOOK):
        run_playbook(region, Path(words[1]).stem, *words[2:]).must_succeed()
        assert is_serving(region) == (words[1] != "playbooks/stop.yml")
    elif words[0] == "python":
        result = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=False, timeout=60)
        assert result.returncode == 0, result.stderr
        assert re.search(r"^NAME:[0-9a-f]{64}$", result.stdout, re.MULTILINE), result.stdout
    else:
        shown = region.exec(f"{command} 2>&1")
        # A unit that is well, and the stand-in for the engine, have nothing to say.
        assert shown.stdout.strip() or words[0] == "systemctl" or words[-1] == "slm-ft-serving-engine-1"


def connect(region: LocalRegion, arguments: list[str]) -> None:
    """Run connect.yml until the way is open, and press Ctrl-C."""
    with RunningPlaybook(region, "connect", *arguments) as playbook:
        playbook.wait_for("until Ctrl-C ends this")
        playbook.interrupt()
        assert playbook.finish().returncode == INTERRUPTED
