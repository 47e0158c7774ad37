"""The session document, made, changed and removed in an account of moto's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import boto3
import pytest
from ansible_collections.slm.serving.plugins.modules.session_document import Document

from tests.support.aws_account import mock_aws

NAME = "slm-ft-serving-session"
OURS = {"Application": "slm-ft-serving"}


class Client:
    """A client of Systems Manager, as AnsibleAWSModule wraps it: its calls take `aws_retry`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    def _call(self, name: str, aws_retry: bool = False, **arguments: Any) -> Any:
        return getattr(self._client, name)(**arguments)


@pytest.fixture
def ssm() -> Iterator[Client]:
    """Return a client of an account with nothing in it."""
    with mock_aws():
        yield Client(boto3.client("ssm", region_name="us-east-1"))


def present(ssm: Client, minutes: str = "20", tags: dict[str, str] | None = None) -> list[str]:
    """Have the document there, with sessions that may be silent for so long; return what differed."""
    inputs = {"idleSessionTimeout": minutes}
    document = Document(ssm, {"name": NAME, "description": "", "inputs": inputs, "tags": tags or OURS})
    differences = document.differences()
    document.correct(differences)
    return differences


def inputs(ssm: Client) -> dict[str, Any]:
    """Return the preferences of the version that sessions use."""
    found: dict[str, Any] = json.loads(ssm.get_document(Name=NAME)["Content"])["inputs"]
    return found


def test_a_document_is_made_once(ssm: Client) -> None:
    assert present(ssm) == ["document"]
    assert inputs(ssm) == {"idleSessionTimeout": "20"}
    about = ssm.describe_document(Name=NAME)["Document"]
    assert (about["DocumentType"], about["Tags"]) == ("Session", [{"Key": "Application", "Value": "slm-ft-serving"}])
    assert present(ssm) == []


def test_a_new_content_is_the_one_that_sessions_use_and_an_old_one_again_too(ssm: Client) -> None:
    present(ssm)
    for minutes in ("30", "20"):
        assert present(ssm, minutes) == ["content"]
        assert inputs(ssm) == {"idleSessionTimeout": minutes}
    assert present(ssm) == []


def test_a_run_that_ended_before_the_new_version_was_the_default_one_is_finished(ssm: Client) -> None:
    present(ssm)
    wanted = json.loads(ssm.get_document(Name=NAME)["Content"]) | {"inputs": {"idleSessionTimeout": "30"}}
    ssm.update_document(Name=NAME, Content=json.dumps(wanted), DocumentVersion="$LATEST")
    assert present(ssm, "30") == ["content"]
    assert inputs(ssm) == {"idleSessionTimeout": "30"}


def test_missing_tags_are_added_and_others_stay(ssm: Client) -> None:
    present(ssm, tags={"theirs": "x"})
    assert present(ssm) == ["tags"]
    tags = ssm.describe_document(Name=NAME)["Document"]["Tags"]
    assert {each["Key"]: each["Value"] for each in tags} == OURS | {"theirs": "x"}


def test_a_document_is_removed_with_its_versions(ssm: Client) -> None:
    present(ssm)
    present(ssm, "30")
    Document(ssm, {"name": NAME}).remove()
    assert ssm.list_documents()["DocumentIdentifiers"] == []
    assert Document(ssm, {"name": NAME}).about == {}
