"""Find the process that runs the playbook, by what Python knows of it and not by what it is called."""

from __future__ import annotations

DOCUMENTATION = r"""
name: playbook_process
short_description: The number of the process that runs the playbook
description:
  - The process that lives as long as the playbook does, whatever it was started by (C(ansible-playbook),
    C(python -m ansible playbook), a script, C(tmux)). Two playbooks that one script runs are two processes.
author:
  - The slm-ft-serving developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Take the deployment lock
  slm.serving.deployment_lock:
    bucket: some-bucket
    pid: "{{ lookup('slm.serving.playbook_process') }}"
"""

RETURN = r"""
_raw:
  description: The number of the process, alone in a list.
  type: list
  elements: int
"""

import multiprocessing
import os
from typing import Any

from ansible.plugins.lookup import LookupBase


def playbook_process() -> int:
    """Return the process of the playbook: this one, or the one that forked it to run a task."""
    parent = multiprocessing.parent_process()
    return os.getpid() if parent is None or parent.pid is None else parent.pid


class LookupModule(LookupBase):  # type: ignore[misc] # ansible ships no types
    """The lookup, for Ansible."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **options: Any) -> list[int]:
        """Return the process; takes no terms."""
        del terms, variables, options
        return [playbook_process()]
