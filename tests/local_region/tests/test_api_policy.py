"""The instance may do what its role's policies allow, and nothing else."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import botocore.exceptions
import pytest

from tests.fakes.account import Api
from tests.local_region import names
from tests.local_region.aws_api.calls import INSTANCE_ACCESS_KEY
from tests.local_region.seed import Account

ALLOWED = [
    {
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": f"arn:aws:secretsmanager:*:*:secret:{names.SECRET_HF_TOKEN}-*",
    },
    {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{names.MODELS_BUCKET}"},
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{names.MODELS_BUCKET}/small/*"},
]


@pytest.fixture
def instance(api: Api, monkeypatch: pytest.MonkeyPatch) -> Account:
    """Return the account as the instance sees it, with a role that may do three things; an object is in each bucket."""
    api.account.seed(api.state)
    for bucket, key in ((names.MODELS_BUCKET, "small/a"), (names.MODELS_BUCKET, "b"), (names.TRANSFER_BUCKET, "c")):
        api.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    document = json.dumps({"Version": "2012-10-17", "Statement": ALLOWED})
    api.client("iam").put_role_policy(RoleName=names.INSTANCE_ROLE, PolicyName="p", PolicyDocument=document)
    monkeypatch.setattr("tests.local_region.environment.OPERATOR_ACCESS_KEY", INSTANCE_ACCESS_KEY)
    return Account(api.account.endpoint)


def test_calls_that_the_roles_policies_allow_are_answered(instance: Account) -> None:
    assert instance.client("secretsmanager").get_secret_value(SecretId=names.SECRET_HF_TOKEN)["SecretString"]
    assert instance.client("s3").list_objects_v2(Bucket=names.MODELS_BUCKET)["KeyCount"] == 2
    assert instance.client("s3").get_object(Bucket=names.MODELS_BUCKET, Key="small/a")["Body"].read() == b"x"
    assert instance.client("sts").get_caller_identity()["Account"] == names.ACCOUNT_ID


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "code"),
    [
        ("secretsmanager", "get_secret_value", {"SecretId": names.SECRET_GATEWAY_API_KEYS}, "AccessDeniedException"),
        ("s3", "get_object", {"Bucket": names.MODELS_BUCKET, "Key": "b"}, "AccessDenied"),
        ("s3", "list_objects_v2", {"Bucket": names.TRANSFER_BUCKET}, "AccessDenied"),
        ("s3", "put_object", {"Bucket": names.MODELS_BUCKET, "Key": "small/a", "Body": b"y"}, "AccessDenied"),
        ("ssm", "get_parameter", {"Name": "/slm-ft-serving/aws/region"}, "AccessDeniedException"),
        ("ec2", "describe_instances", {}, "UnauthorizedOperation"),
    ],
)
def test_calls_that_the_roles_policies_do_not_allow_are_refused(
    instance: Account, service: str, operation: str, arguments: dict[str, Any], code: str
) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        getattr(instance.client(service), operation)(**arguments)
    assert refused.value.response["Error"]["Code"] == code


def _signed(instance: Account, key: str) -> str:
    address = instance.client("s3").generate_presigned_url("get_object", {"Bucket": names.MODELS_BUCKET, "Key": key})
    return str(address)


def test_an_address_that_the_instance_signed_lets_nobody_do_more(instance: Account) -> None:
    with urllib.request.urlopen(_signed(instance, "small/a"), timeout=10) as answer:
        assert answer.read() == b"x"
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(_signed(instance, "b"), timeout=10)
    refused.value.close()
