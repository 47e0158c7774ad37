"""A fake of the session with an instance: this machine's own shell, which a test can have break off.

Its faults are files in the folder that the variable `fake_session_faults` names: `refuse` and `broken_pipe` fail every
command with a module, `refuse_status` those that ask for a job's status, `cut` drops half of what a module printed, and
`unfinished` has every job go on. A file that holds a number is removed after so many faults.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = r"""
name: fake_session
short_description: A fake session
description: For tests of what happens when a session breaks.
author: The slm-ft-serving developers
options:
  faults:
    description: The folder of its faults.
    type: path
    required: true
    vars:
      - name: fake_session_faults
"""


def _strikes(folder: str, name: str) -> bool:
    """Say whether a fault is on, and count it."""
    path = Path(folder) / name
    if not path.exists():
        return False
    left = path.read_text()
    if left:
        if int(left) == 0:
            path.unlink()
            return False
        path.write_text(str(int(left) - 1))
    return True


class Connection(Local):  # type: ignore[misc] # ansible ships no types
    """The local connection with faults."""

    transport = "fake_session"

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> Any:
        """Run a command, unless a fault is on."""
        faults = self.get_option("faults")
        asks_for_status = "AnsiballZ_async_status" in cmd
        if "AnsiballZ" in cmd:
            if _strikes(faults, "refuse") or (asks_for_status and _strikes(faults, "refuse_status")):
                raise AnsibleConnectionFailure("TargetNotConnected")
            if _strikes(faults, "broken_pipe"):
                raise BrokenPipeError(32, "Broken pipe")
        if asks_for_status and _strikes(faults, "unfinished"):
            return 0, b'{"started": true, "finished": false}', b""
        code, out, err = super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        return code, out[: len(out) // 2] if "AnsiballZ" in cmd and _strikes(faults, "cut") else out, err
