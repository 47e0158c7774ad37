"""The stack's containers: their states and their logs, without secrets."""

from __future__ import annotations

import json
from typing import TypedDict

from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run
from ansible_collections.slm.serving.plugins.module_utils.redaction import redact

SERVICE_LABEL = "com.docker.compose.service"
PROJECT_LABEL = "com.docker.compose.project"


class Container(TypedDict):
    """A container's state; `health` is `none` where the image has no health check."""

    id: str
    status: str
    health: str
    exit_code: int
    oom_killed: bool
    restarts: int
    started: str


def containers(project: str) -> dict[str, Container]:
    """Return the containers of a compose project by service.

    Raises:
        StackError: Docker does not answer.
    """
    listed = run(["docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={PROJECT_LABEL}={project}"])
    if listed.returncode != 0:
        raise StackError(f"Docker does not answer: {last_line(listed.stderr)}")
    ids = listed.stdout.split()
    if not ids:
        return {}
    by_service: dict[str, Container] = {}
    for container in json.loads(run(["docker", "inspect", *ids]).stdout or "[]"):
        state = container["State"]
        by_service[container["Config"]["Labels"].get(SERVICE_LABEL, container["Name"])] = {
            "id": container["Id"],
            "status": state["Status"],
            "health": state.get("Health", {}).get("Status", "none"),
            "exit_code": state["ExitCode"],
            "oom_killed": state.get("OOMKilled", False),
            "restarts": container["RestartCount"],
            "started": state["StartedAt"],
        }
    return by_service


def describe(service: str, container: Container) -> str:
    """Return a container's state in a few words."""
    words = f"{service} is {container['status']}"
    if container["status"] == "running":
        words += f" ({container['health']})"
    else:
        words += f" (exit code {container['exit_code']})"
    if container["oom_killed"]:
        words += ", killed for lack of memory"
    if container["restarts"]:
        words += f", restarted {container['restarts']} times"
    return words


def logs(container: Container, lines: int | None = None) -> str:
    """Return a container's log, or its last lines, without secrets."""
    tail = "all" if lines is None else str(lines)
    result = run(["docker", "logs", "--tail", tail, container["id"]], timeout=60)
    return redact(result.stdout + result.stderr)
