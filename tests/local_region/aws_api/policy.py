"""What the instance may do: the policies of its role, asked for every call that it makes.

moto's own enforcement checks signatures of all callers, and of most services no resource; its policies are used here.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.iam.models import iam_backends
from moto.s3.models import FakeBucket
from moto.secretsmanager.models import secretsmanager_backends

from tests.local_region import names
from tests.local_region.aws_api.calls import Call

ALWAYS_ALLOWED = {"sts:GetCallerIdentity"}  # AWS asks no policy about it.
S3_ACTIONS = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}


def leave_bucket_policies_out() -> None:
    """Have moto ask no bucket's policy: it reads no conditions, so that one against unencrypted calls refuses all."""
    setattr(FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL)  # noqa: B010 - mypy refuses the other


def refused(call: Call) -> str | None:
    """Return the action that the instance's role does not allow, such as `s3:PutObject`; None when it may go on.

    A role without any policy is not asked: an account that was only seeded has no more than the role's name.
    """
    policies = _policies()
    action = action_of(call)
    if not policies or action in ALWAYS_ALLOWED:
        return None
    allowed = all(_permitted(policies, action, resource) for resource in resources_of(call))
    return None if allowed else action


def action_of(call: Call) -> str:
    """Return a call's action as policies name it."""
    if call.service != "s3":
        return f"{call.service}:{call.action}"
    bucket, key = _bucket_and_key(call)
    if bucket and not key and call.action in {"GET", "HEAD"}:
        return "s3:ListBucket"
    return "s3:ListAllMyBuckets" if not bucket else S3_ACTIONS.get(call.action, f"s3:{call.action}")


def resources_of(call: Call) -> list[str]:
    """Return the ARNs that a call is about; `*` where a policy cannot name less."""
    here = f"{names.AWS_REGION}:{names.ACCOUNT_ID}"
    body = call.json() if call.service not in {"s3", "ec2", "sts", "iam"} else {}
    if call.service == "s3":
        bucket, key = _bucket_and_key(call)
        return [f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"] if bucket else ["*"]
    if call.service == "secretsmanager" and "SecretId" in body:
        return [_secret_arn(str(body["SecretId"]))]
    if call.service == "ssm" and (named := _parameters(body)):
        return [f"arn:aws:ssm:{here}:parameter/{name.strip('/')}" for name in named]
    if call.service == "ecr" and "repositoryName" in body:
        return [f"arn:aws:ecr:{here}:repository/{body['repositoryName']}"]
    if call.service == "logs" and "logGroupName" in body:
        return [f"arn:aws:logs:{here}:log-group:{body['logGroupName']}:log-stream:{body.get('logStreamName', '')}"]
    return ["*"]


def _parameters(body: dict[str, Any]) -> list[str]:
    return [str(each) for each in (body.get("Names") or [body.get("Name") or body.get("Path")]) if each]


def _bucket_and_key(call: Call) -> tuple[str, str]:
    """Return the parts of a path-style address; the key of a listing is none."""
    bucket, _, key = call.path.lstrip("/").partition("/")
    return bucket, "" if "list-type" in parse_qs(call.query) else key


def _secret_arn(name: str) -> str:
    backend = secretsmanager_backends[names.ACCOUNT_ID][names.AWS_REGION]
    secret = backend.secrets.get(name)
    return str(secret.arn) if secret else f"arn:aws:secretsmanager:{names.AWS_REGION}:{names.ACCOUNT_ID}:secret:{name}"


def _policies() -> list[IAMPolicy]:
    roles = iam_backends[names.ACCOUNT_ID]["aws"].roles.values()
    # moto takes what a policy names for a regular expression; there, a dot stands for any character.
    return [
        IAMPolicy(document.replace("?", ".") if isinstance(document, str) else document)
        for role in roles
        if role.name == names.INSTANCE_ROLE
        for document in [*role.policies.values(), *role.managed_policies.values()]
    ]


def _permitted(policies: list[IAMPolicy], action: str, resource: str) -> bool:
    results = [policy.is_action_permitted(action, resource) for policy in policies]
    return PermissionResult.PERMITTED in results and PermissionResult.DENIED not in results
