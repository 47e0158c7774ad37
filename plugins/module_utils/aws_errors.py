"""Fail with AWS's refusal in one sentence; its whole answer, with every header, is for those who ask for it with -v.

For modules on the controller, which has boto3.
"""

from __future__ import annotations

from typing import Any


def code_of(error: Exception) -> str:
    """Return AWS's own code of an error; empty where AWS gave none."""
    answer = getattr(error, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))


def reason(error: Exception) -> str:
    """Return an error of boto3 in one line: AWS's code and message, else what boto3 says."""
    answer = getattr(error, "response", None) or {}
    message = str(answer.get("Error", {}).get("Message", "")) or str(error)
    code = code_of(error)
    return " ".join((f"{code}: {message}" if code else message).split())


def fail(module: Any, error: Exception, sentence: str) -> None:
    """End the module with a sentence and AWS's reason.

    Args:
        module: an AnsibleAWSModule.
        error: of boto3.
        sentence: what could not be done and what to do, without a full stop.
    """
    if module._verbosity > 0:
        module.fail_json_aws(error, msg=sentence)
    module.fail_json(msg=f"{sentence} ({reason(error)}).")
