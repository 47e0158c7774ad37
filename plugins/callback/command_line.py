"""Refuse a command line that the playbooks cannot do with, before the first task; let --limit be about instances.

A callback and no task: with `--limit` or `--start-at-task` a check in the first play would be left out like the rest of
it. The link playbooks/callback_plugins has Ansible load it with every playbook there, whatever is configured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible import context
from ansible.inventory.manager import split_host_pattern
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.callback import CallbackBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.slm.serving.plugins.plugin_utils.extra_variables import known, problems

DOCUMENTATION = r"""
name: command_line
type: aggregate
short_description: Refuse a command line that a playbook of this collection cannot do with
description:
  - An extra variable that nothing knows or that the playbook sets itself, a value of the wrong type, and options that
    would leave out a part of the playbook end it before the first task, with exit code 5 as Ansible's own options do.
author:
  - The slm-ft-serving developers (!UNKNOWN)
"""

# As Ansible's own for an option that is wrong.
WRONG_OPTION = 5
# Each play needs what the ones before it found out.
PARTS = {
    "start_at_task": (
        "--start-at-task leaves out tasks that later ones need. Run the playbook whole: what is done already is left as"
        " it is, in seconds."
    ),
    "tags": "--tags leaves out tasks that the others need, and no task has a tag. Run the playbook whole.",
    "skip_tags": "--skip-tags has no effect but on tasks with a tag, and no task has one. Run the playbook whole.",
}
ALL_TAGS = ("all",)


class CallbackModule(CallbackBase):  # type: ignore[misc] # ansible ships no types
    """The check, made when a playbook starts."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "command_line"

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """End the run when the command line cannot be done with.

        Raises:
            SystemExit: It cannot; an error of any other kind is no more than a warning, from a callback.
        """
        path = Path(playbook._file_name).resolve()
        found = option_problems(context.CLIARGS) + inventory_problems(context.CLIARGS["inventory"] or (), path)
        if limit := context.CLIARGS["subset"]:
            # No public way leads from a callback to the inventory.
            for play in playbook.get_plays()[:1]:
                play.get_variable_manager()._inventory.subset(with_localhost(limit))
        given = load_extra_vars(DataLoader())
        if given:
            found += problems(given, known(path.parents[1], path), path.name)
        if found:
            lines = [f"  {number}. {problem}" for number, problem in enumerate(found, start=1)]
            self._display.display(
                "\n".join([f"{path.name} was not run; nothing was touched:", *lines]), color="red", stderr=True
            )
            raise SystemExit(WRONG_OPTION)


def option_problems(options: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each option that would leave out a part of the playbook."""
    given = {name: options.get(name) for name in PARTS}
    if tuple(given["tags"] or ALL_TAGS) == ALL_TAGS:
        given["tags"] = None
    found = [PARTS[name] for name, value in given.items() if value]
    if "@" in (options.get("subset") or ""):
        found.append("--limit takes the instances' ids, with commas between them, and no file.")
    return found


def with_localhost(limit: str) -> str:
    """Return a limit that leaves the controller too, on which every playbook begins.

    Args:
        limit: As --limit has it; what only leaves some out begins from all.
    """
    parts = split_host_pattern(limit)
    return ",".join([*(["all"] if all(part.startswith("!") for part in parts) else []), "localhost", *parts])


def inventory_problems(sources: Sequence[str], playbook: Path) -> list[str]:
    """Return why the instance and its variables would not be found; empty where the repository's inventory is used.

    Args:
        sources: Paths, or hosts with commas between them.
        playbook: Path of the playbook.
    """
    folder = playbook.parents[1] / "inventory"
    for source in sources:
        path = Path(source).resolve()
        if "," not in source and folder in {path, path.parent}:
            return []
    named = ", ".join(sources) or "no inventory"
    return [
        f"The instance is found, and the roles get their variables, by {folder}/aws_ec2.yml, but Ansible was given"
        f" {named}. Run it in {playbook.parents[1]} without -i and with ANSIBLE_INVENTORY unset, or set"
        f" ANSIBLE_CONFIG={playbook.parents[1]}/ansible.cfg."
    ]
