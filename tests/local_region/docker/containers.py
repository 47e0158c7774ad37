"""What is common to the region's containers: label, network, whether one runs what it should."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.local_region import names
from tests.local_region.docker.engine import DockerEngine


def label(region: str) -> str:
    """Return the label that everything of a region carries in Docker."""
    return f"{names.REGION_LABEL}={region}"


def ensure_network(engine: DockerEngine, region: str) -> None:
    """Make the region's network unless it is there."""
    name = names.network_name(region)
    if engine.run("network", "inspect", name, check=False).returncode != 0:
        engine.run("network", "create", "--label", label(region), name)


def machine_address(engine: DockerEngine, region: str) -> str | None:
    """Return the address by which containers reach this machine; None where Docker's bridges are not on it.

    Not the default bridge's: the instance's own Docker Engine has a bridge at that very address. Docker Desktop keeps
    its bridges in a virtual machine, and forwards `host-gateway` to this machine's loopback.
    """
    template = "{{range .IPAM.Config}}{{.Gateway}} {{end}}"
    answer = engine.run("network", "inspect", names.network_name(region), "--format", template)
    for address in answer.stdout.split():
        if ":" not in address and _is_here(address):
            return address
    return None


def _is_here(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def at_address(engine: DockerEngine, region: str, address: str) -> str | None:
    """Return the name of the region's container that has an address in its network; None where none has."""
    template = "{{range .Containers}}{{.Name}} {{.IPv4Address}}\n{{end}}"
    answer = engine.run("network", "inspect", names.network_name(region), "--format", template, check=False)
    pairs = (line.split() for line in answer.stdout.splitlines())
    return next((pair[0] for pair in pairs if len(pair) == 2 and pair[1].partition("/")[0] == address), None)


def ensure_volume(engine: DockerEngine, region: str, purpose: str) -> str:
    """Make one of the region's volumes where it is missing, and return its name."""
    name = names.volume_name(region, purpose)
    if engine.run("volume", "inspect", name, check=False).returncode != 0:
        engine.run("volume", "create", "--label", label(region), name)
    return name


def is_running(engine: DockerEngine, container: str) -> bool:
    """Return whether a container exists and runs."""
    answer = engine.run("container", "inspect", "--format", "{{.State.Running}}", container, check=False)
    return answer.returncode == 0 and answer.stdout.strip() == "true"


def holds_port(engine: DockerEngine, container: str, port: int) -> bool:
    """Return whether a container runs and holds a port of this machine."""
    answer = engine.run("port", container, check=False)
    return answer.returncode == 0 and any(line.endswith(f":{port}") for line in answer.stdout.splitlines())


def settings_of(engine: DockerEngine, container: str) -> str | None:
    """Return the settings that a container was made with, from its label; None when there is no such container."""
    template = f'{{{{index .Config.Labels "{names.REGION_LABEL}.settings"}}}}'
    answer = engine.run("container", "inspect", "--format", template, container, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


def settings_label(settings: str) -> str:
    """Return the label that records what a container was made with, so that `up` sees when it is out of date."""
    return f"{names.REGION_LABEL}.settings={settings}"


def image_id(engine: DockerEngine, image: str) -> str:
    """Return the id of an image that is there.

    Raises:
        DockerCommandError: It is not.
    """
    return engine.run("image", "inspect", "--format", "{{.Id}}", image).stdout.strip()


def folders_of(engine: DockerEngine, region: str) -> set[Path]:
    """Return the state folders that a region's containers were made for: one, none, or that of another copy."""
    template = f'{{{{.Label "{names.REGION_LABEL}.folder"}}}}'
    answer = engine.run("ps", "--all", "--filter", f"label={label(region)}", "--format", template)
    return {Path(line) for line in answer.stdout.splitlines() if line}


def regions(engine: DockerEngine) -> dict[str, set[Path]]:
    """Return the regions that have containers, of whatever copy, and the state folders that these were made for."""
    template = f'{{{{.Label "{names.REGION_LABEL}"}}}} {{{{.Label "{names.REGION_LABEL}.folder"}}}}'
    answer = engine.run("ps", "--all", "--filter", f"label={names.REGION_LABEL}", "--format", template)
    found: dict[str, set[Path]] = {}
    for line in answer.stdout.splitlines():
        region, _, folder = line.partition(" ")
        found.setdefault(region, set()).update({Path(folder)} if folder else ())
    return found


def folder_label(folder: Path) -> str:
    """Return the label that records the state folder which a container was made for."""
    return f"{names.REGION_LABEL}.folder={folder}"


def remove(engine: DockerEngine, container: str) -> None:
    """Remove a container, running or not, if it is there."""
    engine.run("container", "rm", "--force", "--volumes", container, check=False)


def remove_all(engine: DockerEngine, region: str) -> int:
    """Remove every container, volume, network and machine image of a region; return how many."""
    label_filter = f"label={label(region)}"
    containers = engine.run("ps", "--all", "--quiet", "--filter", label_filter).stdout.split()
    if containers:
        engine.run("rm", "--force", "--volumes", *containers)
    volumes = engine.run("volume", "ls", "--quiet", "--filter", label_filter).stdout.split()
    if volumes:
        engine.run("volume", "rm", *volumes)
    networks = engine.run("network", "ls", "--quiet", "--filter", label_filter).stdout.split()
    if networks:
        engine.run("network", "rm", *networks)
    # Made of a container, whose label they have; what containers are made of is of no region.
    images = set(engine.run("image", "ls", "--quiet", "--filter", label_filter).stdout.split())
    if images:
        engine.run("image", "rm", "--force", *sorted(images))
    return len(containers) + len(volumes) + len(networks) + len(images)
