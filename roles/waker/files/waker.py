"""Wake the instance that has stopped itself: a Lambda function behind an address of its own, for who has its key.

A client calls this first and the gateway then; no note comes here, and nothing is passed on. EC2's own state is the
lock: an instance is started only while it is stopped, and EC2 answers a second start without doing anything. What a
person or stop.yml has stopped stays stopped.

Needs Python's standard library and boto3, which Lambda's runtime has.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import math
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_secretsmanager import SecretsManagerClient

# Why a stopped instance was not stopped on purpose, as EC2's StateReason has it: by a power-off from within, which is
# how idle stop does it, or because EC2 could not start or keep it.
WOKEN = {
    "Client.InstanceInitiatedShutdown",
    "Server.InsufficientInstanceCapacity",
    "Server.InternalError",
    "Server.ScheduledStop",
}
# Codes of a start that EC2 refuses for want of room: it may take the next one.
NO_ROOM = {
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "InstanceLimitExceeded",
    "VcpuLimitExceeded",
}
TOO_MANY_CALLS = {"RequestLimitExceeded", "Throttling", "ThrottlingException"}
# Seconds.
KEYS_LIFETIME = 60
PROBE_TIMEOUT = 2
LOOK_AGAIN = 2
SOON, STOPPING, NOT_ANSWERING, NO_ROOM_WAIT = 10, 30, 60, 300
AWS_LIMITS = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})


@dataclass(frozen=True)
class Settings:
    """What provision.yml gives the function.

    Attributes:
        application: Value of the instances' tag Application.
        secret: Name of the secret that holds the keys.
        url: Where clients call the gateway; empty means at the instance's public address.
        port: The gateway's, at that address.
        hold: Seconds for which a call may be held.
        usual_start: Seconds from a start until the gateway answers, as a rule.
        wake_stopped_by_hand: Whether to wake what a person or stop.yml has stopped too.
    """

    application: str
    secret: str
    url: str
    port: int
    hold: float
    usual_start: float
    wake_stopped_by_hand: bool


@dataclass(frozen=True)
class Instance:
    """One instance, as DescribeInstances has it.

    Attributes:
        id: Its id.
        state: Such as `stopped`.
        reason: Code of the reason for that; empty where there is none.
        age: Seconds since it was started.
        address: Its public address; empty where it has none.
    """

    id: str
    state: str
    reason: str
    age: float
    address: str


@dataclass(frozen=True)
class Answer:
    """What a call gets.

    Attributes:
        status: Of HTTP.
        state: What the caller acts on: serving, running, starting, stopping, stopped, missing, refused or unknown.
        detail: A sentence for people.
        instance: Id of the one that it is about.
        url: Where the gateway is called; empty where that is not known.
        retry_after: Seconds; 0 where another call would change nothing.
        expected: Seconds until another look may find it serving; None where waiting for it here would be in vain.
    """

    status: int
    state: str
    detail: str
    instance: str = ""
    url: str = ""
    retry_after: int = 0
    expected: float | None = None

    def as_event(self) -> dict[str, Any]:
        """Return it as a function's address takes it (payload 2.0)."""
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        headers |= {"retry-after": str(self.retry_after)} if self.retry_after else {}
        headers |= {"www-authenticate": "Bearer"} if self.status == 401 else {}
        headers |= {"allow": "POST"} if self.status == 405 else {}
        body = {
            "state": self.state,
            "detail": self.detail,
            "instance": self.instance or None,
            "url": self.url or None,
            "retry_after": self.retry_after or None,
        }
        return {"statusCode": self.status, "headers": headers, "body": json.dumps(body)}


def probe(url: str) -> bool | None:
    """Ask a gateway for its health.

    Returns:
        Whether it serves; None where that cannot be seen from here, because its port is closed to us for example.
    """
    try:
        with urllib.request.build_opener().open(f"{url}/health", timeout=PROBE_TIMEOUT):
            return True
    except urllib.error.HTTPError:
        return False
    except (OSError, HTTPException, ValueError) as error:
        return False if isinstance(getattr(error, "reason", error), ConnectionRefusedError) else None


class Keys:
    """The keys that open this, each a line of the secret; read again after a minute, so that a change needs no more."""

    def __init__(self, client: SecretsManagerClient, secret: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Read nothing yet.

        Args:
            client: Of Secrets Manager.
            secret: The secret's name.
            clock: Seconds.
        """
        self._client = client
        self._secret = secret
        self._clock = clock
        self._digests: list[bytes] = []
        self._read_at: float | None = None

    def opens(self, key: str) -> bool:
        """Say whether a key is one of them.

        Raises:
            ClientError: The secret cannot be read.
            BotoCoreError: The same.
        """
        if self._read_at is None or self._clock() - self._read_at >= KEYS_LIFETIME:
            value = self._client.get_secret_value(SecretId=self._secret).get("SecretString", "")
            self._digests = [_digest(line.strip()) for line in value.splitlines() if line.strip()]
            self._read_at = self._clock()
        given = _digest(key)
        # All are compared, whichever it is.
        return sum(hmac.compare_digest(given, each) for each in self._digests) > 0


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="replace")).digest()


class Waker:
    """Looks at the instances, and starts one where none is up."""

    def __init__(
        self,
        client: EC2Client,
        settings: Settings,
        *,
        probe: Callable[[str], bool | None] = probe,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask nothing yet.

        Args:
            client: Of EC2.
            settings: The function's.
            probe: Says whether the gateway at a URL serves.
            now: Seconds since the epoch.
            sleep: Waits so many seconds.
        """
        self._client = client
        self._settings = settings
        self._probe = probe
        self._now = now
        self._sleep = sleep

    def wake(self) -> Answer:
        """Answer a call, held as long as it may be served within that time.

        Raises:
            ClientError: EC2 refuses.
            BotoCoreError: EC2 does not answer.
        """
        until = self._now() + self._settings.hold
        while True:
            answer = self._look()
            left = until - self._now()
            if answer.expected is None or answer.expected > left or left < LOOK_AGAIN:
                return answer
            self._sleep(LOOK_AGAIN)

    def _look(self) -> Answer:
        instances = self._instances()
        for judge, states in ((self._up, ("running", "pending")), (self._down, ("stopped", "stopping"))):
            chosen = [each for each in instances if each.state in states]
            if chosen:
                return judge(chosen)
        tag = f"Application={self._settings.application}"
        return Answer(404, "missing", f"No instance has the tag {tag}: playbooks/provision.yml makes one.")

    def _instances(self) -> list[Instance]:
        filters = [{"Name": "tag:Application", "Values": [self._settings.application]}]
        pages = self._client.get_paginator("describe_instances").paginate(Filters=filters)  # type: ignore[arg-type]
        found: Iterable[Any] = (
            each for page in pages for reservation in page["Reservations"] for each in reservation["Instances"]
        )
        return sorted(
            (
                Instance(
                    id=each["InstanceId"],
                    state=each["State"]["Name"],
                    reason=each.get("StateReason", {}).get("Code", ""),
                    age=self._now() - each["LaunchTime"].timestamp(),
                    address=each.get("PublicIpAddress", ""),
                )
                for each in found
            ),
            key=lambda each: each.id,
        )

    def _up(self, instances: list[Instance]) -> Answer:
        """Return the best answer of instances that are running or about to: one that serves is enough."""
        answers = [self._running(each) if each.state == "running" else self._starting(each) for each in instances]
        return min(answers, key=lambda each: (each.status, each.retry_after))

    def _running(self, instance: Instance) -> Answer:
        url = self._url(instance)
        serves = self._probe(url) if url else None
        if serves:
            return Answer(200, "serving", "The gateway serves.", instance.id, url)
        if instance.age < self._settings.usual_start:
            return self._starting(instance)
        if serves is None:
            why = "its port is closed to this function" if url else "it has no public address"
            detail = f"The instance runs. Whether its gateway serves cannot be seen from here ({why}): ask the gateway."
            return Answer(200, "running", detail, instance.id, url)
        detail = (
            f"The instance has run for {instance.age:.0f} s and its gateway does not serve: a deployment is at work, or"
            " who operates it looks with playbooks/status.yml."
        )
        return Answer(503, "starting", detail, instance.id, url, NOT_ANSWERING, expected=0)

    def _starting(self, instance: Instance, age: float | None = None) -> Answer:
        """Return the answer for one that was started.

        Args:
            instance: The one.
            age: Seconds since then; None means as EC2 has it.
        """
        age = max(0.0, instance.age if age is None else age)
        usual = self._settings.usual_start
        left = max(0.0, usual - age)
        detail = f"Started {age:.0f} s ago; as a rule the gateway serves {usual:.0f} s after a start."
        url = self._url(instance) if instance.state == "running" else self._settings.url
        return Answer(503, "starting", detail, instance.id, url, max(SOON, math.ceil(left)), expected=left)

    def _url(self, instance: Instance) -> str:
        return self._settings.url or (f"http://{instance.address}:{self._settings.port}" if instance.address else "")

    def _down(self, instances: list[Instance]) -> Answer:
        """Start the first instance that may be and for which EC2 has room; return the answer."""
        allowed = [each for each in instances if self._settings.wake_stopped_by_hand or each.reason in WOKEN]
        if not allowed:
            return self._on_purpose(instances[0])
        answer = None
        for instance in allowed:
            if instance.state == "stopped":
                answer = self._start(instance)
                if answer.state == "starting":
                    return answer
        detail = "The instance is stopping; it can be started once it is stopped."
        return answer or Answer(503, "stopping", detail, allowed[0].id, retry_after=STOPPING)

    def _on_purpose(self, instance: Instance) -> Answer:
        why = instance.reason or "EC2 gives no reason"
        detail = (
            f"The instance was stopped on purpose ({why}) and is not woken: who operates it starts it with"
            " playbooks/start.yml."
        )
        return Answer(409, instance.state, detail, instance.id)

    def _start(self, instance: Instance) -> Answer:
        try:
            self._client.start_instances(InstanceIds=[instance.id])
        except ClientError as error:
            code = error_code(error)
            if code == "IncorrectInstanceState":
                # Somebody else was quicker, one way or the other: the next look says which.
                return Answer(503, "starting", "The instance is on its way.", instance.id, "", SOON, expected=0)
            if code not in NO_ROOM:
                raise
            detail = f"AWS has no room to start the instance ({code})."
            return Answer(503, "stopped", detail, instance.id, retry_after=NO_ROOM_WAIT)
        log(woke=instance.id)
        return self._starting(instance, 0)


def error_code(error: Exception) -> str:
    """Return AWS's code of an error, or the error's kind where AWS did not answer."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__


def log(**about: object) -> None:
    """Write one line of JSON; what is said is never a key."""
    sys.stdout.write(json.dumps(about) + "\n")


def answer_to(event: Mapping[str, Any], keys: Keys, waker: Waker) -> Answer:
    """Answer one call; nothing is asked of EC2 for who has no key.

    Args:
        event: Of a function's address (payload 2.0).
        keys: Those that open this.
        waker: What it opens.
    """
    scheme, _, key = str(event.get("headers", {}).get("authorization", "")).partition(" ")
    try:
        if scheme.lower() != "bearer" or not keys.opens(key.strip()):
            return Answer(401, "refused", "Send the waker's key, as `Authorization: Bearer KEY`.")
        if event.get("requestContext", {}).get("http", {}).get("method") != "POST":
            return Answer(405, "refused", "Send a POST: it may start an instance.")
        return waker.wake()
    except (ClientError, BotoCoreError) as error:
        code = error_code(error)
        log(failed=code)
        if code in TOO_MANY_CALLS or not isinstance(error, ClientError):
            return Answer(503, "unknown", f"AWS does not answer now ({code}).", retry_after=SOON)
        detail = f"AWS refuses what this function asks ({code}): who operates it finds the reason in its log."
        return Answer(500, "unknown", detail)


@functools.cache
def parts() -> tuple[Keys, Waker]:
    """Return what one process keeps from call to call, made from its environment."""
    given = os.environ
    settings = Settings(
        application=given["WAKER_APPLICATION"],
        secret=given["WAKER_SECRET"],
        url=given["WAKER_URL"].rstrip("/"),
        port=int(given["WAKER_PORT"]),
        hold=float(given["WAKER_HOLD"]),
        usual_start=float(given["WAKER_USUAL_START"]),
        wake_stopped_by_hand=given["WAKER_STOPPED_BY_HAND"] == "true",
    )
    secrets = boto3.client("secretsmanager", config=AWS_LIMITS)
    return Keys(secrets, settings.secret), Waker(boto3.client("ec2", config=AWS_LIMITS), settings)


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Answer one call of the function's address."""
    answer = answer_to(event, *parts())
    log(status=answer.status, state=answer.state, instance=answer.instance)
    return answer.as_event()
