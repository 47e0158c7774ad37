"""Elastic Load Balancing: moto keeps the books, and HAProxy does what they say and answers for the health.

One target group leads somewhere: all share the one data plane, and the project makes one. As on AWS, a target that is
registered gets requests once its health checks pass; one that is deregistered gets no new ones, and is `draining` until
those that it works on have ended or the group's delay is over.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from moto.elbv2.models import FakeHealthStatus, FakeLoadBalancer, FakeTargetGroup, elbv2_backends
from werkzeug.wrappers import Response

from tests.local_region import names
from tests.local_region.aws_api.calls import Call
from tests.local_region.aws_api.ec2 import Ec2
from tests.local_region.docker.load_balancer_container import Place

DELAY = "deregistration_delay.timeout_seconds"
# What AWS gives every Application Load Balancer by itself and moto leaves out, from
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html
ATTRIBUTES = {
    "access_logs.s3.enabled": "false",
    "idle_timeout.timeout_seconds": "60",
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http2.enabled": "true",
    "waf.fail_open.enabled": "false",
}
# How long a target that does not answer yet counts as new; AWS makes as many checks as its threshold says.
INITIAL_SECONDS = 10.0
NOT_REGISTERED = ("unused", "Target.NotRegistered", "Target is not registered to the target group")
NOT_IN_USE = ("unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer")
STOPPED = ("unused", "Target.InvalidState", "Target is in the stopped state")
DRAINING = ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
INITIAL = ("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
UNHEALTHY = ("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
HEALTHY = ("healthy", None, None)
Health = tuple[str, str | None, str | None]


class DataPlane(Protocol):
    """What carries the requests; instances have numbers."""

    def put_in(self, number: int) -> None:
        """Have an instance get requests once its health checks pass."""

    def drain(self, number: int) -> None:
        """Have an instance get no new request."""

    def take_out(self, number: int) -> None:
        """Have an instance get nothing, and end what it works on."""

    def places(self) -> Mapping[int, Place]:
        """Return what is known of each; nothing where no data plane runs."""


@dataclass
class Registered:
    """A target that is in.

    Attributes:
        since: When it was registered, in seconds of the monotonic clock.
        was_healthy: Whether it was seen healthy since.
    """

    since: float
    was_healthy: bool = False


class LoadBalancers:
    """What the region adds to moto's elbv2."""

    def __init__(self, ec2: Ec2, proxy: DataPlane) -> None:
        """Answer for the health of all of moto's target groups.

        Args:
            ec2: Knows which instance has which machine.
            proxy: Carries the requests.
        """
        self._ec2 = ec2
        self._proxy = proxy
        self._registered: dict[str, Registered] = {}
        # Until when each is draining, in seconds of the monotonic clock.
        self._draining: dict[str, float] = {}
        _add_default_attributes()
        setattr(FakeTargetGroup, "health_for", lambda group, target, _: self._health(group, target))  # noqa: B010 - mypy

    def answer(self, call: Call, forward: Callable[[], Response]) -> Response | None:
        """Answer a call; None for calls that are moto's own.

        Args:
            call: What is asked.
            forward: Asks moto, which keeps the books.
        """
        if call.action not in {"RegisterTargets", "DeregisterTargets"}:
            return None
        targets = [each for each in call.members("Targets", "Id") if self._ec2.is_ours(each)]
        delay = _delay(call.field("TargetGroupArn"))
        answer = forward()
        if answer.status_code == 200:
            for target in targets:
                if call.action == "RegisterTargets":
                    self.register(target)
                else:
                    self._deregister(target, delay)
        return answer

    def deregister(self, target: str, arn: str) -> None:
        """Have an instance that is in no group of moto's any more get no new request.

        Args:
            target: Its id.
            arn: Of the target group that it was in, whose delay it has.
        """
        self._deregister(target, _delay(arn))

    def register(self, target: str) -> None:
        """Have an instance that is in a group of moto's get requests once its health checks pass."""
        if target not in self._registered:
            self._draining.pop(target, None)
            self._registered[target] = Registered(time.monotonic())
            self._proxy.put_in(self._ec2.number_of(target))

    def _deregister(self, target: str, delay: float) -> None:
        self._registered.pop(target, None)
        self._draining[target] = time.monotonic() + delay
        self._proxy.drain(self._ec2.number_of(target))

    def _health(self, group: Any, target: Mapping[str, Any]) -> FakeHealthStatus:
        state, reason, description = self._words(group, str(target["Id"]))
        port = target.get("Port") or group.port
        return FakeHealthStatus(target["Id"], port, group.health_check_port, state, reason, description)

    def _words(self, group: Any, target: str) -> Health:
        if target in self._draining:
            return self._drained(target)
        if target not in group.targets:
            return NOT_REGISTERED
        if not group.load_balancer_arns:
            return NOT_IN_USE
        if self._ec2.state_of(target) in {"stopping", "stopped"}:
            return STOPPED
        entry = self._registered.setdefault(target, Registered(time.monotonic()))
        place = self._proxy.places().get(self._ec2.number_of(target))
        if place and place.up:
            entry.was_healthy = True
            return HEALTHY
        return INITIAL if not entry.was_healthy and time.monotonic() - entry.since < INITIAL_SECONDS else UNHEALTHY

    def _drained(self, target: str) -> Health:
        """Return `draining` while it works on requests and has time, else that it is out."""
        number = self._ec2.number_of(target)
        place = self._proxy.places().get(number)
        if place and place.requests and time.monotonic() < self._draining[target]:
            return DRAINING
        del self._draining[target]
        self._proxy.take_out(number)
        return NOT_REGISTERED


def _add_default_attributes() -> None:
    """Have every load balancer that moto makes from now on say all its attributes; once for a process."""
    made = FakeLoadBalancer.__init__
    if hasattr(made, "__wrapped__"):
        return

    @functools.wraps(made)
    def make(self: Any, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        self.attrs = ATTRIBUTES | self.attrs

    setattr(FakeLoadBalancer, "__init__", make)  # noqa: B010 - mypy refuses the other


def _delay(arn: str) -> float:
    """Return the seconds that a target group gives requests at deregistration."""
    group = elbv2_backends[names.ACCOUNT_ID][names.AWS_REGION].target_groups.get(arn)
    return float(str(group.attributes[DELAY])) if group else 0.0
