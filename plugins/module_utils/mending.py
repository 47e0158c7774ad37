"""Put the containers into a state from which `docker compose up` succeeds, before it is run.

Compose leaves a container alone when its configuration did not change, whatever has become of it: it cannot start a
paused one, stumbles over the half of one that it was making when the power went, and is content with one that hangs.
"""

from __future__ import annotations

import time

from ansible_collections.slm.serving.plugins.module_utils.containers import Container, all_containers
from ansible_collections.slm.serving.plugins.module_utils.edge import is_outdated
from ansible_collections.slm.serving.plugins.module_utils.engine import hangs
from ansible_collections.slm.serving.plugins.module_utils.process import run

# Never started or never wholly removed, and such that Docker starts again and again: compose makes them anew.
UNFINISHED = {"created", "dead", "removing", "restarting"}


def mend(project: str, patience: float) -> list[str]:
    """Unpause what is paused, and remove what is half made or runs without working; compose makes it anew.

    Args:
        project: of docker compose.
        patience: seconds for a container that runs to show that it works.

    Returns:
        What was done, in words.

    Raises:
        StackError: Docker does not answer.
    """
    done = unpause(project)
    present = all_containers(project)
    for container in present:
        why = _unfit(project, container, present, patience)
        if why:
            remove(container)
            done.append(f"removed {container['name']}, which {why}")
    return done


def wait_for_health_checks(project: str, patience: float) -> list[str]:
    """Wait until no container that runs is called unhealthy, and remove those that still are.

    Docker's word is from the last check, half a minute ago or more, so one that was paused or busy works again before
    it is called so. Compose does not wait: it gives up at once on a container with that word.

    Args:
        project: of docker compose.
        patience: seconds to wait.

    Returns:
        What was done, in words.

    Raises:
        StackError: Docker does not answer.
    """
    end = time.monotonic() + patience
    while unhealthy := [
        container
        for container in all_containers(project)
        if container["status"] == "running" and container["health"] == "unhealthy"
    ]:
        if time.monotonic() >= end:
            for container in unhealthy:
                remove(container)
            return [f"removed {container['name']}, whose health check failed" for container in unhealthy]
        time.sleep(1)
    return []


def unpause(project: str) -> list[str]:
    """Unpause the containers that are paused, since such a one can neither be started nor ended; return what was done.

    Raises:
        StackError: Docker does not answer.
    """
    paused = [container for container in all_containers(project) if container["status"] == "paused"]
    for container in paused:
        run(["docker", "unpause", container["id"]])
    return [f"unpaused {container['name']}" for container in paused]


def remove_all(project: str) -> None:
    """Remove every container of the project, whatever its state, so that compose begins with nothing.

    Raises:
        StackError: Docker does not answer.
    """
    unpause(project)
    for container in all_containers(project):
        remove(container)


def remove(container: Container) -> None:
    """Remove a container at once: one that hangs would only use up its grace period."""
    run(["docker", "rm", "--force", container["id"]], timeout=120)


def _unfit(project: str, container: Container, present: list[Container], patience: float) -> str:
    """Return why a container must be made anew, or an empty text."""
    if container["status"] in UNFINISHED | {"paused"}:
        return f"was {container['status']}"
    if container["name"] != f"{project}-{container['service']}-1" and _has_twin(container, present):
        return "was to take the place of another one"
    if container["status"] == "running" and container["health"] != "starting" and hangs(container, patience):
        return "did not work"
    if is_outdated(container):
        return "had an earlier certificate"
    return ""


def _has_twin(container: Container, present: list[Container]) -> bool:
    return any(
        other["service"] == container["service"] and other["id"] != container["id"]
        for other in present
        if other["status"] not in UNFINISHED
    )
