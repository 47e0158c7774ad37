"""Follow the training on the instance to its end, and show its progress while it lasts.

An action and not a loop of tasks: it shows each line when it comes, opens one session for all polls, and a session that
is lost is opened anew, because the training does not depend on any.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.slm.serving.plugins.action.on_instance import CONNECTION_ERRORS

MODULE = "slm.serving.training_job"


class ActionModule(ActionBase):  # type: ignore[misc] # ansible ships no types
    """The action `training_follow`; plugins/modules/training_follow.py documents its options and its result."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Poll until the training has ended."""
        super().run(tmp, task_vars)
        options = self._task.args
        result: dict[str, Any] = {"changed": False, "active": True, "polls": 0, "lost": 0, "state": {}, "job": {}}
        deadline = time.monotonic() + int(options["limit"])
        since, losses = 0, 0
        while True:
            arguments = {
                "action": "follow",
                "directory": options["directory"],
                "since": since,
                "wait": int(options["wait"]),
            }
            try:
                poll: dict[str, Any] = self._execute_module(MODULE, module_args=arguments, task_vars=task_vars)
            except CONNECTION_ERRORS as error:
                losses += 1
                result["lost"] += 1
                if losses > int(options["losses"]):
                    return result | {
                        "failed": True,
                        "lost_session": True,
                        "msg": f"The instance could not be reached {losses} times in a row ({error}). The training"
                        " goes on as long as the instance runs: the same command follows it again.",
                    }
                Display().display("the session was lost; the training goes on, and a new session is opened")
                with contextlib.suppress(Exception):
                    self._connection.close()
            else:
                if poll.get("failed"):
                    return result | poll
                losses = 0
                result["polls"] += 1
                since = poll["since"]
                result |= {name: poll[name] for name in ("active", "state", "job")}
                for line in poll["lines"]:
                    Display().display(f"  {line}")
                if not poll["active"]:
                    return result | _verdict(poll["state"])
            if time.monotonic() > deadline:
                return result | {
                    "failed": True,
                    "msg": f"The training still runs after {options['limit']} s. It goes on: the same command follows"
                    " it again.",
                }
            time.sleep(int(options["every"]))


def _verdict(state: dict[str, Any]) -> dict[str, Any]:
    """Return how the training ended, as a result."""
    if state.get("status") == "done":
        return {"msg": "The training is done."}
    reason = state.get("reason") or "it gave no reason"
    return {
        "failed": True,
        "msg": f"The training ended as {state.get('status', 'unknown')}: {reason}. The same command goes on from"
        " the last checkpoint.",
    }
