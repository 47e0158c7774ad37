"""Run a module of the collection on the instance; a lost session fails the task instead of ending the play.

Ansible takes a connection that breaks for UNREACHABLE, and then runs neither `rescue` nor `always`. Here it is a result
like any other, `failed` with `lost_session: true`, so that a playbook can put the instance right and a role can tell
"the release is bad" from "nobody heard the answer". Asynchronous tasks are polled here too: Ansible's own loop would go
on until the task's time is over, and then raise.
"""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.utils.display import Display
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
name: on_instance
short_description: Run a module of this collection on the instance and report a lost session as a failure
description:
  - C(meta/runtime.yml) has every module that runs on the instance go through it; no task names it.
  - When the session breaks, cannot be opened, or ends before the module's answer came, the task fails with
    C(lost_session=true).
  - A task with C(async) and C(poll) outlives its session, as long as another one can be opened within the seconds that
    the variable C(on_instance_patience) says (30).
  - A job whose process no longer exists, because the instance was restarted or the process was killed, ends the task
    within the seconds that the variable C(on_instance_check_interval) says (15), and not when its time is over.
author:
  - The slm-ft-serving developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Activate a release, and see in a rescue whether it is to blame
  slm.serving.stack_release:
    state: activated
    stamp: 20260101T000000Z
  register: activation
"""

RETURN = r"""
lost_session:
  description: Whether the module's answer is missing because the session was lost.
  type: bool
  returned: when the session was lost
"""

# What a connection raises when a session is gone: ours the first, amazon.aws's own all of them.
CONNECTION_ERRORS = (AnsibleConnectionFailure, BotoCoreError, ClientError, OSError)
# The connection itself tries for a minute before it gives up (ansible_aws_ssm_retries), unless AWS refuses for good.
DEFAULT_PATIENCE_SECONDS = 30
# Ansible adds this key to the result of a module whose answer was no JSON.
UNREADABLE = "module_stdout"
ASYNC_STATUS = "ansible.legacy.async_status"
# Seconds between two checks of a job's process: Ansible's own status says "started" for ever when it is gone.
DEFAULT_CHECK_INTERVAL = 15
# Says whether there is a process that bears a job's number (the brackets keep a check from finding itself), and for how
# many seconds the instance has been up, by its first process. With -q a process that ends while grep reads is no error.
PROCESS_CHECK = (
    "if grep -q -a -s '[{first}]{rest}' /proc/[0-9]*/cmdline; then a=alive; else a=gone; fi; "
    'echo "job=$a up=$(( $(cut -d. -f1 /proc/uptime) - $(cut -d" " -f22 /proc/1/stat) / $(getconf CLK_TCK) ))"'
)
SEEN = re.compile(r"job=(alive|gone) up=(\d+)")


class ActionModule(NormalAction):  # type: ignore[misc] # ansible ships no types
    """The normal action, with the connection's failures as data."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task's module; see the documentation of the action."""
        limit = self._task.async_val
        result = self._attempt(tmp, task_vars or {})
        if result.get("lost_session"):
            # An `until` may have the task again: as asynchronous as it was, in a new session.
            self._task.async_val = limit
            with contextlib.suppress(*CONNECTION_ERRORS):
                self._connection.close()
        return result

    def _attempt(self, tmp: str | None, variables: dict[str, Any]) -> dict[str, Any]:
        """Run it once, and return a lost session as a result."""
        try:
            result: dict[str, Any] = super().run(tmp, variables)
            if self._task.async_val and self._task.poll and "ansible_job_id" in result:
                result = self._poll(result["ansible_job_id"], variables)
        except CONNECTION_ERRORS as error:
            return _lost(str(error) or type(error).__name__)
        if UNREADABLE in result:
            return _lost(f"its answer did not come back: {result.get('msg', 'no reason given')}")
        return result

    def _poll(self, job: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return the result of a job on the instance, polled until it ends, is gone, or the task's time is over."""
        limit, interval = self._task.async_val, self._task.poll
        patience = float(task_vars.get("on_instance_patience", DEFAULT_PATIENCE_SECONDS))
        check_interval = float(task_vars.get("on_instance_check_interval", DEFAULT_CHECK_INTERVAL))
        # Ansible must not poll once more what has ended here.
        self._task.async_val = 0
        began = answered = checked = time.monotonic()
        gone: str | None = None
        while time.monotonic() < began + limit:
            time.sleep(interval)
            try:
                status = self._job(job, "status", task_vars)
                if UNREADABLE not in status:
                    answered = time.monotonic()
                    if status.get("finished") or status.get("failed"):
                        self._job(job, "cleanup", task_vars)
                        return status
                    if gone:  # It was gone before this status was asked for, so no other will come.
                        return _lost_job(self._what(), gone)
                    if answered - checked >= check_interval:
                        checked = answered
                        gone = self._process_gone(job, answered - began)
                # Else it was read while it was written, or cut off by the end of a session.
                elif time.monotonic() - answered > patience:
                    return status
            except CONNECTION_ERRORS as error:
                if time.monotonic() - answered > patience:
                    raise
                Display().vv(f"the session was lost ({error}); the task goes on, and a new session is opened")
                with contextlib.suppress(*CONNECTION_ERRORS):
                    self._connection.close()
        silent = time.monotonic() - answered
        said = f"the instance said {silent:.0f} s ago that it was still at it"
        return {"failed": True, "msg": f"{self._what()} did not end within {limit} s; {said}"}

    def _what(self) -> str:
        """Return what is waited for, in the words of the task."""
        return f"The task {self._task.get_name().strip()!r}"

    def _process_gone(self, job: str, age: float) -> str | None:
        """Return why a job's process is gone, or None as long as there is one or that cannot be seen.

        Args:
            job: its id, NUMBER.PROCESS.
            age: seconds since it was started.
        """
        number = job.partition(".")[0]
        command = PROCESS_CHECK.format(first=number[:1], rest=number[1:])
        seen = SEEN.search(str(self._low_level_execute_command(command).get("stdout", "")))
        if seen is None or seen[1] == "alive":
            return None
        if int(seen[2]) < age:
            return f"the instance was restarted {seen[2]} s ago, {age:.0f} s after the task began to wait for it"
        return f"its process was killed, or ended without an answer; it was noticed after {age:.0f} s"

    def _job(self, job: str, mode: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Ask the instance for a job's status, or have it remove what the job left (`cleanup`)."""
        folder = self._remote_expand_user(self.get_shell_option("async_dir", default="~/.ansible_async"))
        arguments = {"jid": job, "mode": mode, "_async_dir": folder}
        result: dict[str, Any] = self._execute_module(ASYNC_STATUS, module_args=arguments, task_vars=task_vars)
        return result


def _lost_job(what: str, why: str) -> dict[str, Any]:
    """Return the result of a task whose job is gone: like a lost session, it says nothing about what was to be done."""
    return {"failed": True, "lost_session": True, "msg": f"{what} has no job on the instance any more: {why}"}


def _lost(reason: str) -> dict[str, Any]:
    return {"failed": True, "lost_session": True, "msg": f"The session with the instance was lost: {reason}"}
