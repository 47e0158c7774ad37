#!/usr/bin/python
"""Load NVIDIA's driver and register its runtime with Docker; restart no more than is needed.

An own module: it is a dozen steps in one session, and `nvidia-ctk runtime configure` keeps no copy of daemon.json, does
not have Docker check it, and leaves the restart to its caller.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_runtime_setup
short_description: Load NVIDIA's driver and register its runtime with Docker
description:
  - Docker reads new runtimes without a restart. It is restarted only where it was started before the toolkit was
    installed, since it looks for the toolkit at its own start; the containers that ran before then run again.
  - The settings in daemon.json are kept, and a copy of the file as it was. A broken file is not touched.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  daemon_json:
    description: Docker's settings.
    type: path
    default: /etc/docker/daemon.json
  timeout:
    description: Seconds until Docker answers again.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Load the driver and register the runtime
  slm.serving.nvidia_runtime_setup:
  register: nvidia_runtime
"""

RETURN = r"""
reboot_required:
  description: Why the instance has to be rebooted; empty when it has not.
  type: str
  returned: success
docker_restarted:
  description: Whether Docker was restarted.
  type: bool
  returned: success
stopped_containers:
  description: Names of the containers that the restart stopped; they run again.
  type: list
  elements: str
  returned: success
backup_file:
  description: The copy of daemon.json as it was, when it was changed.
  type: str
  returned: success
"""

import json
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.files import write_file
from ansible_collections.slm.serving.plugins.module_utils.nvidia import (
    RUNTIME,
    docker_runtimes,
    docker_started_before_toolkit,
    gpus_of_host,
    read_settings,
    with_runtime,
)
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run

CONTAINER_START_SECONDS = 300


def load_driver(module: AnsibleModule) -> tuple[bool, str]:
    """Load the kernel module unless it is loaded; return whether it was, and why a reboot is needed, if one is."""
    gpus, reason = gpus_of_host()
    if gpus:
        return False, ""
    if not reason:
        raise StackError("NVIDIA's driver is not installed: there is no nvidia-smi")
    if module.check_mode:
        return True, ""
    run(["modprobe", "nvidia"], timeout=120)
    gpus, reason = gpus_of_host()
    return True, "" if gpus else reason


def register(module: AnsibleModule) -> str | None:
    """Add the runtime to daemon.json.

    Returns:
        The path of the earlier file's copy, empty without an earlier file; None when nothing has to change.

    Raises:
        StackError: Docker would refuse the file, which was not changed.
    """
    path = Path(module.params["daemon_json"])
    before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    settings = read_settings(before, str(path))
    extended = with_runtime(settings)
    if extended == settings:
        return None
    if module.check_mode:
        return ""
    text = json.dumps(extended, indent=4) + "\n"
    candidate = Path(module.tmpdir) / path.name
    candidate.write_text(text, encoding="utf-8")
    verdict = run(["dockerd", "--validate", "--config-file", str(candidate)])
    if verdict.returncode != 0:
        raise StackError(
            f"Docker refuses {path} with the runtime nvidia in it: {last_line(verdict.stderr + verdict.stdout)}."
            " Correct the file; it was not changed"
        )
    copy: str = module.backup_local(str(path)) if path.exists() else ""
    write_file(module, path, text, path.stat().st_mode & 0o7777 if path.exists() else 0o644)
    return copy


def knows_runtime(timeout: float) -> bool:
    """Say whether Docker knows the runtime within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while RUNTIME not in docker_runtimes():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def running_containers() -> dict[str, str]:
    """Return the names of the running containers by their ids."""
    listed = run(["docker", "ps", "--no-trunc", "--format", "{{.ID}} {{.Names}}"]).stdout
    return dict(line.split(maxsplit=1) for line in listed.splitlines())


def restart_docker(timeout: float) -> list[str]:
    """Restart Docker and start the containers that the restart stopped; return their names.

    With `live-restore` in daemon.json the containers run on. Without it they stop, and Docker starts only those again
    whose restart policy says so.

    Raises:
        StackError: Docker or a container did not come back.
    """
    before = running_containers()
    restarted = run(["systemctl", "restart", "docker.service"], timeout=300)
    if restarted.returncode != 0 or not knows_runtime(timeout):
        raise StackError(
            f"Docker did not come back with the runtime nvidia: {last_line(restarted.stderr)}."
            " See `journalctl --unit docker` on the instance"
        )
    running = running_containers()
    stopped = {key: name for key, name in before.items() if key not in running}
    if stopped:
        started = run(["docker", "start", *stopped], timeout=CONTAINER_START_SECONDS)
        if started.returncode != 0:
            raise StackError(
                f"Docker was restarted, and {', '.join(stopped.values())} did not start again:"
                f" {last_line(started.stderr)}"
            )
    return sorted(stopped.values())


def main() -> None:
    """Load, register, reload or restart, and report what is left to do."""
    module = AnsibleModule(
        argument_spec={
            "daemon_json": {"type": "path", "default": "/etc/docker/daemon.json"},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    timeout = module.params["timeout"]
    stopped: list[str] = []
    try:
        loaded, reboot = load_driver(module)
        copy = register(module)
        restart = docker_started_before_toolkit()
        registered = RUNTIME in docker_runtimes()
        if not module.check_mode and (not registered or copy is not None) and not restart:
            run(["systemctl", "reload", "docker.service"])
            restart = not knows_runtime(10)
        # A reboot starts Docker anew, and one stop of what serves is enough.
        restart = restart and not reboot
        if restart and not module.check_mode:
            stopped = restart_docker(timeout)
    except StackError as error:
        module.fail_json(msg=f"NVIDIA's runtime was not set up: {error}.")
    module.exit_json(
        changed=loaded or copy is not None or restart or not registered,
        reboot_required=reboot,
        docker_restarted=restart,
        stopped_containers=stopped,
        backup_file=copy or "",
    )


if __name__ == "__main__":
    main()
