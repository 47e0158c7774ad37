#!/usr/bin/python
"""Check everything that the controller itself needs before a playbook touches AWS.

An own module, because the ready ones stop at the first problem, and an operator wants all of them in one message.
"""

from __future__ import annotations

import email.utils
import importlib
import os
import shutil
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: controller_check
short_description: Check the controller's tools, region and credentials, all in one go
description:
  - Looks for the session plugin, boto3 and botocore, a region and credentials that STS accepts.
  - Changes nothing. Fails with every problem that it found, each with what to do, unless AWS can be asked for more.
options:
  session_plugin:
    description: Path of the session plugin; empty means where the connection looks by itself.
    type: str
    default: ""
"""

RETURN = r"""
account:
  description: The account id that the credentials belong to.
  type: str
caller:
  description: The ARN that the credentials belong to.
  type: str
region:
  description: The region of every call.
  type: str
problems:
  description: What is missing on this machine though AWS can be asked.
  type: list
"""

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
        found = os.access(configured, os.X_OK)
    else:
        found = os.access(DEFAULT_PLUGIN, os.X_OK) or shutil.which("session-manager-plugin") is not None
    if found:
        return None
    where = configured or f"{DEFAULT_PLUGIN} or anywhere on PATH"
    return f"The Session Manager plugin is not at {where}. Install it: {PLUGIN_HELP}"


def library_problems() -> list[str]:
    """Return a line for each Python library that the AWS modules need and this Python lacks."""
    problems = []
    for name in ("boto3", "botocore"):
        try:
            importlib.import_module(name)
        except ImportError:
            problems.append(
                f"The Python that runs Ansible lacks the library {name}. Run `make setup` and use .venv/bin."
            )
    return problems


def clock_off(told: str) -> float:
    """Return by how many seconds this machine's clock is ahead of what AWS told; 0 when it told nothing."""
    if not told:
        return 0.0
    return time.time() - email.utils.parsedate_to_datetime(told).timestamp()


def identity(problems: list[str]) -> dict[str, str]:
    """Return account, caller and region; what is wrong with them is added to problems."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    found = {}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        problems.append("No region. Set AWS_REGION to the region of the instance, for example us-east-1.")
        # Without one nothing can be asked, but what is plainly missing can be said in the same go.
        if boto3.session.Session().get_credentials() is None:
            problems.append(f"No AWS credentials. {CREDENTIALS_HELP}")
        return found
    found["region"] = region
    try:
        config = Config(connect_timeout=5, read_timeout=15, retries={"max_attempts": 3, "mode": "standard"})
        answer = boto3.session.Session(region_name=region).client("sts", config=config).get_caller_identity()
    except ClientError as error:
        off = clock_off(error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))
        if abs(off) > CLOCK_TOLERANCE:
            way = "ahead of" if off > 0 else "behind"
            problems.append(
                f"The clock of this machine is {abs(off):.0f} s {way} AWS's, which therefore refuses what it signs"
                f" ({error}). Set it, for example with `timedatectl set-ntp true`."
            )
            return found
        problems.append(f"AWS does not accept the credentials ({error}). {CREDENTIALS_HELP}")
        return found
    except BotoCoreError as error:
        problems.append(
            f"AWS cannot be reached, or there are no credentials ({type(error).__name__}: {error}). {CREDENTIALS_HELP}"
        )
        return found
    found["account"] = answer["Account"]
    found["caller"] = answer["Arn"]
    return found


def main() -> None:
    """Run the checks."""
    module = AnsibleModule(
        argument_spec={"session_plugin": {"type": "str", "default": ""}},
        supports_check_mode=True,
    )
    problems = [problem for problem in [plugin_problem(module.params["session_plugin"])] if problem]
    missing = library_problems()
    problems += missing
    found = {} if missing else identity(problems)
    if problems and "account" not in found:
        numbered = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, start=1))
        module.fail_json(msg=f"This machine cannot run the playbook yet:\n{numbered}", problems=problems, **found)
    module.exit_json(changed=False, problems=problems, **found)


if __name__ == "__main__":
    main()
