"""EC2's run, start, stop, reboot and terminate act on the instance container, which EC2's state follows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from loguru import logger
from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from werkzeug.wrappers import Response

from tests.local_region import names
from tests.local_region.aws_api.calls import Call, ec2_error
from tests.local_region.docker.machine import MachineError
from tests.local_region.faults import Faults

PENDING, RUNNING, STOPPING, STOPPED = ("pending", 0), ("running", 16), ("stopping", 64), ("stopped", 80)
SHUTTING_DOWN, TERMINATED = ("shutting-down", 32), ("terminated", 48)
State = tuple[str, int]
Forward = Callable[[], Response]


class Hardware(Protocol):
    """What stands for the instance; each method but the first blocks until it is done and may raise MachineError."""

    def is_running(self) -> bool:
        """Return whether it runs."""

    def create(self) -> None:
        """Make it where it is missing, and start it."""

    def remove(self) -> None:
        """Remove it and all that it holds."""

    def start(self) -> None:
        """Start it."""

    def stop(self) -> None:
        """Stop it."""


class Ec2:
    """What the region adds to moto's EC2. One instance has a machine: the one tagged `Application=slm-ft-serving`."""

    def __init__(self, machine: Hardware, faults: Faults) -> None:
        """Begin with nothing under way.

        Args:
            machine: What stands for the instance.
            faults: The region's.
        """
        self._machine = machine
        self._faults = faults
        self._lock = threading.Lock()
        self._busy = False

    def instances(self) -> list[Any]:
        """Return moto's instances that have a machine, terminated ones left out."""
        backend = ec2_backends[names.ACCOUNT_ID][names.AWS_REGION]
        every = [instance for reservation in backend.describe_instances() for instance in reservation.instances]
        return [
            each for each in every if _tags(each).get("Application") == names.APPLICATION and each.state != "terminated"
        ]

    def answer(self, call: Call, forward: Forward) -> Response | None:
        """Answer a call.

        Args:
            call: What is asked.
            forward: Asks moto, which keeps the books.

        Returns:
            The answer; None for calls that are moto's own.
        """
        handlers: dict[str, Callable[[Call, Forward], Response]] = {
            "RunInstances": self._run,
            "TerminateInstances": self._terminate,
            "StartInstances": self._start,
            "StopInstances": self._stop,
            "RebootInstances": self._reboot,
            "DescribeInstances": self._describe,
            "DescribeInstanceStatus": self._describe,
        }
        handler = handlers.get(call.action)
        return handler(call, forward) if handler else None

    def _describe(self, _call: Call, forward: Forward) -> Response:
        """Bring moto's state up to date and forward: an instance that shut itself down is `stopped` on AWS too."""
        with self._lock:
            if not self._busy:
                for instance in self.instances():
                    actual = RUNNING if self._machine.is_running() else STOPPED
                    if instance.state in ("running", "stopped") and instance.state != actual[0]:
                        _set_state(instance, actual)
        return forward()

    def _run(self, _call: Call, forward: Forward) -> Response:
        """Give a new instance of ours the machine; one that runs already is kept, as the region made it."""
        with self._lock:
            before = self.instances()
            answer = forward()
            if self._machine.is_running():
                return answer
            for instance in self.instances():
                if not any(instance is each for each in before):
                    _set_state(instance, PENDING)
                    self._in_background(instance, self._create)
        return answer

    def _terminate(self, call: Call, forward: Forward) -> Response:
        ours = self._ours(call)
        with self._lock:
            answer = forward()
            for instance in ours:
                if answer.status_code == 200:
                    _set_state(instance, SHUTTING_DOWN)
                    self._in_background(instance, self._remove)
        return answer

    def _start(self, call: Call, forward: Forward) -> Response:
        ours = self._ours(call)
        with self._lock:
            for instance in ours:
                if instance.state in ("stopping", "shutting-down"):
                    return ec2_error(
                        "IncorrectInstanceState",
                        f"The instance '{instance.id}' is not in a state from which it can be started.",
                    )
            if ours and self._faults.instance_start == "capacity":
                return ec2_error(
                    "InsufficientInstanceCapacity",
                    "We currently do not have sufficient capacity in the Availability Zone you requested.",
                    500,
                )
            before = {instance.id: instance.state for instance in ours}
            answer = forward()
            for instance in ours:
                if answer.status_code == 200 and before[instance.id] == "stopped":
                    instance.launch_time = utcnow()  # as on AWS; moto leaves it
                    _set_state(instance, PENDING)
                    self._in_background(instance, self._boot)
        return answer

    def _stop(self, call: Call, forward: Forward) -> Response:
        ours = self._ours(call)
        with self._lock:
            before = {instance.id: (instance.state, instance.state_code) for instance in ours}
            answer = forward()
            for instance in ours:
                if answer.status_code != 200:
                    continue
                if before[instance.id][0] in ("running", "pending"):
                    _set_state(instance, STOPPING)
                    self._in_background(instance, self._shut_down)
                else:
                    _set_state(instance, before[instance.id])  # moto calls it stopped at once
        return answer

    def _reboot(self, call: Call, forward: Forward) -> Response:
        with self._lock:
            answer = forward()
            for instance in self._ours(call):
                self._in_background(instance, self._restart)
        return answer

    def _ours(self, call: Call) -> list[Any]:
        instance_ids = call.numbered("InstanceId")
        return [instance for instance in self.instances() if instance.id in instance_ids]

    def _in_background(self, instance: Any, work: Callable[[Any], None]) -> None:
        self._busy = True

        def run() -> None:
            try:
                work(instance)
            except MachineError as error:
                logger.error("{}: {}", instance.id, error)
                if instance.state != "terminated":
                    _set_state(instance, STOPPED)
            finally:
                self._busy = False

        threading.Thread(target=run, daemon=True).start()

    def _create(self, instance: Any) -> None:
        self._machine.create()
        _set_state(instance, RUNNING)

    def _remove(self, instance: Any) -> None:
        try:
            self._machine.remove()
        finally:
            _set_state(instance, TERMINATED)

    def _boot(self, instance: Any) -> None:
        if self._faults.instance_start == "stuck":
            logger.warning("fault: {} stays pending", instance.id)
            while self._faults.instance_start == "stuck":
                time.sleep(0.5)
        self._machine.start()
        _set_state(instance, RUNNING)

    def _shut_down(self, instance: Any) -> None:
        self._machine.stop()
        _set_state(instance, STOPPED)

    def _restart(self, _instance: Any) -> None:
        """Stop and start the machine; on AWS a rebooting instance stays `running`."""
        self._machine.stop()
        self._machine.start()


def _tags(instance: Any) -> dict[str, str]:
    tags: Iterable[dict[str, str]] = instance.get_tags()
    return {tag["key"]: tag["value"] for tag in tags}


def _set_state(instance: Any, state: State) -> None:
    logger.info("{} is {}", instance.id, state[0])
    instance._state.name, instance._state.code = state  # moto has no other way in
