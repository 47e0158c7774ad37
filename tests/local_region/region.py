"""A local region as tests and commands use it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.local_region import environment, names, seed
from tests.local_region.aws_api import process as api_process
from tests.local_region.docker import (
    containers,
    images,
    instance_container,
    load_balancer_container,
    ownership,
    registry_container,
)
from tests.local_region.docker import engine as docker_engine
from tests.local_region.docker.engine import DockerCommandError, DockerEngine, DockerUnavailable
from tests.local_region.docker.machine import Machine
from tests.local_region.errors import RegionError
from tests.local_region.faults import Faults
from tests.local_region.ports import require_free
from tests.local_region.state import Ports, RegionState, docker_locked
from tests.local_region.steps import Steps

# The image that is pushed as the engine's.
ENGINES: Mapping[str, str] = {"vllm": "engine", "stand-in": "stand-in"}

# Microseconds of processor in each tenth of a second; the kernel takes no less.
SLOW_REGISTRY_QUOTA = "1000"


class LocalRegion:
    """One local region. Regions of different names run side by side; `default` has the well-known ports."""

    def __init__(
        self,
        name: str = names.DEFAULT_REGION_NAME,
        *,
        ports: Ports | None = None,
        model: Path = seed.SMALL_MODEL,
        engine: str = "vllm",
        pushed: Sequence[str] = ("engine", "gateway"),
        instance_image: Callable[[DockerEngine, str], str] | None = None,
        empty_account: bool = False,
        training_data: Path | None = None,
        further_adapters: bool = False,
        instances: int = 1,
        steps: Steps | None = None,
    ) -> None:
        """Describe a region; make nothing.

        Args:
            name: Lower-case letters, digits, dashes.
            ports: Taken in place of those remembered or chosen.
            model: Folder with `base` and `adapter`, uploaded to S3.
            engine: `vllm`, or `stand-in`, a fake that needs no model and starts in a moment.
            pushed: Images that the registry gets.
            instance_image: Makes the image of the instance from that of every region.
            empty_account: Whether the account holds nothing, as before provision.yml, which then makes the instance
                too; what comes after it is `give_images_and_model`.
            training_data: Folder with train.jsonl and validation.jsonl, for playbooks/finetune.yml; the trainer's
                image is then pushed too.
            further_adapters: Whether the other tasks' adapters that lie beside the model are seeded too. Every
                verification asks their golden notes then.
            instances: How many there are; with several comes a load balancer. Of an empty account: for how many
                instances that is there, for provision.yml makes them.
            steps: Where progress is reported.

        Raises:
            RegionError: The name or the engine is none, or so many instances there cannot be.
        """
        if not 1 <= instances <= names.MOST_INSTANCES:
            raise RegionError(f"A region has 1 to {names.MOST_INSTANCES} instances, not {instances}.")
        if engine not in ENGINES:
            raise RegionError(f"There is no engine {engine!r}: take one of {', '.join(ENGINES)}.")
        self.name = name
        self.state = RegionState(name)
        self.faults = Faults(self.state.faults)
        self._requested_ports = ports
        self._model = model
        self._engine_image = ENGINES[engine]
        # The trainer's is large, so it is built for those who train.
        self._pushed = (*pushed, "trainer") if training_data else pushed
        self._training_data = training_data
        self._further_adapters = further_adapters
        self._instance_image = instance_image
        self._empty_account = empty_account
        self._instances = instances
        self._steps = steps or Steps()
        self._engine: DockerEngine | None = None

    def up(self) -> str:
        """Start everything of the region, whatever was there before.

        Takes minutes the first time (images are built), seconds when all runs.

        Returns:
            The first instance's id; empty for an empty account.

        Raises:
            RegionError: It cannot; the message says what to do.
        """
        steps = self._steps
        if self._training_data is not None:
            seed.training_files(self._training_data)  # Before the long work, not after it.
        try:
            with self.state.locked(self._say_waiting):
                instance_id = self._up(steps)
        except (DockerUnavailable, DockerCommandError) as error:
            raise RegionError(str(error)) from error
        steps.total(f"Region {self.name} is up, {f'instance {instance_id}' if instance_id else 'its account is empty'}")
        return instance_id

    def _up(self, steps: Steps) -> str:
        with docker_locked(self._say_waiting):
            with steps.step("Docker Engine") as line:
                self._engine = engine = docker_engine.ensure(line, names.STATE_ROOT)
            ownership.remove_abandoned(engine, names.STATE_ROOT, steps.line)
            ownership.require_own(engine, self.state, steps.line)
            self.state.prepare()
            several = self._instances > 1
            ports = self._requested_ports or self.state.choose_ports(load_balancer=several)
            self.state.save_ports(ports)  # From here on no other region's end stops the Docker Engine.
            self._require_ports(engine, ports)
            with steps.step("Images: built where something changed") as line:
                balancer = ["load-balancer"] if several else []
                selected = ("registry", "instance", *balancer, *self._registry_images())
                built = images.build_all(engine, line, names.STATE_ROOT, selected)
        containers.ensure_network(engine, self.name)
        with steps.step(f"AWS API on 127.0.0.1:{ports.api}") as line:
            fresh = api_process.ensure(self.state, ports.api, engine)
            line("started" if fresh else "was running")
        with steps.step(f"Registry behind ECR on 127.0.0.1:{ports.registry}"):
            registry_container.ensure(engine, self.state, ports.registry, built["registry"])
        if several:
            with steps.step(f"Load balancer on 127.0.0.1:{ports.load_balancer}") as line:
                started = load_balancer_container.ensure(
                    engine, self.state, ports.load_balancer, built["load-balancer"]
                )
                line("started" if started else "was running")
        if self._empty_account:
            if fresh:
                for number in range(1, names.MOST_INSTANCES + 1):
                    instance_container.remove(engine, self.name, number)  # Of an account that is forgotten.
            return ""
        image = built["instance"]
        if self._instance_image is not None:
            image = self._instance_image(engine, image)
        for number in range(1, self._instances + 1):
            with steps.step(f"Instance{names.suffix(number)}: systemd and its own Docker Engine") as line:
                line(instance_container.ensure(engine, self.state, image, number))
        account = self.account()
        with steps.step("Account: buckets, secrets, parameters, repositories, EC2 instance"):
            instance_id = account.seed(self.state, self._instances)
            if several:
                account.give_load_balancer(self.instance_ids())
        self._give(engine, account, built, steps)
        return instance_id

    @contextmanager
    def fresh(self) -> Iterator[Self]:
        """Start the region from nothing, and leave nothing of it at the end.

        Raises:
            RegionError: As `up` does.
        """
        self.down()
        try:
            self.up()
            yield self
        finally:
            self.down()

    def repair(self) -> None:
        """Switch all faults off and put back what is missing of the account, the registry and the instance.

        Raises:
            RegionError: As `up` does.
        """
        self.faults.switch_off()
        self.up()

    def give_images_and_model(self) -> None:
        """Push the images, upload the model and set the images' tags, in an account that has repositories and bucket.

        Raises:
            RegionError: It cannot; the message says what to do.
        """
        try:
            with self.state.locked(self._say_waiting):
                engine = self._connected()
                with docker_locked(self._say_waiting):
                    built = images.build_all(engine, self._steps.line, names.STATE_ROOT, self._registry_images())
                self._give(engine, self.account(), built, self._steps)
        except (DockerUnavailable, DockerCommandError) as error:
            raise RegionError(str(error)) from error

    def _registry_images(self) -> list[str]:
        """Return the names of the images for the registry."""
        more = [name for name in ("trainer", "edge") if name in self._pushed]
        return ["gateway", self._engine_image, *more]

    def _give(self, engine: DockerEngine, account: seed.Account, built: Mapping[str, str], steps: Steps) -> None:
        if "edge" in self._pushed:
            account.give_edge((self.state.certificates / "edge.pem").read_text(encoding="ascii"))
        with steps.step("Images: pushed to the registry, registered in ECR") as line:
            self._push(engine, account, built, line)
        with steps.step("Model: uploaded to S3") as line:
            line(f"{account.upload_model(self._model)} files changed")
        if self._further_adapters:
            with steps.step("Adapters of other tasks: uploaded to S3") as line:
                line(", ".join(account.upload_further_adapters(self._model)) or "none is beside the model")
        if self._training_data is not None:
            with steps.step("Notes to train on: uploaded to S3") as line:
                line(f"{account.upload_training_data(self._training_data)} files changed")

    def _require_ports(self, engine: DockerEngine, ports: Ports) -> None:
        """Check that nothing else holds a port of the region: before the long work, not after it.

        Raises:
            RegionError: Something does.
        """
        if not api_process.exists(self.state):
            require_free(ports.api, "AWS's API", "--api-port")
        if not containers.holds_port(engine, names.registry_container(self.name), ports.registry):
            require_free(ports.registry, "the registry", "--registry-port")
        if not containers.holds_port(engine, self.container, ports.gateway):
            require_free(ports.gateway, "the gateway", "--gateway-port")
        balancer = names.load_balancer_container(self.name)
        if self._instances > 1 and not containers.holds_port(engine, balancer, ports.load_balancer):
            require_free(ports.load_balancer, "the load balancer", "--load-balancer-port")

    def _push(
        self, engine: DockerEngine, account: seed.Account, built: Mapping[str, str], line: Callable[[str], None]
    ) -> None:
        sources = {
            "engine": (built[self._engine_image], names.ENGINE_REPOSITORY),
            "gateway": (built["gateway"], names.GATEWAY_REPOSITORY),
            "trainer": (built.get("trainer", ""), names.TRAINER_REPOSITORY),
            "edge": (built.get("edge", ""), names.EDGE_REPOSITORY),
        }
        for name in self._pushed:
            tag = self._push_one(engine, account, *sources[name], line)
            account.put_parameters({f"images/{name}-tag": tag}, overwrite=True)

    def _push_one(
        self, engine: DockerEngine, account: seed.Account, image: str, repository: str, line: Callable[[str], None]
    ) -> str:
        """Push an image and register it in ECR; return its tag."""
        pushed = images.push(
            engine,
            image,
            f"127.0.0.1:{self.ports.registry}",
            repository,
            line,
            docker_config=self.state.docker_config,
            authority=self.state.certificates / "ca.crt",
        )
        account.register_in_ecr(pushed)
        return pushed.tag

    def give_llamacpp(self) -> str:
        """Build and push the image of llama.cpp, the other engine, to a region that is up; return its tag.

        Raises:
            RegionError: It cannot; the message says what to do.
        """
        with self.state.locked(self._say_waiting):
            engine = self._connected()
            with docker_locked(self._say_waiting):
                built = images.build_all(engine, self._steps.line, names.STATE_ROOT, ["llamacpp"])
            return self._push_one(
                engine, self.account(), built["llamacpp"], names.LLAMACPP_REPOSITORY, self._steps.line
            )

    def down(self, *, remove_images: bool = False) -> None:
        """Remove all that `up` made: server, containers, volumes, network, state.

        Also stops a Docker Engine that `up` started, when nothing else runs on it. Nothing to do is no error.

        Args:
            remove_images: Whether the built images go too.

        Raises:
            RegionError: Something cannot be removed.
        """
        with self.state.locked(self._say_waiting):
            self._down(self._steps, remove_images=remove_images)
        self._steps.total(f"Region {self.name} is down")

    def _down(self, steps: Steps, *, remove_images: bool) -> None:
        with steps.step("AWS API") as line:
            line("stopped" if api_process.stop(self.state) else "was not running")
        try:
            engine = docker_engine.connect()
        except DockerUnavailable as error:
            steps.line(
                f"No Docker Engine answers, so its containers are as good as stopped and were not removed: {error}"
            )
        else:
            with steps.step("Containers, volumes and network") as line:
                line(ownership.remove_own(engine, self.state))
            if remove_images:
                with docker_locked(self._say_waiting), steps.step("Images") as line:
                    images.remove_all(engine, line)
        with docker_locked(self._say_waiting):
            self.state.remove()
            if not self._others():
                docker_engine.stop_if_ours(steps.line, names.STATE_ROOT)

    def _say_waiting(self) -> None:
        self._steps.line("Another command is at work on a local region: waiting for it to end")

    def _others(self) -> list[str]:
        """Return the names of the other regions that are there."""
        folders = names.STATE_ROOT.glob("*/state.json")
        return [file.parent.name for file in folders if file.parent.name != self.name]

    def status(self) -> dict[str, str]:
        """Return a word for each part of the region (`running`, `stopped`, `absent`), its addresses and its faults."""
        ports = self.state.load_ports()
        if ports is None:
            return {"region": "absent"}
        try:
            engine = docker_engine.connect()
        except DockerUnavailable:
            return {
                "region": "stopped",
                "docker": "absent",
                "api": _word(api_process.is_running(self.state, ports.api)),
            }
        machine = Machine(engine.client, names.instance_container(self.name))
        registry = containers.is_running(engine, names.registry_container(self.name))
        parts = {
            "docker": "running",
            "api": _word(api_process.is_running(self.state, ports.api)),
            "registry": _word(registry),
            "instance": _word(machine.is_running()),
            "agent": _word(machine.agent_is_active()),
        }
        if ports.load_balancer:
            balancer = containers.is_running(engine, names.load_balancer_container(self.name))
            parts["load balancer"] = _word(balancer)
        whole = "running" if set(parts.values()) == {"running"} else "stopped"
        addresses = {"api_url": self.endpoint, "gateway_url": self.gateway_url}
        if ports.load_balancer:
            addresses["load_balancer"] = self.load_balancer_url
        return {"region": whole, **parts, **addresses, **self.faults.switched_on()}

    @property
    def ports(self) -> Ports:
        """The region's ports.

        Raises:
            RegionError: `up` never ran.
        """
        ports = self.state.load_ports()
        if ports is None:
            raise RegionError(
                f"There is no region {self.name!r}. Make it with: python -m tests.local_region up --name {self.name}"
            )
        return ports

    @property
    def endpoint(self) -> str:
        """URL of AWS's API, the same on this machine and on the instance."""
        return environment.endpoint(self.ports)

    @property
    def gateway_url(self) -> str:
        """URL of the gateway on the instance, as this machine reaches it."""
        return environment.gateway_url(self.ports)

    @property
    def load_balancer_url(self) -> str:
        """URL of the load balancer, as this machine reaches it."""
        return environment.load_balancer_url(self.ports)

    @property
    def container(self) -> str:
        """Name of the container that stands for the first instance."""
        return names.instance_container(self.name)

    def account(self) -> seed.Account:
        """Return the operator's account."""
        return seed.Account(self.endpoint)

    def client(self, service: str) -> Any:
        """Return a boto3 client of the region with the operator's permissions."""
        return self.account().client(service)

    def env(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return an environment for commands that work against the region, made from `base` (this process's)."""
        inherited = os.environ if base is None else base
        kept = {key: value for key, value in inherited.items() if key not in environment.UNSET}
        return kept | self.exports(inherited)

    def exports(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return what the region sets in an environment; PATH and NO_PROXY are taken from `base`."""
        return environment.exports(self.state, self.ports, base)

    def exec(
        self, command: str, *, check: bool = True, timeout: float | None = 120, number: int = 1
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root on an instance, beside SSM, with the machine-wide environment.

        Args:
            command: For bash.
            check: Whether a failure is an error.
            timeout: Seconds.
            number: Of the instance, from 1.

        Returns:
            The finished process, its output as text.

        Raises:
            subprocess.CalledProcessError: It failed and `check` is set.
        """
        script = f"set -a; . /etc/environment; set +a; {command}"
        container = names.instance_container(self.name, number)
        arguments = [self._connected().client, "exec", container, "bash", "-c", script]
        return subprocess.run(arguments, capture_output=True, text=True, check=check, timeout=timeout)

    def instance_state(self, number: int = 1) -> str:
        """Return an instance's state as EC2 reports it, such as `running`."""
        return list(self._states().values())[number - 1]

    def instance_ids(self) -> list[str]:
        """Return the instances' ids, that of the first one first."""
        return list(self._states())

    def _states(self) -> dict[str, str]:
        """Return the state of each instance by its id, in the order in which they were made."""
        filters = [{"Name": "tag:Application", "Values": [names.APPLICATION]}]
        reservations = self.client("ec2").describe_instances(Filters=filters)["Reservations"]
        found = [instance for reservation in reservations for instance in reservation["Instances"]]
        return {each["InstanceId"]: str(each["State"]["Name"]) for each in found}

    def session_logs(self) -> list[Path]:
        """Return the files with the sessions' output, in the order in which they began."""
        return sorted(self.state.sessions.glob("*.log"))

    def session_count(self) -> int:
        """Return how many sessions were ever started."""
        counter = self.state.sessions / "count"
        return int(counter.read_text(encoding="ascii")) if counter.exists() else 0

    def api_log(self) -> str:
        """Return the API server's log: principal, service and action of each call."""
        return self.state.api_log.read_text(encoding="utf-8")

    def stop_registry(self) -> None:
        """Make the registry refuse connections."""
        self._connected().run("stop", "--time", "2", names.registry_container(self.name))

    def slow_down_registry(self) -> None:
        """Make the registry send a layer of 100 MB in about ten seconds, until `start_registry`."""
        self._connected().run("update", "--cpu-quota", SLOW_REGISTRY_QUOTA, names.registry_container(self.name))

    def start_registry(self) -> None:
        """Make the registry answer again, and as fast as before."""
        engine = self._connected()
        engine.run("update", "--cpu-quota", "-1", names.registry_container(self.name))
        engine.run("start", names.registry_container(self.name))
        registry_container.wait_until_ready(engine, self.state, self.ports.registry)

    def _connected(self) -> DockerEngine:
        if self._engine is None:
            try:
                self._engine = docker_engine.connect()
            except DockerUnavailable as error:
                raise RegionError(str(error)) from error
        return self._engine


def _word(running: bool) -> str:
    return "running" if running else "stopped"
