"""What a session comes to by its document: a port, another user, encryption, or the refusal of AWS."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.fakes.account import Api
from tests.local_region import names

PREFERENCES = "SSM-SessionManagerRunShell"


@pytest.fixture
def instance(api: Api) -> str:
    """Seed the account and return its instance's id."""
    return api.account.seed(api.state)


def put(api: Api, name: str, session_type: str = "Standard_Stream", **inputs: Any) -> None:
    """Put a session document."""
    content = {"schemaVersion": "1.0", "sessionType": session_type, "inputs": inputs}
    api.client("ssm").create_document(Name=name, Content=json.dumps(content), DocumentType="Session")


def address(api: Api, instance: str, **request: Any) -> str:
    """Start a session and return what the plugin is to open."""
    return str(api.client("ssm").start_session(Target=instance, **request)["StreamUrl"])


def test_the_accounts_own_document_gives_a_plain_session(api: Api, instance: str) -> None:
    assert address(api, instance, DocumentName=names.SESSION_DOCUMENT) == "docker://fake-instance"


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("inputs", "query"),
    [
        ({"runAsEnabled": True, "runAsDefaultUser": "nobody"}, "user=nobody"),
        ({"runAsEnabled": False, "runAsDefaultUser": "nobody"}, ""),
        ({"kmsKeyId": "some-key"}, "key=some-key"),
    ],
)
def test_preferences_hold_where_no_document_is_named(
    api: Api, instance: str, named: bool, inputs: dict[str, Any], query: str
) -> None:
    put(api, "other" if named else PREFERENCES, **inputs)
    request = {"DocumentName": "other"} if named else {}
    assert address(api, instance, **request).removeprefix("docker://fake-instance").removeprefix("?") == query


def test_a_document_of_ones_own_wins_over_the_preferences(api: Api, instance: str) -> None:
    put(api, PREFERENCES, kmsKeyId="some-key")
    assert address(api, instance, DocumentName=names.SESSION_DOCUMENT) == "docker://fake-instance"


@pytest.mark.parametrize(
    ("parameters", "query"),
    [
        ({"portNumber": ["8080"], "localPortNumber": ["18080"]}, "port=8080&local_port=18080"),
        ({"portNumber": ["8080"]}, "port=8080&local_port=0"),
    ],
)
def test_a_port_is_forwarded_by_awss_own_document(
    api: Api, instance: str, parameters: dict[str, list[str]], query: str
) -> None:
    opened = address(api, instance, DocumentName="AWS-StartPortForwardingSession", Parameters=parameters)
    assert opened == f"docker://fake-instance?{query}"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"DocumentName": "no-such-document"}, "InvalidDocument"),
        ({"DocumentName": "AWS-StartSSHSession"}, "InvalidDocument"),
        ({"DocumentName": "a-port"}, "InvalidDocument"),
        (
            {"DocumentName": "AWS-StartPortForwardingSession", "Parameters": {"portNumber": ["70000"]}},
            "InvalidParameters",
        ),
        (
            {"DocumentName": "AWS-StartPortForwardingSession", "Parameters": {"portNumber": ["http"]}},
            "InvalidParameters",
        ),
    ],
)
def test_what_aws_refuses_is_refused(api: Api, instance: str, request_: dict[str, Any], code: str) -> None:
    put(api, "a-port", session_type="Port")
    with pytest.raises(ClientError, match=code):
        address(api, instance, **request_)
