#!/usr/bin/python
"""Read the ends of the logs of containers, units and kernel, without secrets.

An own module, because no ready one takes the instance's secrets out of what it returns.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_logs
short_description: Read the ends of the logs of containers, units and kernel, without secrets
description:
  - Changes nothing. A service without a container has no log, nor has a unit that never ran.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  project:
    description: The compose project.
    type: str
    default: slm-ft-serving
  services:
    description:
      - Whose logs are read. V(engine), V(gateway), V(router) and V(edge) are containers.
      - V(stack), V(secrets), V(training), V(idle-stop), V(metrics) (what goes to CloudWatch) and V(lifecycle) (what
        answers an Auto Scaling group) are the units of the project, V(docker) and V(agent) (Systems Manager's) are
        others; V(kernel) is the kernel since its boot, with the errors of a GPU (Xid).
    type: list
    elements: str
    choices:
      [engine, gateway, router, edge, stack, secrets, training, idle-stop, metrics, lifecycle, docker, agent, kernel]
    default: [engine, gateway]
  lines:
    description: How many of the last lines of each.
    type: int
    default: 50
"""

EXAMPLES = r"""
- name: Read the end of the gateway's log
  slm.serving.stack_logs:
    services: [gateway, kernel]
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
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run
from ansible_collections.slm.serving.plugins.module_utils.redaction import redact

CONTAINERS = ("engine", "gateway", "router", "edge")
# What journalctl is asked for, with the name of the project.
JOURNALS = {
    "stack": ("--unit", "{project}.service"),
    "secrets": ("--unit", "{project}-secrets.service"),
    "training": ("--unit", "{project}-training.service"),
    "idle-stop": ("--unit", "{project}-idle-stop.service"),
    "metrics": ("--unit", "{project}-metrics.service"),
    "lifecycle": ("--unit", "{project}-lifecycle.service"),
    "docker": ("--unit", "docker.service"),
    # As a package, and as Ubuntu's snap.
    "agent": ("--unit", "amazon-ssm-agent.service", "--unit", "snap.amazon-ssm-agent.amazon-ssm-agent.service"),
    "kernel": ("--dmesg",),
}
# Characters of each: a session is a slow line.
LONGEST = 100_000


def read(project: str, services: list[str], lines: int) -> dict[str, str]:
    """Return the last lines of each service's log; those of a container below its state.

    Raises:
        StackError: Docker or the journal does not answer.
    """
    # An engine that hangs, or a Docker that does, does not keep the others' logs from being read.
    present = containers(project) if set(services) & set(CONTAINERS) else {}

    def end(service: str) -> str:
        if service in JOURNALS:
            return journal(project, service, lines)[-LONGEST:].rstrip()
        if service not in present:
            return f"there is no container of the {service}"
        return f"{describe(service, present[service])}\n{logs(present[service], lines)[-LONGEST:].rstrip()}"

    return {service: end(service) for service in services}


def journal(project: str, part: str, lines: int) -> str:
    """Return the last lines of a part's journal, without secrets.

    Args:
        project: as its units are called.
        part: a key of JOURNALS.
        lines: how many.

    Raises:
        StackError: the journal cannot be read.
    """
    chosen = [word.format(project=project) for word in JOURNALS[part]]
    result = run(["journalctl", *chosen, "--lines", str(lines), "--no-pager", "--output", "short-iso"], timeout=30)
    if result.returncode != 0:
        raise StackError(f"journalctl does not show the log of {part}: {last_line(result.stderr)}")
    return redact(result.stdout)


def main() -> None:
    """Read."""
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "default": "slm-ft-serving"},
            "services": {
                "type": "list",
                "elements": "str",
                "choices": [*CONTAINERS, *JOURNALS],
                "default": ["engine", "gateway"],
            },
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
