"""Ansible callback: how many sessions, and how many seconds, each role of a playbook took.

No ready callback counts sessions. SESSION_COUNTER names the local region's file with the number of all sessions so far,
SESSION_COSTS the JSON file that is written at the end: `{"role": [sessions, seconds], ...}`, in order of appearance.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: session_costs
type: aggregate
short_description: Sessions and seconds of each role
description: Counts what each role of a playbook takes in a local region.
"""

NO_ROLE = "(no role)"


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Sessions and seconds by role: what happened since the last task began is charged to that task's role."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "session_costs"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        """Begin with nothing; what comes before the first task has no role."""
        super().__init__()
        self._counter = Path(os.environ["SESSION_COUNTER"])
        self._costs: dict[str, list[float]] = {}
        self._role = NO_ROLE
        self._began, self._sessions = time.monotonic(), self._count()

    def _count(self) -> int:
        return int(self._counter.read_text(encoding="ascii")) if self._counter.exists() else 0

    def _charge(self) -> None:
        now, sessions = time.monotonic(), self._count()
        cost = self._costs.setdefault(self._role, [0, 0.0])
        cost[0] += sessions - self._sessions
        cost[1] += now - self._began
        self._began, self._sessions = now, sessions

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Close the account of the task before."""
        del is_conditional
        self._charge()
        self._role = task._role.get_name() if task._role else NO_ROLE

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write the accounts."""
        del stats
        self._charge()
        Path(os.environ["SESSION_COSTS"]).write_text(json.dumps(self._costs), encoding="ascii")
