"""The container that stands for the EC2 instance: kept when it is stopped, so that its data stays as on EBS."""

from __future__ import annotations

import threading
import time

from tests.local_region import names
from tests.local_region.docker import containers, images, machine_images
from tests.local_region.docker.engine import DockerCommandError, DockerEngine
from tests.local_region.docker.machine import Machine, MachineError
from tests.local_region.errors import RegionError
from tests.local_region.state import RegionState

BOOT_TIMEOUT_SECONDS = 60
# Every capability that a daemon knows but SYS_RESOURCE: for machines whose root lacks that one and where `--privileged`
# is refused for it.
CAPABILITIES = (
    *("AUDIT_CONTROL", "AUDIT_READ", "BLOCK_SUSPEND", "DAC_READ_SEARCH", "IPC_LOCK", "IPC_OWNER", "LEASE"),
    *(
        "LINUX_IMMUTABLE",
        "MAC_ADMIN",
        "MAC_OVERRIDE",
        "NET_ADMIN",
        "NET_BROADCAST",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_MODULE",
    ),
    *("SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_TIME", "SYS_TTY_CONFIG", "SYSLOG", "WAKE_ALARM"),
)


class InstanceMachine(Machine):
    """The machine of one instance: EC2 makes it with RunInstances and removes it with TerminateInstances."""

    def __init__(self, docker: str, state: RegionState, number: int = 1) -> None:
        """Know the machine; make nothing.

        Args:
            docker: Path of the docker client.
            state: The region's.
            number: Of the instance in its region, from 1.
        """
        super().__init__(docker, names.instance_container(state.name, number))
        self._number = number
        self._engine = DockerEngine(docker, version="", started_by_us=False)
        self._state = state
        self._changing = threading.Lock()

    def create(self, machine_image: str = "") -> None:
        """Start the container and boot its systemd; what is there already stays.

        Args:
            machine_image: Id of the image that `snapshot` was given for it; empty means that of every region.

        Raises:
            MachineError: Docker refuses, or systemd does not boot in time.
        """
        with self._changing:
            try:
                image = images.reference(images.SPECS["instance"])
                if machine_image:
                    machine_images.fill_volumes(self._engine, self._state.name, machine_image, self._number, image)
                    image = machine_images.reference(self._state.name, machine_image)
                ensure(self._engine, self._state, image, self._number)
            except RegionError as error:
                raise MachineError(str(error)) from error

    def snapshot(self, machine_image: str) -> None:
        """Keep what the machine has on its disks at this moment, as EC2 makes an image without a reboot.

        Args:
            machine_image: Id of the image, for `create`.

        Raises:
            MachineError: Docker refuses.
        """
        try:
            image = images.reference(images.SPECS["instance"])
            machine_images.make(self._engine, self._state.name, self.container, self._number, machine_image, image)
        except RegionError as error:
            raise MachineError(str(error)) from error

    def remove(self) -> None:
        """Remove the container and its volumes, as EBS volumes go with their instance.

        Raises:
            MachineError: Docker refuses.
        """
        with self._changing:
            self.stop()
            try:
                remove(self._engine, self._state.name, self._number)
            except RegionError as error:
                raise MachineError(str(error)) from error


def remove(engine: DockerEngine, region: str, number: int = 1) -> None:
    """Remove the container of one of a region's instances and its volumes, where they are there.

    Raises:
        DockerCommandError: A volume is in use.
    """
    containers.remove(engine, names.instance_container(region, number))
    volumes = [names.volume_name(region, purpose + names.suffix(number)) for purpose in machine_images.VOLUMES]
    engine.run("volume", "rm", "--force", *volumes)


def ensure(engine: DockerEngine, state: RegionState, image: str, number: int = 1) -> str:
    """Start an instance and boot its systemd; a container of an older image is replaced, and its volumes are kept.

    Args:
        engine: What it runs on.
        state: The region's.
        image: The instance's image.
        number: Of the instance in its region, from 1.

    Returns:
        What was done: `was running`, `started`, `created` or `replaced`.

    Raises:
        RegionError: Docker refuses the container, or systemd does not boot in time.
    """
    ports = state.choose_ports()
    container = names.instance_container(state.name, number)
    machine = containers.machine_address(engine, state.name)
    settings = f"{containers.image_id(engine, image)} {machine} {ports.api} {ports.gateway}"
    before = containers.settings_of(engine, container)
    did = "was running"
    if before != settings:
        if before is not None:
            engine.run("stop", "--time", "60", container, check=False)
        containers.remove(engine, container)
        _create(engine, state, image, settings, number)
        did = "created" if before is None else "replaced"
    elif not containers.is_running(engine, container):
        engine.run("start", container)
        did = "started"
    _wait_until_booted(engine, container)
    _require_api(engine, state, container)
    return did


def _wait_until_booted(engine: DockerEngine, container: str) -> None:
    """Wait until sessions can be opened.

    Raises:
        RegionError: That takes too long; the message holds the end of the container's log.
    """
    machine = Machine(engine.client, container)
    deadline = time.monotonic() + BOOT_TIMEOUT_SECONDS
    while not machine.agent_is_active():
        if time.monotonic() > deadline or not machine.is_running():
            log = engine.run("logs", "--tail", "15", machine.container, check=False)
            raise RegionError(
                f"The instance {machine.container} did not boot. The end of its log:\n{log.stdout}{log.stderr}"
            )
        time.sleep(0.2)


def _require_api(engine: DockerEngine, state: RegionState, container: str) -> None:
    """Check that the instance reaches the API server.

    Raises:
        RegionError: It does not, as with a firewall in between.
    """
    port = state.choose_ports().api
    url = f"http://127.0.0.1:{port}{names.API_STATUS_PATH}"
    if (
        engine.run("exec", container, "curl", "--silent", "--fail", "--max-time", "10", url, check=False).returncode
        != 0
    ):
        machine = containers.machine_address(engine, state.name) or "host.docker.internal"
        raise RegionError(
            f"The instance does not reach the API server on {machine} port {port}. A firewall on this machine may drop "
            f"what comes from Docker's networks: allow TCP port {port} from {names.network_name(state.name)}, "
            "then run up again."
        )


def _create(engine: DockerEngine, state: RegionState, image: str, settings: str, number: int) -> None:
    container = names.instance_container(state.name, number)
    arguments = [*_arguments(engine, state, settings, number), image]
    try:
        engine.run("run", "--detach", "--privileged", *arguments)
    except DockerCommandError as error:
        containers.remove(engine, container)
        _create_with_capabilities(engine, container, arguments, str(error))


def _create_with_capabilities(engine: DockerEngine, container: str, arguments: list[str], refusal: str) -> None:
    options = [argument for each in CAPABILITIES for argument in ("--cap-add", each)]
    options += ["--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined"]
    if "apparmor" in engine.run("info", "--format", "{{.SecurityOptions}}").stdout:
        options += ["--security-opt", "apparmor=unconfined"]
    try:
        engine.run("run", "--detach", *options, *arguments)
    except DockerCommandError as error:
        containers.remove(engine, container)
        raise RegionError(
            f"Docker refuses the instance's container, privileged ({refusal}) and with single capabilities ({error})."
        ) from error


def _arguments(engine: DockerEngine, state: RegionState, settings: str, number: int) -> list[str]:
    ports = state.choose_ports()
    machine = containers.machine_address(engine, state.name) or "host-gateway"
    volumes = [
        argument
        for purpose, path in machine_images.VOLUMES.items()
        for argument in (
            "--volume",
            f"{containers.ensure_volume(engine, state.name, purpose + names.suffix(number))}:{path}",
        )
    ]
    return [
        *("--name", names.instance_container(state.name, number)),
        *("--hostname", f"instance-{state.name}{names.suffix(number)}"),
        *("--label", containers.label(state.name), "--label", containers.settings_label(settings)),
        *("--label", containers.folder_label(state.folder)),
        *("--network", names.network_name(state.name), "--add-host", f"host.docker.internal:{machine}"),
        # Of further instances the load balancer alone is called.
        *(("--publish", f"127.0.0.1:{ports.gateway}:8080") if number == 1 else ()),
        *("--tmpfs", "/run:exec,mode=755", "--tmpfs", "/run/lock"),
        *_control_groups(engine),
        *volumes,
        *("--volume", f"{state.certificates / 'ca.crt'}:/etc/docker/certs.d/{names.ECR_HOST}/ca.crt:ro"),
        *("--env", f"LOCAL_REGION_API_PORT={ports.api}", "--env", f"LOCAL_REGION_AWS_REGION={names.AWS_REGION}"),
    ]


def _control_groups(engine: DockerEngine) -> list[str]:
    """Return the arguments by which systemd finds control groups that it may write to."""
    if engine.run("info", "--format", "{{.CgroupVersion}}").stdout.strip() == "1":
        return ["--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]
    return ["--cgroupns", "private"]
