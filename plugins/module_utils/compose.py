"""Bring a release's containers up and stop waiting as soon as it is clear that they will not come."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from ansible_collections.slm.serving.plugins.module_utils.containers import Container, containers, explain, is_well
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run
from ansible_collections.slm.serving.plugins.module_utils.redaction import redact

# A container that Docker had to start again this often is not going to get well.
CRASH_LOOP = 2


def failure(project: str, headline: str) -> str:
    """Return the headline with the state of what is not well, and last why."""
    unwell = [item for item in sorted(containers(project).items(), reverse=True) if not is_well(item[1])]
    # The gateway comes up without the engine, so the engine's cause is the last thing that is said.
    return "\n".join([headline, *(explain(*item) for item in unwell)])


def crashing(project: str, before: dict[str, Container], least: int) -> str | None:
    """Return a service that Docker had to start again at least so often since `before`, or None."""
    for service, container in containers(project).items():
        earlier = before.get(service)
        restarts = container["restarts"] - (earlier["restarts"] if earlier and earlier["id"] == container["id"] else 0)
        if restarts >= least:
            return service
    return None


def crashed(project: str, before: dict[str, Container]) -> str | None:
    """Return a service whose container is new since `before` and has ended, or None.

    Whatever its exit code: vLLM ends with 0 when its core has died.
    """
    for service, container in containers(project).items():
        new = service not in before or before[service]["id"] != container["id"]
        if new and container["status"] in {"exited", "restarting"}:
            return service
    return None


def up(command: list[str], project: str, timeout: float, log: Path) -> None:
    """Run the unit's own `docker compose up --wait` command, watching the containers.

    Args:
        command: the command.
        project: of docker compose.
        timeout: seconds.
        log: the file that keeps compose's output.

    Raises:
        StackError: the containers do not become healthy; with the cause, as far as the failing one's log says it.
    """
    before = containers(project)
    deadline = time.monotonic() + timeout
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise StackError(failure(project, f"the containers are not healthy after {timeout:.0f} s"))
                service = crashing(project, before, least=CRASH_LOOP)
                if service:
                    raise StackError(failure(project, f"the {service} container crashes at start"))
                time.sleep(1)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=30)
    if process.returncode != 0:
        service = crashing(project, before, least=1) or crashed(project, before)
        if service:  # Compose itself only says that it exited.
            raise StackError(failure(project, f"the {service} container crashes at start"))
        reason = redact(last_line(log.read_text(encoding="utf-8", errors="replace")))
        raise StackError(failure(project, f"docker compose failed: {reason}"))


def stop(project: str, timeout: float = 300) -> None:
    """Stop the project's containers, the gateway first, each with its own grace period.

    Raises:
        StackError: compose refuses, or `timeout` seconds pass.
    """
    for services in (["gateway"], []):
        result = run(["docker", "compose", "--project-name", project, "stop", *services], timeout=timeout)
        if result.returncode != 0:
            raise StackError(f"docker compose stop failed: {last_line(result.stderr)}")
