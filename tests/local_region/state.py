"""What a region remembers between commands: its ports, its instance's id and where its files lie."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tests.local_region import names
from tests.local_region.errors import RegionError

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


@dataclass(frozen=True)
class Ports:
    """Ports on 127.0.0.1: AWS's API, the registry behind ECR, the gateway of the first instance, the load balancer.

    0 for the load balancer means that a region has none.
    """

    api: int
    registry: int
    gateway: int
    load_balancer: int = 0


class RegionState:
    """The folder of one region, `.local-region/NAME`, and the files in it."""

    def __init__(self, name: str, root: Path | None = None) -> None:
        """Name the files; make none.

        Args:
            name: Lower-case letters, digits and dashes.
            root: Folder of all regions; this repository's when it is None.

        Raises:
            RegionError: The name is another.
        """
        if not NAME_PATTERN.fullmatch(name):
            raise RegionError(f"A region's name is 1 to 31 lower-case letters, digits and dashes, not {name!r}.")
        self.name = name
        self.folder = (root or names.STATE_ROOT) / name

    @property
    def exists(self) -> bool:
        """Whether `up` ever ran for this region (and `down` has not removed it since)."""
        return self._file.exists()

    @property
    def _file(self) -> Path:
        return self.folder / "state.json"

    @property
    def sessions(self) -> Path:
        """Folder of the sessions' output, a file a session, and of their counter."""
        return self.folder / "sessions"

    @property
    def faults(self) -> Path:
        """Folder of the faults that are switched on, a file a fault."""
        return self.folder / "faults"

    @property
    def certificates(self) -> Path:
        """Folder of the region's certificate authority and the registry's certificate."""
        return self.folder / "certificates"

    @property
    def docker_config(self) -> Path:
        """Folder for `docker --config`, which holds the registry's log-in."""
        return self.folder / "docker-config"

    @property
    def gateway_api_key(self) -> Path:
        """File with the demonstration key of the gateway, in plain text, mode 0600."""
        return self.folder / "gateway-api-key"

    @property
    def hf_token(self) -> Path:
        """File with the made-up Hugging Face token that the secret holds, mode 0600."""
        return self.folder / "hf-token"

    @property
    def api_pid(self) -> Path:
        """File with the process id of the API server."""
        return self.folder / "api.pid"

    @property
    def api_log(self) -> Path:
        """Log of the API server: a line a call, without contents."""
        return self.folder / "api.log"

    @property
    def api_calls(self) -> Path:
        """What operators and instance asked AWS's API for: a line of JSON for each question to a policy."""
        return self.folder / "api-calls.jsonl"

    @property
    def aws(self) -> Path:
        """Folder of the AWS configuration that `env` points to, so that the operator's own is left alone."""
        return self.folder / "aws"

    @contextmanager
    def locked(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Keep other commands for this region off meanwhile.

        Args:
            waiting: Called once when another command is at work, before waiting for its end.
        """
        with _locked(self.folder.parent / f"{self.name}.lock", waiting):
            yield

    def prepare(self) -> None:
        """Make the region's folders, private to this user."""
        for folder in (self.folder, self.sessions, self.faults, self.certificates, self.docker_config, self.aws):
            folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)

    def remove(self) -> None:
        """Remove the region's folder and all in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def load_ports(self) -> Ports | None:
        """Return the ports chosen by an earlier `up`; None when there was none or the file cannot be read."""
        try:
            return Ports(**json.loads(self._file.read_text(encoding="utf-8"))["ports"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def save_ports(self, ports: Ports) -> None:
        """Remember the ports."""
        temporary = self._file.with_suffix(".tmp")
        temporary.write_text(json.dumps({"name": self.name, "ports": asdict(ports)}, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self._file)

    def choose_ports(self, *, load_balancer: bool = False) -> Ports:
        """Return the ports of an earlier `up`, else well-known ones for the default region, free ones for others.

        Args:
            load_balancer: Whether there has to be one for a load balancer too.
        """
        ports = self._chosen()
        if not load_balancer or ports.load_balancer:
            return ports
        default = self.name == names.DEFAULT_REGION_NAME
        return replace(ports, load_balancer=names.DEFAULT_LOAD_BALANCER_PORT if default else _free_ports(1)[0])

    def _chosen(self) -> Ports:
        ports = self.load_ports()
        if ports is not None:
            return ports
        if self.name == names.DEFAULT_REGION_NAME:
            return Ports(names.DEFAULT_API_PORT, names.DEFAULT_REGISTRY_PORT, names.DEFAULT_GATEWAY_PORT)
        return Ports(*_free_ports(3))


@contextmanager
def docker_locked(waiting: Callable[[], None], root: Path = names.STATE_ROOT) -> Iterator[None]:
    """Keep the commands of all regions off the Docker Engine's start and end and the images, which they share.

    Args:
        waiting: Called once when another command is at work, before waiting for its end.
        root: Folder of all regions.
    """
    with _locked(root / ".lock", waiting):
        yield


@contextmanager
def _locked(file: Path, waiting: Callable[[], None]) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    # The lock goes with the process, however that ends.
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _free_ports(count: int) -> list[int]:
    """Return ports that are free now; they are held together meanwhile, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
