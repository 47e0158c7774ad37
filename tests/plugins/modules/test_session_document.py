"""The session document, made, changed and removed in a fake account."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.plugins.run import run_module

NAME = "slm-ft-serving-session"
OURS = {"Application": "slm-ft-serving"}
REGION = "us-east-1"
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a client of an account with nothing in it."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.client("ssm", region_name=REGION)


@pytest.fixture
def run(ssm: Any) -> Run:
    """Return a run of the module in that account."""
    assert ssm

    def run(minutes: str = "20", **arguments: Any) -> dict[str, Any]:
        given = {"name": NAME, "inputs": {"idleSessionTimeout": minutes}, "tags": OURS, "region": REGION}
        answer = run_module("session_document", given | arguments)
        assert not answer.get("failed"), answer
        return answer

    return run


def content(ssm: Any) -> dict[str, Any]:
    """Return the content that sessions use."""
    answer: dict[str, Any] = json.loads(ssm.get_document(Name=NAME)["Content"])
    return answer


def test_a_document_is_made_once(ssm: Any, run: Run) -> None:
    assert run()["differences"] == ["document"]
    assert content(ssm)["inputs"] == {"idleSessionTimeout": "20"}
    about = ssm.describe_document(Name=NAME)["Document"]
    assert (about["DocumentType"], about["Tags"]) == ("Session", [{"Key": "Application", "Value": "slm-ft-serving"}])
    assert run()["changed"] is False


def test_a_new_content_is_the_one_that_sessions_use_and_an_old_one_again_too(ssm: Any, run: Run) -> None:
    run()
    assert run("30")["differences"] == ["content"]
    assert content(ssm)["inputs"] == {"idleSessionTimeout": "30"}
    assert run("20")["differences"] == ["content"]
    assert content(ssm)["inputs"] == {"idleSessionTimeout": "20"}
    assert run("20")["changed"] is False


def test_a_run_that_ended_before_the_new_version_was_the_default_one_is_finished(ssm: Any, run: Run) -> None:
    run()
    wanted = json.dumps(content(ssm) | {"inputs": {"idleSessionTimeout": "30"}})
    ssm.update_document(Name=NAME, Content=wanted, DocumentVersion="$LATEST")
    run("30")
    assert content(ssm)["inputs"] == {"idleSessionTimeout": "30"}


def test_missing_tags_are_added_and_others_stay(ssm: Any, run: Run) -> None:
    run(tags={"theirs": "x"})
    assert run()["differences"] == ["tags"]
    tags = ssm.describe_document(Name=NAME)["Document"]["Tags"]
    assert {each["Key"]: each["Value"] for each in tags} == OURS | {"theirs": "x"}


def test_a_document_is_removed_with_its_versions(ssm: Any, run: Run) -> None:
    run()
    run("30")
    assert run(state="absent")["changed"] is True
    assert ssm.list_documents()["DocumentIdentifiers"] == []
    assert run(state="absent")["changed"] is False


def test_check_mode_tells_the_difference_and_changes_nothing(ssm: Any, run: Run) -> None:
    answer = run(_ansible_check_mode=True)
    assert answer["changed"] is True
    assert "idleSessionTimeout" in answer["diff"]["after"]
    assert ssm.list_documents()["DocumentIdentifiers"] == []
