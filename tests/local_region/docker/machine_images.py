"""Machine images of the containers that stand for instances: a Docker image of each, and copies of its volumes."""

from __future__ import annotations

from tests.local_region import names
from tests.local_region.docker import containers
from tests.local_region.docker.engine import DockerEngine

# Where the instance keeps what must outlive a container: as volumes, because overlayfs cannot lie on overlayfs.
VOLUMES = {"docker": "/var/lib/docker", "opt": "/opt/slm-ft-serving", "var": "/var/lib/slm-ft-serving"}


def reference(region: str, machine_image: str) -> str:
    """Return the name of the Docker image of a machine image."""
    return f"{names.APPLICATION}-{region}-machine:{machine_image}"


def make(engine: DockerEngine, region: str, container: str, number: int, machine_image: str, helper: str) -> None:
    """Keep what a container and its volumes hold at one moment; it stands still meanwhile.

    Args:
        engine: What it runs on.
        region: The region's name.
        container: The container's.
        number: Of the instance in its region.
        machine_image: Id of the image.
        helper: Docker image with `cp`.

    Raises:
        DockerCommandError: Docker refuses.
    """
    engine.run("pause", container)
    try:
        engine.run("commit", "--pause=false", container, reference(region, machine_image))
        for purpose in VOLUMES:
            source = names.volume_name(region, purpose + names.suffix(number))
            _copy(engine, source, containers.ensure_volume(engine, region, f"{purpose}-{machine_image}"), helper)
    finally:
        engine.run("unpause", container)


def fill_volumes(engine: DockerEngine, region: str, machine_image: str, number: int, helper: str) -> None:
    """Make the volumes of a new instance from those of a machine image.

    Args:
        engine: What it runs on.
        region: The region's name.
        machine_image: Id of the image.
        number: Of the instance in its region.
        helper: Docker image with `cp`.

    Raises:
        DockerCommandError: Docker refuses, or there is no such image.
    """
    for purpose in VOLUMES:
        target = containers.ensure_volume(engine, region, purpose + names.suffix(number))
        _copy(engine, names.volume_name(region, f"{purpose}-{machine_image}"), target, helper)


def _copy(engine: DockerEngine, source: str, target: str, helper: str) -> None:
    """Copy a volume with owners, links, devices and the attributes by which overlayfs marks what was removed."""
    engine.run(
        # For overlayfs's attributes; `--privileged` is refused on some machines.
        *("run", "--rm", "--cap-add", "SYS_ADMIN", "--network", "none", "--entrypoint", "cp"),
        *("--volume", f"{source}:/from:ro", "--volume", f"{target}:/to", helper),
        *("--archive", "/from/.", "/to/"),
    )
