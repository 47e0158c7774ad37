#!/usr/bin/python
"""Tell which Docker Engine and Compose an instance has.

An own module, because Ansible's facts do not know it, and because it is one session instead of three.
"""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.os_release import read

DOCUMENTATION = r"""
module: container_runtime_info
short_description: Tell which Docker Engine and Compose an instance has
description:
  - Changes nothing.
options: {}
"""

RETURN = r"""
engine:
  description: Version of the running Docker Engine; empty when none answers.
  type: str
compose:
  description: Version of Docker Compose; empty when there is none.
  type: str
installed:
  description: Whether the docker command is there.
  type: bool
enabled:
  description: Whether Docker starts at boot.
  type: bool
runtimes:
  description: Names of the runtimes that the engine knows.
  type: list
os:
  description: The distribution, with C(name), C(id), C(codename) and C(installer).
  type: dict
"""


def output(module: AnsibleModule, *command: str) -> str:
    """Return what a command prints, or nothing when it fails or is not there."""
    try:
        code, text, _ = module.run_command(list(command), handle_exceptions=False)
    except OSError:
        return ""
    return text.strip() if code == 0 else ""


def main() -> None:
    """Look and tell."""
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
