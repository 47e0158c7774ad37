"""A fake of the instance metadata service, version 2 only: a token, then credentials and who the instance is."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Callable
from typing import Any

from werkzeug.wrappers import Request, Response

from tests.local_region import names
from tests.local_region.aws_api.calls import INSTANCE_ACCESS_KEY
from tests.local_region.aws_api.ec2 import Ec2

TOKEN_PATH = "/latest/api/token"
PREFIX = "/latest/"
CREDENTIALS_HOURS = 6


class Metadata:
    """The service's answers below `/latest/`."""

    def __init__(
        self, ec2: Ec2, container_at: Callable[[str], str | None], target_of: Callable[[str], str | None]
    ) -> None:
        """Begin without tokens.

        Args:
            ec2: Knows the instances.
            container_at: Returns the name of the container that has an address.
            target_of: Returns which state an instance of an Auto Scaling group is to have; None of any other.
        """
        self._target_of = target_of
        self._ec2 = ec2
        self._container_at = container_at
        self._tokens: set[str] = set()

    def answer(self, request: Request) -> Response | None:
        """Answer a request; None when it is not for the metadata service."""
        if not request.path.startswith(PREFIX):
            return None
        if request.path == TOKEN_PATH:
            return self._token(request)
        if request.headers.get("X-aws-ec2-metadata-token", "") not in self._tokens:
            return Response("Unauthorized", 401, content_type="text/plain")
        content = self._content(request.path.removeprefix(PREFIX), request.remote_addr or "")
        if content is None:
            return Response("Not Found", 404, content_type="text/plain")
        return Response(content, content_type="text/plain")

    def _token(self, request: Request) -> Response:
        seconds = request.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        if request.method != "PUT" or seconds is None:
            return Response("Bad Request", 400, content_type="text/plain")
        token = secrets.token_urlsafe(32)
        self._tokens.add(token)
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": seconds}
        return Response(token, headers=headers, content_type="text/plain")

    def _asking(self, address: str) -> Any:
        """Return the instance that asks from an address: of several the one whose container has it; None of none."""
        instances = self._ec2.instances()
        if len(instances) < 2:
            return next(iter(instances), None)
        container = self._container_at(address)
        return next((each for each in instances if self._ec2.machine_of(each.id).container == container), instances[0])

    def _content(self, path: str, address: str) -> str | None:
        instance = self._asking(address)
        if instance is None:
            return None
        zone = instance.placement.zone or f"{names.AWS_REGION}a"
        identity = {
            "instanceId": instance.id,
            "instanceType": instance.instance_type,
            "imageId": instance.image_id,
            "accountId": names.ACCOUNT_ID,
            "region": names.AWS_REGION,
            "availabilityZone": zone,
            "privateIp": instance.private_ip,
            "architecture": "x86_64",
        }
        return {
            "meta-data/instance-id": instance.id,
            "meta-data/instance-type": instance.instance_type,
            "meta-data/ami-id": instance.image_id,
            "meta-data/local-ipv4": instance.private_ip,
            "meta-data/local-hostname": instance.private_dns_name,
            "meta-data/autoscaling/target-lifecycle-state": self._target_of(instance.id),
            "meta-data/placement/region": names.AWS_REGION,
            "meta-data/placement/availability-zone": zone,
            "meta-data/iam/security-credentials": names.INSTANCE_ROLE,
            f"meta-data/iam/security-credentials/{names.INSTANCE_ROLE}": json.dumps(_credentials()),
            "dynamic/instance-identity/document": json.dumps(identity),
        }.get(path.rstrip("/"))


def _credentials() -> dict[str, str]:
    """Return credentials as the service does; moto checks no permission, so they only show who calls."""
    now = dt.datetime.now(dt.UTC)
    return {
        "Code": "Success",
        "LastUpdated": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Type": "AWS-HMAC",
        "AccessKeyId": INSTANCE_ACCESS_KEY,
        "SecretAccessKey": "of-no-use-outside-of-the-local-region",
        "Token": "of-no-use-outside-of-the-local-region",
        "Expiration": (now + dt.timedelta(hours=CREDENTIALS_HOURS)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
