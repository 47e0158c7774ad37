#!/usr/bin/python
"""Start and stop the stack's systemd unit, with what it cannot put right by itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_unit
short_description: Start or stop what was deployed, by its systemd unit
description:
  - The state C(started) brings the verified release up where it does not serve. It waits for a boot that is under way,
    fetches the secrets, unpauses or makes anew the containers that are paused, half made, or run without working, and
    says the cause where the release does not come up. Where it serves, nothing is touched.
  - The state C(stopped) stops the unit and the containers; running requests finish.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  state:
    description: What to reach.
    type: str
    required: true
    choices: [started, stopped]
  timeout:
    description: Seconds until the containers must be healthy, or have stopped.
    type: int
    default: 900
extends_documentation_fragment:
  - slm.serving.stack
"""

EXAMPLES = r"""
- name: Start what was deployed
  slm.serving.stack_unit:
    state: started
    timeout: 420
"""

RETURN = r"""
mended:
  description: Containers that were put right, in words, such as one that was paused or did not work.
  type: list
  elements: str
  returned: when I(state=started)
"""

import signal
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.activation import Stack, activation_lock
from ansible_collections.slm.serving.plugins.module_utils.process import StackError
from ansible_collections.slm.serving.plugins.module_utils.releases import Releases


def start(stack: Stack) -> dict[str, Any]:
    """Bring the verified release up where it does not serve.

    Raises:
        StackError: it does not come up.
    """
    with activation_lock(take_over=False, patience=stack.timeout):
        mended = stack.start()
    return {"changed": mended is not None, "mended": mended or []}


def stop(stack: Stack) -> dict[str, Any]:
    """Stop unit and containers.

    Raises:
        StackError: they do not stop.
    """
    return {"changed": stack.stop()}


STATES = {"started": start, "stopped": stop}


def main() -> None:
    """Reach the state."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True, "choices": list(STATES)},
            "root": {"type": "path", "default": "/opt/slm-ft-serving"},
            "project": {"type": "str", "default": "slm-ft-serving"},
            "unit": {"type": "str", "default": "slm-ft-serving.service"},
            "timeout": {"type": "int", "default": 900},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, skipped=True, msg="nothing is started or stopped in check mode")
    signal.signal(signal.SIGTERM, lambda *_: module.fail_json(msg="ended by a newer run"))
    options = module.params
    stack = Stack(Releases(options["root"]), options["project"], options["unit"], options["timeout"])
    try:
        result = STATES[options["state"]](stack)
    except StackError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"the instance's file system refused: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
