"""What a session comes to by its document: a port, another user, encryption, or the refusal of AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto.ssm.models import ssm_backends

from tests.local_region import names
from tests.local_region.aws_api.session_documents import DocumentRefusedError, SessionPlan, plan

PORTS = "AWS-StartPortForwardingSession"
PREFERENCES = "SSM-SessionManagerRunShell"
Put = Callable[..., None]


@pytest.fixture
def put() -> Iterator[Put]:
    """Return a way to put a session document into moto's memory, which holds nothing else."""
    ssm_backends.reset()

    def put(name: str, session_type: str = "Standard_Stream", **inputs: Any) -> None:
        content = {"schemaVersion": "1.0", "sessionType": session_type, "inputs": inputs}
        ssm_backends[names.ACCOUNT_ID][names.AWS_REGION].create_document(
            json.dumps(content), [], [], name, "", "Session", "JSON", "", []
        )

    yield put
    ssm_backends.reset()


@pytest.mark.usefixtures("put")
def test_without_documents_a_session_is_a_plain_one() -> None:
    assert plan({}) == SessionPlan()
    assert plan({}).query() == ""


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("inputs", "planned"),
    [
        ({}, SessionPlan()),
        ({"runAsEnabled": True, "runAsDefaultUser": "nobody"}, SessionPlan(user="nobody")),
        ({"runAsEnabled": False, "runAsDefaultUser": "nobody"}, SessionPlan()),
        ({"kmsKeyId": "some-key"}, SessionPlan(key="some-key")),
    ],
)
def test_preferences_hold_where_no_document_is_named(
    put: Put, named: bool, inputs: dict[str, Any], planned: SessionPlan
) -> None:
    put("other" if named else PREFERENCES, **inputs)
    assert plan({"DocumentName": "other"} if named else {}) == planned


def test_a_document_of_ones_own_wins_over_the_preferences(put: Put) -> None:
    put(PREFERENCES, kmsKeyId="some-key")
    put("own")
    assert plan({"DocumentName": "own"}) == SessionPlan()


@pytest.mark.parametrize(
    ("parameters", "query"),
    [
        ({"portNumber": ["8080"], "localPortNumber": ["18080"]}, "?port=8080&local_port=18080"),
        ({"portNumber": ["8080"]}, "?port=8080&local_port=0"),
    ],
)
def test_a_port_is_forwarded_by_awss_own_document(parameters: dict[str, list[str]], query: str) -> None:
    assert plan({"DocumentName": PORTS, "Parameters": parameters}).query() == query


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"DocumentName": "no-such-document"}, "InvalidDocument"),
        ({"DocumentName": "AWS-StartSSHSession"}, "InvalidDocument"),
        ({"DocumentName": "a-port"}, "InvalidDocument"),
        ({"DocumentName": PORTS, "Parameters": {"portNumber": ["70000"]}}, "InvalidParameters"),
        ({"DocumentName": PORTS, "Parameters": {"portNumber": ["http"]}}, "InvalidParameters"),
    ],
)
def test_what_aws_refuses_is_refused(put: Put, asked: dict[str, Any], code: str) -> None:
    put("a-port", session_type="Port")
    with pytest.raises(DocumentRefusedError) as refusal:
        plan(asked)
    assert refusal.value.code == code
