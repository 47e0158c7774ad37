"""A fake of Auto Scaling's work: moto keeps the books of a group, and what its instances go through is done here.

As on AWS an instance that a group takes, gives back or ends waits for the group's lifecycle hook to be completed, is
registered once it is in service and deregistered before it leaves, and goes into the warm pool and comes from it. Not
here: alarms are never evaluated, so somebody has to set the desired capacity; a hook's time does not run out; nothing
unhealthy is replaced.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from loguru import logger
from moto.autoscaling.models import autoscaling_backends
from moto.elbv2.models import elbv2_backends
from werkzeug.wrappers import Response

from tests.local_region import names
from tests.local_region.aws_api.calls import Call, query_error
from tests.local_region.aws_api.ec2 import Ec2
from tests.local_region.aws_api.load_balancers import LoadBalancers

LAUNCHING, TERMINATING = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"
IN_SERVICE, WARM, TERMINATED = "InService", "Warmed:Stopped", "Terminated"
NAMESPACE = "http://autoscaling.amazonaws.com/doc/2011-01-01/"
Forward = Callable[[], Response]


@dataclass
class Member:
    """An instance of a group.

    Attributes:
        instance: moto's.
        group: Its group's name.
        target: The steady state that it is in or on its way to.
        waits: The transition whose hook holds it; empty where none does.
    """

    instance: Any
    group: str
    target: str
    waits: str = ""

    @property
    def is_leaving(self) -> bool:
        """Whether it is on its way out of service."""
        return self.waits == TERMINATING


class AutoScaling:
    """What the region adds to moto's Auto Scaling."""

    def __init__(self, ec2: Ec2, load_balancers: LoadBalancers) -> None:
        """Begin without a group.

        Args:
            ec2: Runs the instances' machines.
            load_balancers: Send them requests.
        """
        self._ec2 = ec2
        self._load_balancers = load_balancers
        self._members: dict[str, Member] = {}
        self._refreshes: dict[str, str] = {}
        self._lock = threading.RLock()

    def target_of(self, instance_id: str) -> str | None:
        """Return the state that an instance's metadata service names; None of one that is of no group."""
        member = self._members.get(instance_id)
        return member.target if member else None

    def answer(self, call: Call, forward: Forward) -> Response | None:
        """Answer a call; None for calls that are moto's own.

        Args:
            call: What is asked.
            forward: Asks moto, which keeps the books.
        """
        handlers: dict[str, Callable[[Call, Forward], Response]] = {
            "SetDesiredCapacity": self._set_desired,
            "CompleteLifecycleAction": self._complete_action,
            "StartInstanceRefresh": self._start_refresh,
            "DescribeInstanceRefreshes": self._describe_refreshes,
            "UpdateAutoScalingGroup": self._settle_after,
            "PutWarmPool": self._settle_after,
            "ResumeProcesses": self._settle_after,
            "DeleteWarmPool": self._delete_warm_pool,
            "DeleteAutoScalingGroup": self._delete,
        }
        handler = handlers.get(call.action)
        if handler is None:
            return None
        if call.field("AutoScalingGroupName") not in self._groups:
            return forward()
        with self._lock:
            return handler(call, forward)

    @property
    def _groups(self) -> dict[str, Any]:
        groups: dict[str, Any] = autoscaling_backends[names.ACCOUNT_ID][names.AWS_REGION].autoscaling_groups
        return groups

    def _of(self, group: str, target: str) -> list[Member]:
        """Return a group's members that are in a state or on the way to it, the oldest first."""
        return [each for each in self._members.values() if (each.group, each.target) == (group, target)]

    def _set_desired(self, call: Call, _forward: Forward) -> Response:
        group = self._groups[call.field("AutoScalingGroupName")]
        wanted = int(call.field("DesiredCapacity"))
        if not int(group.min_size) <= wanted <= int(group.max_size):
            return query_error("ValidationError", f"New SetDesiredCapacity value {wanted} is out of bounds.", 400)
        group.desired_capacity = wanted
        self._settle(group)
        return _answer(call)

    def _settle_after(self, call: Call, forward: Forward) -> Response:
        group = self._groups[call.field("AutoScalingGroupName")]
        most = call.field("MaxSize")
        if most and int(most) < group.desired_capacity:
            group.desired_capacity = int(most)
            self._settle(group)
        answer = forward()
        if answer.status_code == 200:
            self._settle(group)
        return answer

    def _settle(self, group: Any) -> None:
        """Have as many in service as are wanted, and the rest of the largest number in the warm pool."""
        suspended = {each["ProcessName"] for each in group.suspended_processes}
        here = self._of(group.name, IN_SERVICE)
        for _ in range(group.desired_capacity - len(here)):
            if "Launch" not in suspended:
                self._bring_in(group)
        # The newest first, as AWS's default policy has it where all are of one template's version.
        for member in reversed(here[max(group.desired_capacity, 0) :]):
            self._send_out(group, member)
        if group.warm_pool is None or "Launch" in suspended:
            return
        for _ in range(int(group.max_size) - group.desired_capacity - len(self._of(group.name, WARM))):
            self._enter(self._launch(group, WARM))

    def _bring_in(self, group: Any) -> None:
        """Take one from the warm pool, or else make one."""
        warm = [each for each in self._of(group.name, WARM) if not each.waits]
        if warm:
            member = warm[0]
            member.target = IN_SERVICE
            self._ec2.resume(member.instance)
        else:
            member = self._launch(group, IN_SERVICE)
        self._enter(member)

    def _launch(self, group: Any, target: str) -> Member:
        before = set(map(id, group.instance_states))
        group.replace_autoscaling_group_instances(1, group.get_propagated_tags())
        (state,) = (each for each in group.instance_states if id(each) not in before)
        # Kept among the group's own by `_show`, once it is told in which state it is.
        group.instance_states.remove(state)
        member = Member(state.instance, group.name, target)
        self._members[state.instance.id] = member
        self._ec2.begin(state.instance)
        return member

    def _enter(self, member: Member) -> None:
        """Have an instance wait for the hook at its launch, or go on where there is none."""
        member.waits = LAUNCHING
        logger.info("{} waits on its way to {}", member.instance.id, member.target)
        self._show(member)
        if not self._hooks(member.group, LAUNCHING):
            self._go_on(member)

    def _send_out(self, group: Any, member: Member) -> None:
        """Have an instance get no new requests, and wait for the hook at its end."""
        member.target = WARM if group.warm_pool is not None else TERMINATED
        member.waits = TERMINATING
        logger.info("{} is on its way out of service to {}", member.instance.id, member.target)
        for arn in group.target_group_arns:
            elbv2_backends[names.ACCOUNT_ID][names.AWS_REGION].deregister_targets(arn, [{"Id": member.instance.id}])
            self._load_balancers.deregister(member.instance.id, arn)
        self._show(member)
        if not self._hooks(member.group, TERMINATING):
            self._go_on(member)

    def _go_on(self, member: Member) -> None:
        """Let an instance that waited get into its steady state."""
        member.waits = ""
        group = self._groups[member.group]
        logger.info("{} is {}", member.instance.id, member.target)
        if member.target == IN_SERVICE:
            for arn in group.target_group_arns:
                elbv2_backends[names.ACCOUNT_ID][names.AWS_REGION].register_targets(arn, [{"Id": member.instance.id}])
                self._load_balancers.register(member.instance.id)
        elif member.target == WARM:
            self._ec2.halt(member.instance)
        else:
            self._end(member)
            return
        self._show(member)

    def _end(self, member: Member) -> None:
        del self._members[member.instance.id]
        group = self._groups[member.group]
        group.instance_states = [each for each in group.instance_states if each.instance is not member.instance]
        self._ec2.end(member.instance)

    def _show(self, member: Member) -> None:
        """Have moto tell the state of an instance that is not in the warm pool; those in it are not told of."""
        # A module of moto that no type checker knows the whole of.
        from moto.autoscaling.models import InstanceState

        group = self._groups[member.group]
        group.instance_states = [each for each in group.instance_states if each.instance is not member.instance]
        if member.target == WARM and not member.is_leaving:
            return
        state = {LAUNCHING: "Pending:Wait", TERMINATING: "Terminating:Wait"}.get(member.waits, member.target)
        group.instance_states.append(InstanceState(member.instance, lifecycle_state=state))

    def _hooks(self, group: str, transition: str) -> set[str]:
        """Return the names of a group's hooks for a transition."""
        hooks = autoscaling_backends[names.ACCOUNT_ID][names.AWS_REGION].describe_lifecycle_hooks(group)
        return {str(each.name) for each in hooks if each.lifecycle_transition == transition}

    def _complete_action(self, call: Call, _forward: Forward) -> Response:
        member = self._members.get(call.field("InstanceId"))
        hook = call.field("LifecycleHookName")
        if member is None or not member.waits or hook not in self._hooks(member.group, member.waits):
            message = f"No active Lifecycle Action found with instance ID {call.field('InstanceId')}"
            return query_error("ValidationError", message, 400)
        if call.field("LifecycleActionResult") == "ABANDON" and member.waits == LAUNCHING:
            member.target = TERMINATED
        self._go_on(member)
        self._settle(self._groups[member.group])
        return _answer(call)

    def _delete_warm_pool(self, call: Call, forward: Forward) -> Response:
        for member in self._of(call.field("AutoScalingGroupName"), WARM):
            self._end(member)
        return forward()

    def _delete(self, call: Call, forward: Forward) -> Response:
        name = call.field("AutoScalingGroupName")
        for member in [each for each in self._members.values() if each.group == name]:
            self._end(member)
        return forward()

    def _start_refresh(self, call: Call, _forward: Forward) -> Response:
        """Replace what another version of the template launched: at once, where AWS keeps a share of it in service."""
        group = self._groups[call.field("AutoScalingGroupName")]
        self._refreshes[group.name] = str(uuid4())
        for member in [each for each in self._members.values() if each.group == group.name]:
            if member.instance.image_id == group.image_id:
                continue
            if member.target == IN_SERVICE and not member.waits:
                self._send_out(group, member)
                member.target = TERMINATED
            elif not member.is_leaving:
                self._end(member)
        self._settle(group)
        return _answer(call, f"<InstanceRefreshId>{self._refreshes[group.name]}</InstanceRefreshId>")

    def _describe_refreshes(self, call: Call, _forward: Forward) -> Response:
        name = call.field("AutoScalingGroupName")
        if name not in self._refreshes:
            return _answer(call, "<InstanceRefreshes/>")
        told = {
            "InstanceRefreshId": self._refreshes[name],
            "AutoScalingGroupName": name,
            "Status": "InProgress",
        }
        fields = "".join(f"<{key}>{value}</{key}>" for key, value in told.items())
        return _answer(call, f"<InstanceRefreshes><member>{fields}</member></InstanceRefreshes>")


def _answer(call: Call, result: str = "") -> Response:
    """Return an answer of the query protocol."""
    name = call.action
    text = (
        f'<{name}Response xmlns="{NAMESPACE}"><{name}Result>{result}</{name}Result>'
        f"<ResponseMetadata><RequestId>{uuid4()}</RequestId></ResponseMetadata></{name}Response>"
    )
    return Response(text, content_type="text/xml")
