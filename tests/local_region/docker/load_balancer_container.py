"""The data plane of the fake load balancer: HAProxy in a container, driven through its administration socket."""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from tests.local_region import names
from tests.local_region.docker import containers
from tests.local_region.docker.engine import DockerEngine
from tests.local_region.state import RegionState

BACKEND = "targets"
SOCKET = "/run/haproxy.sock"
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Place:
    """What HAProxy knows of one server.

    Attributes:
        up: Whether its health checks pass.
        requests: How many it works on.
    """

    up: bool
    requests: int


class Proxy:
    """HAProxy's servers by the number of the instance that they lead to."""

    def __init__(self, docker: str, region: str) -> None:
        """Know the container; start nothing.

        Args:
            docker: Path of the docker client.
            region: The region's name.
        """
        self._docker = docker
        self._container = names.load_balancer_container(region)

    def put_in(self, number: int) -> None:
        """Have an instance get requests once its health checks pass, and not before."""
        server = f"{BACKEND}/target-{number}"
        self._tell(f"set server {server} state ready; set server {server} health down")

    def drain(self, number: int) -> None:
        """Have an instance get no new request; those that it works on go on."""
        self._tell(f"set server {BACKEND}/target-{number} state drain")

    def take_out(self, number: int) -> None:
        """Have an instance get nothing, and end what it works on."""
        server = f"{BACKEND}/target-{number}"
        self._tell(f"set server {server} state maint; shutdown sessions server {server}")

    def places(self) -> Mapping[int, Place]:
        """Return each server by its number; nothing where the container does not run."""
        return parsed(self._tell("show stat"))

    def _tell(self, commands: str) -> str:
        command = [self._docker, "exec", "--interactive", self._container, "socat", "stdio", SOCKET]
        said = subprocess.run(
            command, input=f"{commands}\n", capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
        )
        return said.stdout


def parsed(statistics: str) -> dict[int, Place]:
    """Return what HAProxy's `show stat` says of each server.

    Args:
        statistics: Comma-separated values; the first line, which names the columns, begins with `# `.
    """
    rows = csv.DictReader(io.StringIO(statistics.removeprefix("# ")))
    return {
        int(row["svname"].rpartition("-")[2]): Place(row["status"].startswith("UP"), int(row["scur"]))
        for row in rows
        if row["pxname"] == BACKEND and row["svname"].startswith("target-")
    }


def ensure(engine: DockerEngine, state: RegionState, port: int, image: str) -> bool:
    """Start the load balancer on 127.0.0.1 of this machine.

    Args:
        engine: What it runs on.
        state: The region's.
        port: Its port on this machine.
        image: Its image.

    Returns:
        Whether it was started; it then leads nowhere yet.
    """
    container = names.load_balancer_container(state.name)
    settings = f"{containers.image_id(engine, image)} {port}"
    if containers.settings_of(engine, container) != settings:
        containers.remove(engine, container)
        engine.run(
            *("create", "--name", container),
            *("--label", containers.label(state.name), "--label", containers.settings_label(settings)),
            *("--label", containers.folder_label(state.folder)),
            *("--network", names.network_name(state.name), "--publish", f"127.0.0.1:{port}:8080"),
            *("--env", f"INSTANCE={names.instance_container(state.name)}"),
            image,
        )
    if containers.is_running(engine, container):
        return False
    engine.run("start", container)
    return True
