#!/usr/bin/python
"""Report what an instance has of NVIDIA's driver, toolkit and Docker runtime, and prove a GPU inside a container.

An own module, because it is one session in place of six.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_runtime_info
short_description: Report what an instance has of NVIDIA's driver, container toolkit and Docker runtime
description:
  - Changes nothing. Where nothing is missing and the image is on the instance, a container of it shows that it sees a
    GPU.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  image:
    description: Reference of the image for the proof; without one, nothing is proven.
    type: str
    default: ''
  minimum_driver:
    description: Least version of a driver that is installed already.
    type: str
    required: true
  minimum_toolkit:
    description: Least version of a container toolkit that is installed already.
    type: str
    required: true
  daemon_json:
    description: Docker's settings.
    type: path
    default: /etc/docker/daemon.json
  timeout:
    description: Seconds for the proof.
    type: int
    default: 120
  require_proof:
    description: Whether a proof that takes longer is a failure; else nothing is proven then.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: See what an instance has of NVIDIA's runtime
  slm.serving.nvidia_runtime_info:
    minimum_driver: 580.65.06
    minimum_toolkit: 1.17.8
  register: nvidia_runtime
"""

RETURN = r"""
missing:
  description:
    - What is missing, of C(driver), C(module) (installed, but not loaded), C(toolkit), C(runtime) (Docker does not know
      it) and C(restart) (Docker was started before the toolkit was installed).
  type: list
  elements: str
  returned: success
gpus:
  description: The GPUs that the driver sees, each with C(name), C(driver) and C(memory) in MiB.
  type: list
  elements: dict
  returned: success
proven:
  description: Whether a container saw a GPU.
  type: bool
  returned: success
toolkit:
  description: Version of the container toolkit; empty without one.
  type: str
  returned: success
reason:
  description: Why an installed driver sees no GPU.
  type: str
  returned: success
os:
  description: The distribution, with C(name), C(id), C(version), C(codename), C(family) and C(installer).
  type: dict
  returned: success
kernel:
  description: Release of the running kernel.
  type: str
  returned: success
machine:
  description: The processor's architecture.
  type: str
  returned: success
boot:
  description: What differs between any two boots.
  type: str
  returned: success
unheld_packages:
  description: Packages that may bring, by themselves, a kernel that has no module of the driver.
  type: list
  elements: str
  returned: success
unheld_snaps:
  description: The agent of Systems Manager, where it is a snap that may be refreshed at any time.
  type: list
  elements: str
  returned: success
"""

import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.docker_engine import has_image
from ansible_collections.slm.serving.plugins.module_utils.nvidia import (
    RUNTIME,
    Gpu,
    boot,
    docker_runtimes,
    docker_started_before_toolkit,
    gpus_of_container,
    gpus_of_host,
    has_gpu_hardware,
    is_older,
    read_settings,
    toolkit_version,
)
from ansible_collections.slm.serving.plugins.module_utils.os_release import read
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, TooLateError
from ansible_collections.slm.serving.plugins.module_utils.updates import (
    AGENT,
    agent_is_refreshed,
    kernels_without_module,
)


def inspect(module: AnsibleModule) -> dict[str, Any]:
    """Return what is installed; see RETURN. Raises StackError for what no installation can correct."""
    path = Path(module.params["daemon_json"])
    if path.exists():
        read_settings(path.read_text(encoding="utf-8", errors="replace"), str(path))
    gpus, reason = gpus_of_host()
    if not gpus and not has_gpu_hardware():
        raise StackError(
            "this instance has no NVIDIA GPU. Take an instance type with one (g6.2xlarge), or set the parameter"
            " engine/accelerator to cpu"
        )
    toolkit = toolkit_version()
    check_versions(module, gpus, toolkit)
    checks = {
        "driver": not gpus and not reason,
        "module": bool(reason),
        "toolkit": not toolkit,
        "runtime": RUNTIME not in docker_runtimes(),
        "restart": docker_started_before_toolkit(),
    }
    kernel = os.uname()
    return {
        "missing": [name for name, is_missing in checks.items() if is_missing],
        "gpus": gpus,
        "reason": reason,
        "toolkit": toolkit,
        "os": read(),
        "kernel": kernel.release,
        "machine": kernel.machine,
        "boot": boot(),
        "unheld_packages": kernels_without_module(),
        "unheld_snaps": [AGENT] if agent_is_refreshed() else [],
    }


def check_versions(module: AnsibleModule, gpus: list[Gpu], toolkit: str) -> None:
    """Raise StackError for what is installed and too old: who installed it is not known, so it is not replaced."""
    driver = gpus[0]["driver"] if gpus else ""
    for what, version, least in (
        ("NVIDIA's driver", driver, module.params["minimum_driver"]),
        ("the NVIDIA Container Toolkit", toolkit, module.params["minimum_toolkit"]),
    ):
        if is_older(version, least):
            raise StackError(
                f"{what} is {version}, and {least} or later is needed. Take a newer Deep Learning AMI, or update it by"
                " hand: what an AMI brings is not replaced"
            )


def is_proven(module: AnsibleModule) -> bool:
    """Say whether a container has shown that it sees a GPU; False where it did not in time and need not.

    Raises:
        StackError: it sees none.
    """
    try:
        gpus_of_container(module.params["image"], module.params["timeout"])
    except TooLateError:
        if module.params["require_proof"]:
            raise
        return False
    return True


def main() -> None:
    """Inspect, prove and report."""
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "default": ""},
            "minimum_driver": {"type": "str", "required": True},
            "minimum_toolkit": {"type": "str", "required": True},
            "daemon_json": {"type": "path", "default": "/etc/docker/daemon.json"},
            "timeout": {"type": "int", "default": 120},
            "require_proof": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    image = module.params["image"]
    try:
        result = inspect(module)
        complete = bool(image) and not result["missing"]
        result["proven"] = complete and has_image(image) and is_proven(module)
    except StackError as error:
        module.fail_json(msg=f"The accelerator is gpu, but {error}.")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
