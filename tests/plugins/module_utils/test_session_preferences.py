"""Which preferences of a session document prevent the playbooks' sessions, and which only disturb them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils.session_preferences import problems, warnings

from tests.support.rendering import value

NAME = "SSM-SessionManagerRunShell"
# As the console writes a document when nothing was chosen.
PLAIN = {
    "s3BucketName": "",
    "s3KeyPrefix": "",
    "s3EncryptionEnabled": True,
    "cloudWatchLogGroupName": "",
    "cloudWatchEncryptionEnabled": True,
    "cloudWatchStreamingEnabled": False,
    "kmsKeyId": "",
    "runAsEnabled": False,
    "runAsDefaultUser": "",
    "idleSessionTimeout": "20",
    "maxSessionDuration": "",
    "shellProfile": {"windows": "", "linux": ""},
}


def document(**inputs: Any) -> dict[str, Any]:
    """Return a document with these preferences over plain ones."""
    return {"schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": PLAIN | inputs}


@pytest.mark.parametrize(
    "content",
    [
        {},
        document(),
        document(runAsEnabled=True, runAsDefaultUser="ssm-user"),
        document(cloudWatchLogGroupName="/logs", cloudWatchEncryptionEnabled=False),
        document(s3BucketName="logs", s3EncryptionEnabled="false"),
        document(idleSessionTimeout="60", maxSessionDuration="1440"),
    ],
)
def test_a_document_that_lets_the_playbooks_work_is_no_problem(content: dict[str, Any]) -> None:
    assert (problems(NAME, content), warnings(NAME, content)) == ([], [])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"runAsEnabled": True, "runAsDefaultUser": "alice"}, "sessions run as alice"),
        ({"runAsEnabled": "true", "runAsDefaultUser": "ubuntu"}, "sessions run as ubuntu"),
        ({"runAsEnabled": True}, "whom a tag names"),
        ({"kmsKeyId": "alias/sessions"}, "kms:Decrypt"),
        ({"cloudWatchLogGroupName": "/logs"}, "log group /logs"),
        ({"s3BucketName": "logs"}, "s3:GetEncryptionConfiguration"),
    ],
)
def test_what_prevents_a_session_is_a_problem_that_says_what_to_do(inputs: dict[str, Any], words: str) -> None:
    (problem,) = problems(NAME, document(**inputs))
    assert words in problem
    assert f"{NAME} would prevent the sessions" in problem
    assert "playbooks/provision.yml" in problem


def test_a_document_for_something_else_than_a_shell_is_a_problem() -> None:
    (problem,) = problems(NAME, document() | {"sessionType": "Port"})
    assert "of the type Port" in problem


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"shellProfile": {"linux": "exec bash"}}, "shell profile"),
        ({"idleSessionTimeout": "1"}, "after 1 min of silence"),
        ({"idleSessionTimeout": "2"}, "after 2 min of silence"),
        ({"maxSessionDuration": "3"}, "after 3 min in all"),
    ],
)
def test_what_may_end_a_session_is_a_warning(inputs: dict[str, Any], words: str) -> None:
    assert problems(NAME, document(**inputs)) == []
    (warning,) = warnings(NAME, document(**inputs))
    assert words in warning


def test_the_document_that_provisioning_makes_is_neither() -> None:
    made = {"sessionType": "Standard_Stream", "inputs": value("infrastructure", "_infrastructure_session_inputs", {})}
    assert (problems(NAME, made), warnings(NAME, made)) == ([], [])
