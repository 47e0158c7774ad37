"""Runs of playbooks against a fake account of this process, with or without a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

from tests.fakes.account import Api
from tests.local_region import environment, names, recorded_calls
from tests.local_region.state import Ports
from tests.support import permissions
from tests.support.runner import PlaybookRun

TIMEOUT_SECONDS = 900
SETTLED_SECONDS = 1.0  # A prompt drops what was typed before it was ready.
ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


def environment_of(api: Api, playbook: str, more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which a playbook finds the account, with its operator's rights; `more` is added."""
    base = {key: value for key, value in os.environ.items() if key not in environment.UNSET}
    exports = environment.exports(api.state, Ports(api.port, registry=1, gateway=1), base)
    operator = environment.operator(playbook)
    return {**base, **exports, **operator, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", **more}


def play(api: Api, name: str, *arguments: str, **variables: str) -> PlaybookRun:
    """Run `ansible-playbook playbooks/NAME.yml ARGUMENTS...` where nobody can type.

    Args:
        api: The account.
        name: The playbook's.
        arguments: Of ansible-playbook.
        variables: Added to its environment.
    """
    started, calls_before = time.monotonic(), recorded_calls.size(api.state.api_calls)
    result = subprocess.run(
        [ANSIBLE_PLAYBOOK, f"playbooks/{name}.yml", *arguments],
        cwd=names.REPOSITORY_ROOT,
        env=environment_of(api, name, variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    permissions.check(api.state.api_calls, calls_before, name)
    return PlaybookRun(result.returncode, result.stdout, sessions=0, seconds=time.monotonic() - started)


def play_in_a_terminal(api: Api, name: str, *arguments: str, typed: Mapping[str, str]) -> PlaybookRun:
    """Run it in a terminal of its own.

    Args:
        api: The account.
        name: The playbook's.
        arguments: Of ansible-playbook.
        typed: What to type once a text is seen.

    Raises:
        TimeoutError: It does not end.
    """
    started, calls_before = time.monotonic(), recorded_calls.size(api.state.api_calls)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", ANSIBLE_PLAYBOOK, f"playbooks/{name}.yml", *arguments],
        cwd=names.REPOSITORY_ROOT,
        env=environment_of(api, name, {}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    try:
        output = _converse(master, process, dict(typed))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(master)
    seconds = time.monotonic() - started
    permissions.check(api.state.api_calls, calls_before, name)
    return PlaybookRun(process.returncode, output.replace("\r\n", "\n"), sessions=0, seconds=seconds)


def _converse(master: int, process: subprocess.Popen[bytes], typed: dict[str, str]) -> str:
    output, deadline, ready_since = "", time.monotonic() + TIMEOUT_SECONDS, time.monotonic()
    while time.monotonic() < deadline:
        readable, _, _ = select.select([master], [], [], 0.2)
        try:
            part = os.read(master, 65536) if readable else b""
        except OSError:  # Linux says so when the other end is closed.
            process.wait(timeout=30)
            return output
        output += part.decode(errors="replace")
        if part or not _is_raw(master):
            ready_since = time.monotonic()
        elif time.monotonic() - ready_since > SETTLED_SECONDS:
            for text in [text for text in typed if text in output]:
                os.write(master, f"{typed.pop(text)}\r".encode())
    raise TimeoutError(f"{output}\nthe playbook did not end within {TIMEOUT_SECONDS} s")


def _is_raw(terminal: int) -> bool:
    """Return whether a program reads key by key, as a prompt does."""
    return not termios.tcgetattr(terminal)[3] & termios.ICANON
