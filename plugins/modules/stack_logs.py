#!/usr/bin/python
"""Read the ends of the containers' logs, without secrets.

An own module, because no ready one takes the instance's secrets out of what it returns.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_logs
short_description: Read the ends of the containers' logs, without secrets
description:
  - Changes nothing. A service without a container has no log.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  project:
    description: The compose project.
    type: str
    default: slm-ft-serving
  services:
    description: The services whose logs are read.
    type: list
    elements: str
    default: [engine, gateway]
  lines:
    description: How many of the last lines of each.
    type: int
    default: 50
"""

EXAMPLES = r"""
- name: Read the end of the gateway's log
  slm.serving.stack_logs:
    services: [gateway]
    lines: 20
  register: ends
"""

RETURN = r"""
logs:
  description: The end of each service's log, by service.
  type: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.containers import containers, describe, logs
from ansible_collections.slm.serving.plugins.module_utils.process import StackError

# Characters of each: a session is a slow line.
LONGEST = 100_000


def read(project: str, services: list[str], lines: int) -> dict[str, str]:
    """Return the last lines of each service's log, below its container's state.

    Raises:
        StackError: Docker does not answer.
    """
    present = containers(project)
    return {
        service: f"{describe(service, present[service])}\n{logs(present[service], lines)[-LONGEST:].rstrip()}"
        if service in present
        else f"there is no container of the {service}"
        for service in services
    }


def main() -> None:
    """Read."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "default": "slm-ft-serving"},
            "services": {"type": "list", "elements": "str", "default": ["engine", "gateway"]},
            "lines": {"type": "int", "default": 50},
        },
        supports_check_mode=True,
    )
    options = module.params
    try:
        found = read(options["project"], options["services"], max(options["lines"], 1))
    except StackError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, logs=found)


if __name__ == "__main__":
    main()
