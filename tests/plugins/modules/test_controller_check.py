"""What the controller's credentials cannot do for a playbook, each told with what to run."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.modules import controller_check
from botocore.exceptions import ClientError

from tests.plugins.run import run_module

CONFIGURATION = """
[profile person]
region = us-east-1
aws_access_key_id = AKIAEXAMPLE
aws_secret_access_key = example

[profile operator]
role_arn = arn:aws:iam::123456789012:role/operator
source_profile = person
mfa_serial = arn:aws:iam::123456789012:mfa/person

[profile behind]
role_arn = arn:aws:iam::123456789012:role/other
source_profile = operator

[profile circle]
role_arn = arn:aws:iam::123456789012:role/other
source_profile = circle

[profile signed-on]
sso_session = company
sso_account_id = 123456789012
sso_role_name = operator

[sso-session company]
sso_start_url = https://company.awsapps.com/start
sso_region = us-east-1
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return the environment of an operator with profiles and without a session."""
    (tmp_path / "config").write_text(CONFIGURATION)
    return {
        "HOME": str(tmp_path),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
        # Nothing listens there.
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }


def check(environment: dict[str, str], **arguments: Any) -> dict[str, Any]:
    """Run the module."""
    return run_module("controller_check", {"session_plugin": "/bin/true", **arguments}, environment)


@pytest.mark.parametrize(("profile", "asking"), [("operator", "operator"), ("behind", "operator")])
def test_profile_that_asks_for_a_code_is_refused_without_asking(
    environment: dict[str, str], profile: str, asking: str
) -> None:
    answer = check({**environment, "AWS_PROFILE": profile})
    assert answer["failed"] is True
    assert f"The profile {asking} asks for an MFA code" in answer["msg"]
    assert f'eval "$(aws configure export-credentials --profile {profile} --format env)"' in answer["msg"]


@pytest.mark.parametrize("profile", ["person", "circle", "nobody"])
def test_profile_that_asks_for_nothing_is_no_problem(profile: str) -> None:
    profiles = {"person": {}, "circle": {"source_profile": "circle"}}
    assert controller_check.mfa_profile(profiles, profile) == ""


def test_code_is_no_matter_once_a_session_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE")
    monkeypatch.delenv("AWS_CREDENTIAL_EXPIRATION", raising=False)
    assert controller_check.credentials_problem({"operator": {"mfa_serial": "x"}}, "operator") is None


def test_single_sign_on_that_has_ended_is_told_with_the_profile(environment: dict[str, str]) -> None:
    answer = check({**environment, "AWS_PROFILE": "signed-on"})
    assert "The single sign-on of the profile signed-on is not valid any more" in answer["msg"]
    assert "Run `aws sso login --profile signed-on`." in answer["msg"]


def test_profile_that_does_not_exist_is_named(environment: dict[str, str]) -> None:
    assert "nobody" in check({**environment, "AWS_PROFILE": "nobody"})["msg"]


def ends_in(seconds: float) -> str:
    """Return a time as tools for single sign-on write it."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).isoformat(timespec="seconds")


def test_credentials_that_have_expired_are_refused_without_a_call(environment: dict[str, str]) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "ASIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "x"}
    answer = check({**environment, **keys, "AWS_CREDENTIAL_EXPIRATION": ends_in(-600)})
    assert "The credentials in the environment expired 10 min ago" in answer["msg"]


@pytest.mark.parametrize(
    ("ends", "told"),
    [(1200, True), (7200, False), ("", False), ("soon", False)],
    ids=["within a deployment", "after it", "unknown", "unreadable"],
)
def test_credentials_that_end_within_a_deployment_are_told(
    monkeypatch: pytest.MonkeyPatch, ends: float | str, told: bool
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE")
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", ends if isinstance(ends, str) else ends_in(ends))
    note = controller_check.credentials_note()
    assert (note is not None) == told
    assert note is None or "a deployment may take 60" in note


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ExpiredToken", "The AWS credentials have expired. HELP"),
        ("InvalidClientTokenId", "AWS knows no such access key"),
        ("AccessDenied", "AWS does not accept the credentials (AccessDenied: no). HELP"),
    ],
)
def test_refusal_of_aws_is_told_by_its_code(code: str, words: str) -> None:
    error = ClientError({"Error": {"Code": code, "Message": "no"}}, "GetCallerIdentity")
    assert words in controller_check.refusal(error, "HELP")


def test_what_is_known_already_stands_in_the_same_message(environment: dict[str, str]) -> None:
    answer = check({**environment, "AWS_PROFILE": "operator"}, known_problems=["The collection a.b is 1.0."])
    assert answer["problems"][0] == "The collection a.b is 1.0."
    assert "MFA" in answer["problems"][1]
