"""Read once, in Ansible's main process, what every connection to the instance would read again."""

from __future__ import annotations

from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: preload
type: aggregate
short_description: Read the descriptions of AWS's services once for all tasks
description:
  - Before the first play that connects to an instance. Ansible forks a process for each task from its main process,
    and what that has read need not be read there.
author:
  - The slm-ft-serving developers (!UNKNOWN)
"""

LOCAL = {"localhost"}


class CallbackModule(CallbackBase):  # type: ignore[misc] # ansible ships no types
    """The reading, at the start of such a play."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "preload"

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Read where the play goes beyond this machine; a failure is the connection's to report."""
        if set(play.hosts) <= LOCAL:
            return
        from ansible_collections.slm.serving.plugins.plugin_utils.aws_clients import preload

        preload()
