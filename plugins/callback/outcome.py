"""Say at the very end how a playbook ended: why it failed, or what serves now.

What a task reports is followed by the tasks that clean up, the recap and the seconds of each role, so an operator would
have to look for it. The seconds are shown by the parent class, ansible.posix.profile_roles, and only on a standard
output that people read: after the document of a callback that prints JSON they would break it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.plugins.callback import CallbackBase
from ansible_collections.ansible.posix.plugins.callback.profile_roles import CallbackModule as ProfileRoles

DOCUMENTATION = r"""
name: outcome
type: aggregate
short_description: Say at the very end how a playbook ended
description:
  - The seconds of each role, then the cause of a failure, or what M(ansible.builtin.set_stats) was told of what serves.
  - Where the standard output is another callback's JSON document, nothing is added to it; this goes to standard error.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  format:
    description: Whether it is text, or one line of JSON for machines.
    type: str
    choices: [text, json]
    default: text
    env:
      - name: SLM_OUTCOME
    ini:
      - section: callback_outcome
        key: format
"""

# A failure while the lock is released does not hide the one before it.
AFTERWARDS = "deployment_lock"
MACHINE_READABLE = ("json", "jsonl")
LABEL = "{:<9} {}"
CONNECT = "ansible-playbook playbooks/connect.yml"


class CallbackModule(ProfileRoles):  # type: ignore[misc] # ansible ships no types
    """The end of a run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "slm.serving.outcome"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        """Begin with nothing that failed."""
        super().__init__()
        self._began = time.monotonic()
        self._playbook = ""
        self._failures: list[tuple[str, str]] = []

    def set_options(self, task_keys: Any = None, var_options: Any = None, direct: Any = None) -> None:
        """Take the options of this plugin; of the parent's there is one, which is always the same here."""
        CallbackBase.set_options(self, task_keys=task_keys, var_options=var_options, direct=direct)
        self.summary_only = True

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Note which playbook it is; each of several is for itself."""
        self._playbook = Path(playbook._file_name).name
        self._began = time.monotonic()
        self._failures = []

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note why a task failed."""
        if not ignore_errors:
            self._note(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Note why a host was not reached."""
        self._note(result)

    def _note(self, result: Any) -> None:
        role = result.task._role.get_name() if result.task._role else ""
        self._failures.append((role, message(result.result)))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Show the end."""
        for_machines = constants.DEFAULT_STDOUT_CALLBACK.rpartition(".")[2] in MACHINE_READABLE
        if not for_machines:
            super().v2_playbook_on_stats(stats)
        counts = [stats.summarize(host) for host in stats.processed]
        failed = any(count["failures"] or count["unreachable"] for count in counts)
        outcome = {
            "playbook": self._playbook,
            "result": "failed" if failed else "succeeded",
            "seconds": round(time.monotonic() - self._began),
            "changed": sum(count["changed"] for count in counts),
            **({"check": True} if context.CLIARGS["check"] else {}),
            **stats.custom.get("_run", {}),
            **({"cause": cause(self._failures)} if failed else {}),
        }
        as_json = self.get_option("format") == "json"
        text = json.dumps(outcome, ensure_ascii=False, default=str) if as_json else f"\n{described(outcome)}"
        self._display.display(
            text, color=constants.COLOR_ERROR if failed and not as_json else None, stderr=for_machines
        )


def message(result: Mapping[str, Any]) -> str:
    """Return what a failed task reports; of a loop, what each of its failed rounds does."""
    rounds = [entry for entry in result.get("results") or [] if isinstance(entry, Mapping) and entry.get("failed")]
    words = [str(entry.get("msg") or "no reason given").strip() for entry in rounds or [result]]
    return "\n".join(dict.fromkeys(words))


def cause(failures: Iterable[tuple[str, str]]) -> str:
    """Return why a playbook failed.

    The last failure says it: a rescue ends with one that names the first. Only what fails while the lock is released
    comes after it.

    Args:
        failures: Role and message of each task that failed, in order.
    """
    before = [text for role, text in failures if role != AFTERWARDS]
    after = [text for role, text in failures if role == AFTERWARDS]
    return "\n".join(dict.fromkeys(before[-1:] + after[-1:])) or "no task reported why"


def golden(notes: Mapping[str, Any]) -> str:
    """Return how many values of the golden notes are right, in words that follow `verified`; empty without any."""
    if not notes.get("total"):
        return ""
    needed = f", {notes['needed']} were needed" if notes["right"] < notes["total"] else ""
    return f" ({notes['right']} of {notes['total']} golden values right{needed})"


def described(outcome: Mapping[str, Any]) -> str:
    """Return the end of a run in lines for people."""
    seconds = f"{outcome['seconds']} s"
    if outcome["result"] == "failed":
        return "\n".join([f"{outcome['playbook']} failed after {seconds}:", str(outcome["cause"]), *fleet(outcome)])
    mode = " in check mode, so nothing was changed" if outcome.get("check") else ""
    lines = [f"{outcome['playbook']} succeeded in {seconds}{mode}, changed={outcome['changed']}"]
    if outcome.get("serves"):
        lines.append(LABEL.format("release", f"{outcome['serves']}, verified{golden(outcome.get('golden') or {})}"))
    for name, image in outcome.get("images", {}).items():
        lines.append(LABEL.format(name, f"{image['repository']}:{image['tag']} {image['digest']}"))
    if "address" in outcome:
        lines.append(LABEL.format("address", outcome.get("load_balancer") or way_in(outcome)))
    return "\n".join([*lines, *fleet(outcome)])


def fleet(outcome: Mapping[str, Any]) -> list[str]:
    """Return what each of several instances serves and, where releases differ, how to go on or back; else no line."""
    serve: Mapping[str, str] = outcome.get("instances") or {}
    lines = [LABEL.format("instance", f"{name} serves {release or 'nothing'}") for name, release in serve.items()]
    releases = sorted({release for release in serve.values() if release})
    if len(releases) < 2:
        return lines
    oldest, newest = releases[0], releases[-1]
    with_newest = ",".join(name for name, release in serve.items() if release == newest)
    return [
        *lines,
        "Releases differ. Go on: ansible-playbook playbooks/deploy.yml; or go back: ansible-playbook"
        f" playbooks/rollback.yml --limit {with_newest} -e rollback_to={oldest}",
    ]


def way_in(outcome: Mapping[str, Any]) -> str:
    """Return under which address the gateway is reached and by whom, or how to come in where its port is closed."""
    if outcome.get("address_unseen"):
        return f"{CONNECT} opens a way in; whether the port is open cannot be seen: {outcome['address_unseen']}"
    open_to = ", ".join(outcome.get("open_to", []))
    if outcome["address"]:
        return f"{outcome['address']}, open to {open_to}" if open_to else str(outcome["address"])
    if open_to:
        return f"none that {open_to} could call; {CONNECT} opens a way in"
    return f"none, the port is closed; {CONNECT} opens a way in"
