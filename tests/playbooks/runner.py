"""Runs a playbook against a local region, as an operator would, and reads what it reports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.local_region import names
from tests.local_region.region import LocalRegion

PLAYBOOK_TIMEOUT_SECONDS = 1200
RECAP_LINE = re.compile(r"^(?P<host>\S+)\s+: (?P<counts>(?:\w+=\d+\s*)+)$", re.MULTILINE)


@dataclass(frozen=True)
class PlaybookRun:
    """What one run of a playbook came to."""

    returncode: int
    output: str
    sessions: int

    @property
    def changed(self) -> int:
        """Number of changed tasks over all hosts, from the recap. Raises AssertionError when there is no recap."""
        counts = [
            dict(pair.split("=") for pair in match["counts"].split()) for match in RECAP_LINE.finditer(self.output)
        ]
        assert counts, f"no recap in\n{self.output}"
        return sum(int(count["changed"]) for count in counts)

    def must_succeed(self) -> PlaybookRun:
        """Gives the run itself. Raises AssertionError with the output when it failed."""
        assert self.returncode == 0, self.output
        return self


def run_playbook(region: LocalRegion, name: str, *arguments: str) -> PlaybookRun:
    """Runs `ansible-playbook playbooks/NAME.yml ARGUMENTS...`; counts the sessions that it opened."""
    before = region.session_count()
    result = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), f"playbooks/{name}.yml", *arguments],
        cwd=names.REPOSITORY_ROOT,
        env={**os.environ, **region.env(), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PLAYBOOK_TIMEOUT_SECONDS,
    )
    return PlaybookRun(result.returncode, result.stdout, region.session_count() - before)
