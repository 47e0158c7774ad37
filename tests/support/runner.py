"""Runs of playbooks against a local region, as an operator starts them, and what they report."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import yaml

from tests.local_region import names, recorded_calls
from tests.local_region.environment import operator
from tests.local_region.region import LocalRegion
from tests.support import permissions

PLAYBOOK_TIMEOUT_SECONDS = 1200
ENVIRONMENT = {
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_FORCE_COLOR": "0",
    # Else a task's name is printed at its end, and a test could not wait for its beginning.
    "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "1",
}
RECAP_LINE = re.compile(r"^(?P<host>\S+)\s+: (?P<counts>(?:\w+=\d+\s*)+)$", re.MULTILINE)
TASK_LINE = re.compile(r"(?:TASK|RUNNING HANDLER) \[(?P<name>.*)\] \**")
STAMP = re.compile(r"\d{8}T\d{6}Z")
FAILURE = re.compile(r"^(?:fatal|failed): .*=>(?P<inline>.*)\n(?P<block>(?:[ \t]+.*\n|\n)*)", re.MULTILINE)


@dataclass(frozen=True)
class PlaybookRun:
    """What one run of a playbook came to.

    Attributes:
        returncode: ansible-playbook's.
        output: All that it printed.
        sessions: How many it opened.
        seconds: How long it took.
    """

    returncode: int
    output: str
    sessions: int
    seconds: float

    @property
    def changed(self) -> int:
        """Number of changed tasks over all hosts, from the recap.

        Raises:
            AssertionError: There is no recap.
        """
        counts = [
            dict(pair.split("=") for pair in match["counts"].split()) for match in RECAP_LINE.finditer(self.output)
        ]
        assert counts, f"no recap in\n{self.output}"
        return sum(int(count["changed"]) for count in counts)

    @property
    def changed_tasks(self) -> list[str]:
        """Names of the tasks that changed something, in order; without a release's stamp, which is the time."""
        tasks: list[str] = []
        name = ""
        for line in self.output.splitlines():
            if match := TASK_LINE.match(line):
                name = STAMP.sub("STAMP", match["name"])
            elif line.startswith("changed: "):
                tasks.append(name)
        return tasks

    @property
    def message(self) -> str:
        """What the last task that failed reports to the operator; empty when none failed."""
        failures = list(FAILURE.finditer(self.output))
        if not failures:
            return ""
        content = yaml.safe_load(failures[-1]["inline"].strip() or textwrap.dedent(failures[-1]["block"]))
        return str(content.get("msg", content)) if isinstance(content, dict) else str(content)

    def must_succeed(self) -> PlaybookRun:
        """Return the run itself.

        Raises:
            AssertionError: It failed; the message is its output.
        """
        assert self.returncode == 0, self.output
        return self

    def must_fail_naming(self, *words: str) -> PlaybookRun:
        """Return the run itself.

        Args:
            words: What the message to the operator must contain.

        Raises:
            AssertionError: It did not fail, or a word is missing.
        """
        assert self.returncode != 0, self.output
        missing = [word for word in words if word not in self.message]
        assert not missing, f"{missing} not in the message\n{self.message}\nof\n{self.output}"
        return self


class RunningPlaybook:
    """A run of `ansible-playbook playbooks/NAME.yml ARGUMENTS...` that goes on while a test does something else.

    It is killed at the end of a `with` that it outlives.
    """

    def __init__(
        self, region: LocalRegion, name: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it, in a process group of its own.

        Args:
            region: Where it runs.
            name: The playbook's.
            arguments: Of ansible-playbook.
            environment: Variables beside the region's.
        """
        self._region = region
        self._name = name
        self._calls_before = recorded_calls.size(region.state.api_calls)
        self._sessions = region.session_count()
        self._began = time.monotonic()
        self._output, path = tempfile.mkstemp()
        Path(path).unlink()
        self._process = subprocess.Popen(
            [Path(sys.executable).with_name("ansible-playbook"), f"playbooks/{name}.yml", *arguments],
            cwd=names.REPOSITORY_ROOT,
            env={**os.environ, **region.env(), **operator(name), **ENVIRONMENT, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what still runs."""
        self.kill()
        os.close(self._output)

    def output(self) -> str:
        """Return all that it printed so far."""
        size = os.fstat(self._output).st_size
        return os.pread(self._output, size, 0).decode("utf-8", errors="replace")

    def wait_for(self, text: str, timeout: float = 300) -> None:
        """Wait until it has printed a text.

        Args:
            text: The text.
            timeout: Seconds.

        Raises:
            AssertionError: It ends, or the time passes, before.
        """
        deadline = time.monotonic() + timeout
        while text not in self.output():
            assert self._process.poll() is None, f"it ended without {text!r}:\n{self.output()}"
            assert time.monotonic() < deadline, f"no {text!r} within {timeout:.0f} s:\n{self.output()}"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it and all its processes by SIGKILL, as a crash of the machine would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.killpg(self._process.pid, signal.SIGINT)

    def finish(self, timeout: float = PLAYBOOK_TIMEOUT_SECONDS) -> PlaybookRun:
        """Wait for its end.

        Args:
            timeout: Seconds.

        Raises:
            AssertionError: It takes longer, and the message holds its output; or it made a call to AWS that
                tests/policies does not know.
        """
        try:
            returncode = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still runs after {timeout:.0f} s:\n{self.output()}") from None
        permissions.check(self._region.state.api_calls, self._calls_before, self._name)
        sessions = self._region.session_count() - self._sessions
        return PlaybookRun(returncode, self.output(), sessions, time.monotonic() - self._began)


def run_playbook(
    region: LocalRegion, name: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> PlaybookRun:
    """Run `ansible-playbook playbooks/NAME.yml ARGUMENTS...` to its end; count the sessions that it opened."""
    with RunningPlaybook(region, name, *arguments, environment=environment) as playbook:
        return playbook.finish()
