#!/usr/bin/python
"""Report which Docker Engine and Compose an instance has.

An own module, because Ansible's facts do not know it, and because it is one session instead of three.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: container_runtime_info
short_description: Report which Docker Engine and Compose an instance has
description:
  - Changes nothing.
author:
  - The slm-ft-serving developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: See which container runtime is installed
  slm.serving.container_runtime_info:
  register: container_runtime
"""

RETURN = r"""
engine:
  description: Version of the running Docker Engine; empty when none answers.
  type: str
  returned: success
compose:
  description: Version of Docker Compose; empty when there is none.
  type: str
  returned: success
installed:
  description: Whether the docker command is installed.
  type: bool
  returned: success
enabled:
  description: Whether Docker starts at boot.
  type: bool
  returned: success
runtimes:
  description: Names of the runtimes that the engine knows.
  type: list
  elements: str
  returned: success
os:
  description: The distribution, with C(name), C(id), C(version), C(codename), C(family) and C(installer).
  type: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.os_release import read


def output(module: AnsibleModule, *command: str) -> str:
    """Return what a command prints, or nothing when it fails or is not installed."""
    try:
        code, text, _ = module.run_command(list(command), handle_exceptions=False)
    except OSError:
        return ""
    return str(text).strip() if code == 0 else ""


def main() -> None:
    """Report."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.exit_json(
        changed=False,
        engine=output(module, "docker", "version", "--format", "{{.Server.Version}}"),
        compose=output(module, "docker", "compose", "version", "--short").removeprefix("v"),
        installed=module.get_bin_path("docker") is not None,
        enabled=output(module, "systemctl", "is-enabled", "docker.service") == "enabled",
        runtimes=output(module, "docker", "info", "--format", "{{range $k, $_ := .Runtimes}}{{$k}} {{end}}").split(),
        os=read(),
    )


if __name__ == "__main__":
    main()
