"""Follow the training on the instance to its end, and show its progress while it lasts.

An action and not a loop of tasks: it shows each line when it comes, opens one session for all looks, and a session that
is lost is opened anew, because the training does not depend on any.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

MODULE = "training_job"


class ActionModule(ActionBase):
    """The action `training_follow`."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look until the training has ended.

        Options: `directory` of the runs; `every`: seconds between two looks; `wait`: seconds that a look waits on the
        instance; `limit`: seconds in all; `losses`: lost sessions in a row that are borne. Gives the run's `state` and
        `job`, and `looks`, `lost`. It fails when the training failed, stopped, or goes on beyond the limit; `active`
        says then whether it goes on without us.
        """
        super().run(tmp, task_vars)
        options = self._task.args
        result: dict[str, Any] = {"changed": False, "active": True, "looks": 0, "lost": 0, "state": {}, "job": {}}
        deadline = time.monotonic() + int(options["limit"])
        since, in_a_row = 0, 0
        while True:
            arguments = {
                "action": "follow",
                "directory": options["directory"],
                "since": since,
                "wait": int(options["wait"]),
            }
            try:
                looked = self._execute_module(MODULE, module_args=arguments, task_vars=task_vars)
            except AnsibleConnectionFailure as error:
                in_a_row += 1
                result["lost"] += 1
                if in_a_row > int(options["losses"]):
                    return result | {
                        "failed": True,
                        "msg": f"The instance could not be reached {in_a_row} times in a row ({error}). The training"
                        " goes on as long as the instance runs: the same command follows it again.",
                    }
                Display().display("the session was lost; the training goes on, and a new session is opened")
                with contextlib.suppress(Exception):
                    self._connection.close()
            else:
                if looked.get("failed"):
                    return result | looked
                in_a_row = 0
                result["looks"] += 1
                since = looked["since"]
                result |= {name: looked[name] for name in ("active", "state", "job")}
                for line in looked["lines"]:
                    Display().display(f"  {line}")
                if not looked["active"]:
                    return result | self._verdict(looked["state"])
            if time.monotonic() > deadline:
                return result | {
                    "failed": True,
                    "msg": f"The training still runs after {options['limit']} s. It goes on: the same command follows"
                    " it again.",
                }
            time.sleep(int(options["every"]))

    @staticmethod
    def _verdict(state: dict[str, Any]) -> dict[str, Any]:
        """What the end came to."""
        if state.get("status") == "done":
            return {"msg": "The training is done."}
        reason = state.get("reason") or "it said nothing about itself"
        return {
            "failed": True,
            "msg": f"The training ended as {state.get('status', 'unknown')}: {reason}. The same command goes on from"
            " the last checkpoint.",
        }
