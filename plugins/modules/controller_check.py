"""Check everything that the controller itself needs before a playbook calls AWS.

An own module, because the ready ones stop at the first problem, and an operator wants all of them in one message.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: controller_check
short_description: Check the controller's tools, region and credentials
description:
  - Checks for the session plugin, boto3 and botocore, a region and credentials that STS accepts.
  - Changes nothing. Returns every problem with what to do about it; where AWS cannot be called, fails with them.
options:
  session_plugin:
    description: Path of the session plugin; empty means where the connection plugin looks for it.
    type: str
    default: ""
author:
  - The slm-ft-serving developers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Check this machine
  slm.serving.controller_check:
    session_plugin: /usr/local/bin/session-manager-plugin
  register: checked
"""

RETURN = r"""
account:
  description: The account that the credentials belong to.
  returned: success
  type: str
caller:
  description: The ARN that the credentials belong to.
  returned: success
  type: str
region:
  description: The region of every call.
  returned: success
  type: str
problems:
  description: A sentence for each thing that is missing on this machine.
  returned: always
  type: list
  elements: str
"""

import email.utils
import importlib
import os
import shutil
import time

from ansible.module_utils.basic import AnsibleModule

PLUGIN_HELP = (
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html"
)
DEFAULT_PLUGIN = "/usr/local/bin/session-manager-plugin"
CLOCK_TOLERANCE = 240  # seconds; AWS takes 300
CREDENTIALS_HELP = "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in with `aws sso login`."


def plugin_problem(configured: str) -> str | None:
    """Return what is wrong with the session plugin, or None."""
    configured = configured or os.environ.get("AWS_SESSION_MANAGER_PLUGIN", "")
    if configured:
        exists = os.access(configured, os.X_OK)
    else:
        exists = os.access(DEFAULT_PLUGIN, os.X_OK) or shutil.which("session-manager-plugin") is not None
    if exists:
        return None
    where = configured or f"{DEFAULT_PLUGIN} or anywhere on PATH"
    return f"The Session Manager plugin is not at {where}. Install it: {PLUGIN_HELP}"


def library_problems() -> list[str]:
    """Return a sentence for each Python library that the AWS modules need and this Python lacks."""
    problems = []
    for name in ("boto3", "botocore"):
        try:
            importlib.import_module(name)
        except ImportError:
            problems.append(
                f"The Python that runs Ansible lacks the library {name}. Run `make setup` and use .venv/bin."
            )
    return problems


def clock_lead(date: str) -> float:
    """Return by how many seconds this machine's clock is ahead of AWS's `Date` header; 0 without one."""
    return time.time() - email.utils.parsedate_to_datetime(date).timestamp() if date else 0.0


def caller_identity(problems: list[str]) -> dict[str, str]:
    """Return account, caller and region; add what is wrong with them to `problems`."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    identity: dict[str, str] = {}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        problems.append("No region. Set AWS_REGION to the region of the instance, for example us-east-1.")
        # Without one AWS cannot be called, but missing credentials can be reported in the same message.
        if boto3.session.Session().get_credentials() is None:
            problems.append(f"No AWS credentials. {CREDENTIALS_HELP}")
        return identity
    identity["region"] = region
    try:
        config = Config(connect_timeout=5, read_timeout=15, retries={"max_attempts": 3, "mode": "standard"})
        answer = boto3.session.Session(region_name=region).client("sts", config=config).get_caller_identity()
    except ClientError as error:
        lead = clock_lead(error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))
        if abs(lead) > CLOCK_TOLERANCE:
            direction = "ahead of" if lead > 0 else "behind"
            problems.append(
                f"The clock of this machine is {abs(lead):.0f} s {direction} AWS's, which therefore rejects requests"
                f" ({error}). Set it, for example with `timedatectl set-ntp true`."
            )
            return identity
        problems.append(f"AWS does not accept the credentials ({error}). {CREDENTIALS_HELP}")
        return identity
    except BotoCoreError as error:
        problems.append(
            f"AWS cannot be reached, or there are no credentials ({type(error).__name__}: {error}). {CREDENTIALS_HELP}"
        )
        return identity
    identity["account"] = answer["Account"]
    identity["caller"] = answer["Arn"]
    return identity


def main() -> None:
    """Run the checks."""
    module = AnsibleModule(
        argument_spec={"session_plugin": {"type": "str", "default": ""}},
        supports_check_mode=True,
    )
    problems = [problem for problem in [plugin_problem(module.params["session_plugin"])] if problem]
    missing = library_problems()
    problems += missing
    identity = {} if missing else caller_identity(problems)
    if problems and "account" not in identity:
        numbered = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, start=1))
        module.fail_json(msg=f"This machine cannot run the playbook yet:\n{numbered}", problems=problems, **identity)
    module.exit_json(changed=False, problems=problems, **identity)


if __name__ == "__main__":
    main()
