"""What is given to the aws command on the instance: nothing that it would read a file or an address for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from ansible_collections.slm.serving.plugins.module_utils import aws_cli
from ansible_collections.slm.serving.plugins.module_utils.model_sources.base import ModelError
from ansible_collections.slm.serving.plugins.module_utils.model_sources.s3 import S3Source
from ansible_collections.slm.serving.plugins.modules import preflight_instance

from tests.support.role_variables import ROLES

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:some/keys-a1B2c3"
NAMES = {
    "slm-ft-serving/gateway-api-keys": True,
    "a": True,
    "a" * 512: True,
    "/_+=.@-": True,
    ARN: True,
    ARN.replace("arn:aws:", "arn:aws-cn:"): True,
    "": False,
    "a" * 513: False,
    "file:///run/slm-ft-serving/secrets/verification-key": False,
    "fileb:///etc/shadow": False,
    "http://169.254.169.254/latest": False,
    "https://example.org": False,
    "--debug": False,
    "keys\n": False,
    " keys": False,
    "keys two": False,
    "schlüssel": False,
    ARN.replace("secretsmanager", "ssm"): False,
    f"{ARN}\nfile://x": False,
    "arn:aws:secretsmanager:us-east-1:file:///etc/shadow": False,
}


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail when the command is started."""

    def started(*arguments: object, **_: object) -> None:
        raise AssertionError(arguments)

    monkeypatch.setattr(subprocess, "run", started)


@pytest.mark.parametrize("name", NAMES)
def test_name_of_a_secret_is_told_from_what_the_command_would_read(name: str) -> None:
    assert (aws_cli.secret_name_problem(name) is None) == NAMES[name]


def test_script_that_runs_at_boot_has_the_same_rule() -> None:
    rule = re.compile(r"SECRET_NAME = re\.compile\(\n(.*?)\n\)", re.DOTALL)
    files = (Path(aws_cli.__file__), ROLES / "secrets/files/fetch_secrets.py")
    one, other = (rule.findall(path.read_text(encoding="utf-8")) for path in files)
    assert one == other
    assert one


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("value", ["file:///etc/shadow", "fileb://x", "http://x", "HTTPS://x", "--key=file:///x\n"])
def test_value_that_the_command_would_read_is_not_given_to_it(value: str) -> None:
    with pytest.raises(aws_cli.AwsError, match="was not given to the aws command"):
        aws_cli.aws("s3api", "head-object", "--key", value, region="us-east-1")


@pytest.mark.usefixtures("refusing")
def test_prefix_that_the_command_would_read_is_not_given_to_it() -> None:
    source = S3Source("s3://bucket/file:///etc/shadow", {"region": "us-east-1"})
    with pytest.raises(ModelError, match="was not given to the aws command"):
        source.listing()


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("name", [name for name, good in NAMES.items() if not good])
def test_preflight_asks_for_no_secret_of_an_impossible_name(name: str) -> None:
    secret = {"name": name, "parameter": "/slm/secrets/some", "path": "some"}
    instance = preflight_instance.Instance({"secrets": [secret], "region": "us-east-1", "patience": 5})
    (problem,) = instance.secrets()
    assert "is no name of a secret" in problem
    assert "/slm/secrets/some" in problem


WHO = "User: arn:aws:sts::123456789012:assumed-role/some-role/i-1 is not authorized to perform: s3:GetObject"
ERRORS = {
    "An error occurred (AccessDenied) when calling the GetObject operation: " + WHO: ("some-role is not allowed", True),
    "An error occurred (NoSuchBucket) when calling the ListObjectsV2 operation: no such bucket": (
        "NoSuchBucket",
        False,
    ),
    "An error occurred (RequestTimeTooSkewed) when calling the GetObject operation: no": ("timedatectl", False),
    "Unable to locate credentials. You can configure credentials": ("has no instance profile", False),
    'Could not connect to the endpoint URL: "https://s3.invalid/"': ("does not reach AWS", False),
}


@pytest.mark.parametrize(
    "form",
    [
        # Version 1 and earlier ones of 2; later ones without, and with details.
        "\n{}\n",
        "\naws: [ERROR]: {}\n",
        "\naws: [ERROR]: {}\n\nAdditional error details:\nBucketName: some-bucket\n",
    ],
)
@pytest.mark.parametrize("error", ERRORS)
def test_refusal_is_read_as_every_version_of_the_command_writes_it(error: str, form: str) -> None:
    words, denied = ERRORS[error]
    refusal = aws_cli.refusal(form.format(error).strip())
    assert words in str(refusal)
    assert refusal.reason == error
    assert refusal.denied is denied
    assert "some-bucket" not in str(refusal)
