"""Judge a session document of Systems Manager: whether Ansible can work in a session that runs under it.

Preferences of an account are made for people who type; Ansible needs a shell of ssm-user as the agent starts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What a session without a document of its own runs under, where an account has it.
ACCOUNT_PREFERENCES = "SSM-SessionManagerRunShell"
# As the agent makes it, with the right to sudo without a password.
AGENT_USER = "ssm-user"
SHELL_SESSION = "Standard_Stream"
# Minutes. Following a training lets two minutes pass without a word, and AWS counts in whole ones.
SHORTEST = 5
INSTEAD = (
    "Let playbooks/provision.yml make this application a document of its own, or name another with"
    " -e ansible_aws_ssm_document=NAME."
)


def problems(name: str, content: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each preference with which no session would come about, or none that Ansible can use.

    Args:
        name: of the document.
        content: as GetDocument answers it.
    """
    inputs = content.get("inputs") or {}
    found = []
    if content.get("sessionType", SHELL_SESSION) != SHELL_SESSION:
        found.append(f"it is for sessions of the type {content['sessionType']}, not {SHELL_SESSION}")
    user = str(inputs.get("runAsDefaultUser") or "")
    if _is_on(inputs, "runAsEnabled") and user != AGENT_USER:
        found.append(
            f"Run As has sessions run as {user or 'whom a tag names'}, and the playbooks need {AGENT_USER}, who may"
            " sudo without a password"
        )
    if inputs.get("kmsKeyId"):
        found.append(
            f"it encrypts sessions with the KMS key {inputs['kmsKeyId']}, and the instance's role, as provision.yml"
            " makes it, lacks kms:Decrypt"
        )
    if inputs.get("cloudWatchLogGroupName") and _is_on(inputs, "cloudWatchEncryptionEnabled"):
        found.append(
            f"it asks for a log group {inputs['cloudWatchLogGroupName']} that a KMS key encrypts, and the agent refuses"
            " every session where it does not find it so"
        )
    if inputs.get("s3BucketName") and _is_on(inputs, "s3EncryptionEnabled"):
        found.append(
            f"it asks for a log bucket {inputs['s3BucketName']} that is encrypted, and the agent, which lacks"
            " s3:GetEncryptionConfiguration, refuses every session where it cannot see that it is"
        )
    return [f"The session document {name} would prevent the sessions: {each}. {INSTEAD}" for each in found]


def warnings(name: str, content: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each preference with which sessions may break.

    Args:
        name: of the document.
        content: as GetDocument answers it.
    """
    inputs = content.get("inputs") or {}
    found = []
    profile = str((inputs.get("shellProfile") or {}).get("linux") or "").strip()
    if profile:
        found.append("its shell profile for Linux runs first, and a change of shell or prompt confuses Ansible")
    for key, words in (("idleSessionTimeout", "of silence"), ("maxSessionDuration", "in all")):
        minutes = str(inputs.get(key) or "")
        if minutes.isdecimal() and int(minutes) < SHORTEST:
            found.append(f"it ends sessions after {minutes} min {words}, which is less than a task may take")
    return [f"The session document {name} may disturb the sessions: {each}. {INSTEAD}" for each in found]


def _is_on(inputs: Mapping[str, Any], name: str) -> bool:
    """Return whether a switch is on; a document may have it as text."""
    return str(inputs.get(name) or "").lower() == "true"
