"""The stack's containers: their states and their logs, without secrets."""

from __future__ import annotations

import json
from typing import TypedDict

from ansible_collections.slm.serving.plugins.module_utils.diagnosis import cause
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run
from ansible_collections.slm.serving.plugins.module_utils.redaction import redact

SERVICE_LABEL = "com.docker.compose.service"
PROJECT_LABEL = "com.docker.compose.project"
# Of a log, the lines in which a cause is looked for.
SEARCHED_LINES = 600


class Container(TypedDict):
    """A container's state; `health` is `none` where the image has no health check."""

    id: str
    name: str
    service: str
    status: str
    health: str
    exit_code: int
    error: str
    oom_killed: bool
    restarts: int
    started: str


def all_containers(project: str) -> list[Container]:
    """Return every container of a compose project; a service has two where compose was cut off while it made one anew.

    Raises:
        StackError: Docker does not answer.
    """
    listed = run(["docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={PROJECT_LABEL}={project}"])
    if listed.returncode != 0:
        raise StackError(f"Docker does not answer: {last_line(listed.stderr)}")
    ids = listed.stdout.split()
    if not ids:
        return []
    found: list[Container] = []
    for container in json.loads(run(["docker", "inspect", *ids]).stdout or "[]"):
        state, name = container["State"], container["Name"].removeprefix("/")
        found.append(
            {
                "id": container["Id"],
                "name": name,
                "service": (container["Config"].get("Labels") or {}).get(SERVICE_LABEL, name),
                "status": state["Status"],
                "health": (state.get("Health") or {}).get("Status") or "none",
                "exit_code": state["ExitCode"],
                "error": state.get("Error", ""),
                "oom_killed": state.get("OOMKilled", False),
                "restarts": container["RestartCount"],
                "started": state["StartedAt"],
            }
        )
    return found


def containers(project: str) -> dict[str, Container]:
    """Return the containers of a compose project by service; of two of one service, the one that runs.

    Raises:
        StackError: Docker does not answer.
    """
    by_service: dict[str, Container] = {}
    for container in all_containers(project):
        known = by_service.get(container["service"])
        if known is None or known["status"] != "running":
            by_service[container["service"]] = container
    return by_service


def is_well(container: Container) -> bool:
    """Say whether a container runs and its health check, where it has one, passes."""
    return container["status"] == "running" and container["health"] in {"healthy", "none"}


def describe(service: str, container: Container) -> str:
    """Return a container's state in a few words."""
    words = f"{service} is {container['status']}"
    if container["status"] == "running":
        words += f" ({container['health']})"
    elif container["status"] not in {"paused", "created"}:
        words += f" (exit code {container['exit_code']})"
    if container["oom_killed"]:
        words += ", killed for lack of memory"
    if container["restarts"]:
        words += f", restarted {container['restarts']} times"
    return words


def explain(service: str, container: Container) -> str:
    """Return a container's state, the command that shows its log, and last why it is not well."""
    how = f"`sudo docker logs {container['name']}` on the instance shows its log"
    # One that runs without passing its health check may have said nothing of it.
    told = "Its log says:" if container["status"] == "running" else "The cause:"
    return f"{describe(service, container)}; {how}. {told}\n{reason(container)}"


def reason(container: Container) -> str:
    """Return why a container is not well: what Docker says of its start, or its log's first error."""
    return redact(container["error"]) or cause(logs(container, SEARCHED_LINES))


def logs(container: Container, lines: int | None = None) -> str:
    """Return a container's log, or its last lines, without secrets."""
    tail = "all" if lines is None else str(lines)
    result = run(["docker", "logs", "--tail", tail, container["id"]], timeout=60)
    return redact(result.stdout + result.stderr)
