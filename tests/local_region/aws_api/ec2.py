"""EC2's run, start, stop, reboot and terminate act on the instance container, which EC2's state follows.

What moto is too kind about is refused as AWS refuses it: a zone without capacity, a profile that EC2 does not know yet,
a volume of another zone. The public address is another one after each start, unless an Elastic IP is held.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from loguru import logger
from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import StateReason
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE
from moto.iam.models import iam_backends
from werkzeug.wrappers import Response

from tests.local_region import names
from tests.local_region.aws_api.calls import Call, ec2_error
from tests.local_region.aws_api.machines import Machines
from tests.local_region.docker.machine import MachineError
from tests.local_region.faults import Faults

PENDING, RUNNING, STOPPING, STOPPED = ("pending", 0), ("running", 16), ("stopping", 64), ("stopped", 80)
SHUTTING_DOWN, TERMINATED = ("shutting-down", 32), ("terminated", 48)
# Why an instance is stopped where nobody asked EC2 to stop it.
NO_REASON = ("", "")
BY_ITSELF = ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown")
FAILED = ("Server.InternalError", "Internal error on launch")
State = tuple[str, int]
Forward = Callable[[], Response]


class Hardware(Protocol):
    """What stands for the instance; each method but the first blocks until it is done and may raise MachineError."""

    def is_running(self) -> bool:
        """Return whether it runs."""

    def create(self, machine_image: str = "") -> None:
        """Make it where it is missing, of an image of another's where one is named, and start it."""

    def snapshot(self, machine_image: str) -> None:
        """Keep what it has on its disks, for `create`."""

    def remove(self) -> None:
        """Remove it and all that it holds."""

    def start(self) -> None:
        """Start it."""

    def stop(self) -> None:
        """Stop it."""


# DescribeTags of an Elastic IP; moto has a word of its own.
EC2_PREFIX_TO_RESOURCE["eipalloc"] = "elastic-ip"


class Ec2:
    """What the region adds to moto's EC2. Each instance tagged `Application=slm-ft-serving` has a machine."""

    def __init__(self, machines: Machines[Any], faults: Faults) -> None:
        """Begin with nothing under way.

        Args:
            machines: What stands for the instances, each of them Hardware.
            faults: The region's.
        """
        self._machines = machines
        self._faults = faults
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        # Those that are made of an instance of ours.
        self._images: set[str] = set()

    def instances(self) -> list[Any]:
        """Return moto's instances that have a machine, terminated ones left out."""
        return [
            each
            for each in self._all()
            if _tags(each).get("Application") == names.APPLICATION and each.state != "terminated"
        ]

    def machine_of(self, instance_id: str) -> Any:
        """Return the machine that stands for an instance."""
        return self._machines.of(instance_id)

    def number_of(self, instance_id: str) -> int:
        """Return the number of an instance in its region, from 1."""
        return self._machines.number_of(instance_id)

    def is_ours(self, instance_id: str) -> bool:
        """Return whether an instance has a machine."""
        return any(each.id == instance_id for each in self.instances())

    def state_of(self, instance_id: str) -> str:
        """Return the state of an instance, such as `running`; `terminated` of one that nobody knows."""
        return next((str(each.state) for each in self._all() if each.id == instance_id), "terminated")

    @staticmethod
    def _all() -> list[Any]:
        backend = ec2_backends[names.ACCOUNT_ID][names.AWS_REGION]
        return [instance for reservation in backend.describe_instances() for instance in reservation.instances]

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
            "AssociateIamInstanceProfile": self._give_profile,
            "ReplaceIamInstanceProfileAssociation": self._give_profile,
            "AttachVolume": self._attach_volume,
            "CreateImage": self._create_image,
            "CreateLaunchTemplate": self._create_template,
            "DeleteLaunchTemplateVersions": self._delete_template_versions,
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
            for instance in self.instances():
                if instance.id in self._busy or instance.state not in ("running", "stopped"):
                    continue
                actual = RUNNING if self._machine(instance).is_running() else STOPPED
                if instance.state != actual[0]:
                    _set_state(instance, actual)
                    _set_reason(instance, *(BY_ITSELF if actual is STOPPED else NO_REASON))
        return forward()

    def _run(self, call: Call, forward: Forward) -> Response:
        """Give a new instance of ours the machine; one that runs already is kept, as the region made it."""
        refusal = self._new_profile(call) or self._full_zone(_zone_of(call))
        if refusal:
            return refusal
        with self._lock:
            before = self.instances()
            answer = forward()
            for instance in self.instances():
                if not any(instance is each for each in before):
                    _set_throughput(instance, call.field("BlockDeviceMapping.1.Ebs.Throughput"))
                    _set_snapshots(instance)
                    # Those of its first interface, which moto leaves out.
                    instance.security_groups = list(instance.nics[0].group_set)
            for instance in self.instances():
                if not any(instance is each for each in before) and not self._machine(instance).is_running():
                    _set_state(instance, PENDING)
                    self._in_background(instance, self._create)
        return answer

    def _full_zone(self, zone: str) -> Response | None:
        """Return AWS's refusal where a zone has no capacity."""
        if zone not in self._faults.full_zones:
            return None
        return ec2_error(
            "InsufficientInstanceCapacity",
            f"We currently do not have sufficient capacity in the Availability Zone you requested ({zone}). Our system"
            " will be working on provisioning additional capacity.",
            500,
        )

    def _new_profile(self, call: Call) -> Response | None:
        """Return AWS's refusal where EC2 does not know an instance profile yet."""
        name = call.field("IamInstanceProfile.Name")
        profiles = iam_backends[names.ACCOUNT_ID]["aws"].instance_profiles.values()
        made = next((each.create_date for each in profiles if each.name == name), None)
        # moto's times are UTC and do not say so.
        age = (dt.datetime.now(dt.UTC) - made.replace(tzinfo=dt.UTC)).total_seconds() if made else 0.0
        if made is None or age >= self._faults.profile_delay:
            return None
        return ec2_error(
            "InvalidParameterValue",
            f"Value ({name}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
        )

    def _give_profile(self, call: Call, forward: Forward) -> Response:
        return self._new_profile(call) or forward()

    def _attach_volume(self, call: Call, forward: Forward) -> Response:
        """Attach a volume of the instance's own zone."""
        backend = ec2_backends[names.ACCOUNT_ID][names.AWS_REGION]
        volume = backend.volumes.get(call.field("VolumeId"))
        instance = next((each for each in self._all() if each.id == call.field("InstanceId")), None)
        if volume and instance and volume.zone.name != instance.placement.zone:
            return ec2_error(
                "InvalidVolume.ZoneMismatch",
                f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'",
            )
        return forward()

    def _create_image(self, call: Call, forward: Forward) -> Response:
        """Have an image of an instance of ours be pending until what the machine has is kept."""
        backend = ec2_backends[names.ACCOUNT_ID][names.AWS_REGION]
        before = set(backend.amis)
        answer = forward()
        instance = next((each for each in self.instances() if each.id == call.field("InstanceId")), None)
        made = [each for name, each in backend.amis.items() if name not in before]
        if answer.status_code == 200 and instance is not None:
            for image in made:
                image.state = "pending"
                self._images.add(image.id)
                threading.Thread(target=self._snapshot, args=(instance, image), daemon=True).start()
        return answer

    @staticmethod
    def _create_template(call: Call, forward: Forward) -> Response:
        """Keep the template's own tags out of what it says of instances, where moto puts them too."""
        answer = forward()
        backend = ec2_backends[names.ACCOUNT_ID][names.AWS_REGION]
        if answer.status_code == 200:
            (version,) = backend.get_launch_template_by_name(call.field("LaunchTemplateName")).versions
            version.data["TagSpecifications"] = [
                each for each in version.data.get("TagSpecifications", []) if each["ResourceType"] != "launch-template"
            ]
        return answer

    @staticmethod
    def _delete_template_versions(call: Call, _forward: Forward) -> Response:
        """Delete versions of a launch template, which moto cannot."""
        template = ec2_backends[names.ACCOUNT_ID][names.AWS_REGION].get_launch_template(call.field("LaunchTemplateId"))
        gone = set(call.numbered("LaunchTemplateVersion"))
        template.versions = [each for each in template.versions if str(each.number) not in gone]
        items = "".join(
            f"<item><launchTemplateId>{template.id}</launchTemplateId><versionNumber>{each}</versionNumber></item>"
            for each in sorted(gone)
        )
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<DeleteLaunchTemplateVersionsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
            f"<successfullyDeletedLaunchTemplateVersionSet>{items}</successfullyDeletedLaunchTemplateVersionSet>"
            "<unsuccessfullyDeletedLaunchTemplateVersionSet/></DeleteLaunchTemplateVersionsResponse>"
        )
        return Response(text, content_type="text/xml")

    def _snapshot(self, instance: Any, image: Any) -> None:
        try:
            self._machine(instance).snapshot(image.id)
            image.state = "available"
        except MachineError as error:
            logger.error("{}: {}", image.id, error)
            image.state = "failed"

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
                if refusal := self._full_zone(instance.placement.zone):
                    return refusal
            if ours and self._faults.instance_start == "capacity":
                return ec2_error(
                    "InsufficientInstanceCapacity",
                    "We currently do not have sufficient capacity in the Availability Zone you requested.",
                    500,
                )
            before = {instance.id: instance.state for instance in ours}
            answer = forward()
            for instance in ours:
                _keep_elastic_ip(instance)
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
                _keep_elastic_ip(instance)
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

    def begin(self, instance: Any) -> None:
        """Give an instance that moto has just made its machine."""
        instance.security_groups = list(instance.nics[0].group_set)
        _set_state(instance, PENDING)
        self._in_background(instance, self._create)

    def resume(self, instance: Any) -> None:
        """Start an instance that is stopped."""
        instance.launch_time = utcnow()
        _set_state(instance, PENDING)
        self._in_background(instance, self._boot)

    def halt(self, instance: Any) -> None:
        """Stop an instance."""
        _set_state(instance, STOPPING)
        self._in_background(instance, self._shut_down)

    def end(self, instance: Any) -> None:
        """Terminate an instance."""
        ec2_backends[names.ACCOUNT_ID][names.AWS_REGION].terminate_instances([instance.id])
        _set_state(instance, SHUTTING_DOWN)
        self._in_background(instance, self._remove)

    def _ours(self, call: Call) -> list[Any]:
        instance_ids = call.numbered("InstanceId")
        return [instance for instance in self.instances() if instance.id in instance_ids]

    def _machine(self, instance: Any) -> Hardware:
        machine: Hardware = self._machines.of(instance.id)
        return machine

    def _in_background(self, instance: Any, work: Callable[[Any], None]) -> None:
        self._busy.add(instance.id)

        def run() -> None:
            try:
                work(instance)
            except MachineError as error:
                logger.error("{}: {}", instance.id, error)
                if instance.state != "terminated":
                    _set_state(instance, STOPPED)
                    _set_reason(instance, *FAILED)
            finally:
                self._busy.discard(instance.id)

        threading.Thread(target=run, daemon=True).start()

    def _create(self, instance: Any) -> None:
        image = str(instance.image_id)
        self._machine(instance).create(image if image in self._images else "")
        _set_state(instance, RUNNING)

    def _remove(self, instance: Any) -> None:
        try:
            self._machine(instance).remove()
        finally:
            _set_state(instance, TERMINATED)
            self._machines.give_back(instance.id)

    def _boot(self, instance: Any) -> None:
        if self._faults.instance_start == "stuck":
            logger.warning("fault: {} stays pending", instance.id)
            while self._faults.instance_start == "stuck":
                time.sleep(0.5)
        self._machine(instance).start()
        _set_state(instance, RUNNING)

    def _shut_down(self, instance: Any) -> None:
        self._machine(instance).stop()
        _set_state(instance, STOPPED)

    def _restart(self, instance: Any) -> None:
        """Stop and start the machine; on AWS a rebooting instance stays `running`."""
        self._machine(instance).stop()
        self._machine(instance).start()


def _tags(instance: Any) -> dict[str, str]:
    tags: Iterable[dict[str, str]] = instance.get_tags()
    return {tag["key"]: tag["value"] for tag in tags}


def _zone_of(call: Call) -> str:
    """Return the zone in which an instance is to run; empty where the call leaves it to EC2."""
    subnet = call.field("SubnetId", "NetworkInterface.1.SubnetId")
    if not subnet:
        return call.field("Placement.AvailabilityZone")
    found = ec2_backends[names.ACCOUNT_ID][names.AWS_REGION].describe_subnets(filters={"subnet-id": [subnet]})
    return str(found[0].availability_zone) if found else ""


def _set_throughput(instance: Any, throughput: str) -> None:
    """Note the root volume's throughput, which moto forgets."""
    mapping = instance.block_device_mapping.get(instance.root_device_name)
    if mapping and throughput:
        ec2_backends[names.ACCOUNT_ID][names.AWS_REGION].volumes[mapping.volume_id].throughput = int(throughput)


def _set_snapshots(instance: Any) -> None:
    """Have every volume name what it was made of, if nothing; moto leaves the member out."""
    backend = ec2_backends[names.ACCOUNT_ID][names.AWS_REGION]
    for mapping in instance.block_device_mapping.values():
        volume = backend.volumes[mapping.volume_id]
        volume.snapshot_id = volume.snapshot_id or ""


def _keep_elastic_ip(instance: Any) -> None:
    """Let an Elastic IP stay over stop and start; moto gives a random address each time."""
    addresses: list[Any] = ec2_backends[names.ACCOUNT_ID][names.AWS_REGION].addresses
    for address in addresses:
        if address.instance is instance:
            instance.nics[0].public_ip = address.public_ip


def _set_reason(instance: Any, code: str, message: str) -> None:
    instance.state_reason = StateReason(f"{code}: {message}" if code else "", code)


def _set_state(instance: Any, state: State) -> None:
    logger.info("{} is {}", instance.id, state[0])
    instance._state.name, instance._state.code = state  # moto has no other way in
