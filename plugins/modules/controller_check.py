"""Check everything that the controller itself needs before a playbook calls AWS.

An own module, because the ready ones stop at the first problem, and an operator wants all of them in one message.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: controller_check
short_description: Check the controller's tools, region and credentials
description:
  - Checks for the session plugin, boto3 and botocore, a region and credentials that STS accepts.
  - A profile that asks for an MFA code, a single sign-on that has ended and credentials that have expired are each told
    with what to run.
  - Changes nothing. Returns every problem with what to do about it; where AWS cannot be called, fails with them.
options:
  session_plugin:
    description: Path of the session plugin; empty means where the connection plugin looks for it.
    type: str
    default: ""
  known_problems:
    description: Sentences on what else is missing, so that all stands in one message; with any the module fails.
    type: list
    elements: str
    default: []
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
notes:
  description: A sentence for each thing to know before a long playbook.
  returned: success
  type: list
  elements: str
problems:
  description: A sentence for each thing that is missing on this machine.
  returned: always
  type: list
  elements: str
"""

import datetime as dt
import email.utils
import importlib
import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils import session_plugin
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import code_of, reason

CLOCK_TOLERANCE = 240  # seconds; AWS takes 300
DEPLOYMENT_SECONDS = 3600
CREDENTIALS_HELP = "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or sign in with `aws sso login`."


def plugin_problem(configured: str) -> str | None:
    """Return what is wrong with the session plugin, or None."""
    try:
        session_plugin.find(configured)
    except session_plugin.PluginMissingError as error:
        return str(error)
    return None


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


def mfa_profile(profiles: dict[str, dict[str, str]], name: str) -> str:
    """Return the profile, of one and those that it builds on, which asks for an MFA code; empty where none does.

    Args:
        profiles: settings by name, as the AWS configuration has them.
        name: the profile that is used.
    """
    seen: set[str] = set()
    while name in profiles and name not in seen:
        if profiles[name].get("mfa_serial"):
            return name
        seen.add(name)
        name = profiles[name].get("source_profile", "")
    return ""


def credentials_problem(profiles: dict[str, dict[str, str]], name: str) -> str | None:
    """Return why the credentials cannot serve a playbook, which consists of many processes; None when they may.

    Args:
        profiles: settings by name, as the AWS configuration has them.
        name: the profile that is used.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        left = seconds_left()
        if left is not None and left <= 0:
            return f"The credentials in the environment expired {-left / 60:.0f} min ago. {renewal(profiles, name)}"
        return None
    asking = mfa_profile(profiles, name)
    if asking:
        return (
            f"The profile {asking} asks for an MFA code at each call, and a playbook makes many. Sign in once:"
            f' eval "$(aws configure export-credentials --profile {name} --format env)"'
        )
    return None


def credentials_note() -> str | None:
    """Return what to know about credentials that end within the time of a deployment."""
    left = seconds_left() if os.environ.get("AWS_ACCESS_KEY_ID") else None
    if left is None or left <= 0 or left >= DEPLOYMENT_SECONDS:
        return None
    return (
        f"The credentials in the environment end in {left / 60:.0f} min, and a deployment may take"
        f" {DEPLOYMENT_SECONDS // 60}. Renew them before one."
    )


def seconds_left() -> float | None:
    """Return how long the credentials of the environment last; None where nothing says it."""
    # As `aws configure export-credentials` and the tools for single sign-on set it.
    text = os.environ.get("AWS_CREDENTIAL_EXPIRATION", "")
    try:
        ends = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (ends if ends.tzinfo else ends.replace(tzinfo=dt.UTC)).timestamp() - time.time()


def renewal(profiles: dict[str, dict[str, str]], name: str) -> str:
    """Return how to sign in again."""
    settings = profiles.get(name, {})
    if settings.get("sso_session") or settings.get("sso_start_url"):
        return f"Run `aws sso login --profile {name}`."
    return CREDENTIALS_HELP


def refusal(error: Any, help_text: str) -> str:
    """Return what AWS answered to the credentials, in words.

    Args:
        error: a ClientError.
        help_text: how to sign in again.
    """
    code = code_of(error)
    lead = clock_lead(error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))
    if abs(lead) > CLOCK_TOLERANCE:
        direction = "ahead of" if lead > 0 else "behind"
        return (
            f"The clock of this machine is {abs(lead):.0f} s {direction} AWS's, which therefore rejects requests"
            f" ({error}). Set it, for example with `timedatectl set-ntp true`."
        )
    if code in {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}:
        return f"The AWS credentials have expired. {help_text}"
    if code == "InvalidClientTokenId":
        return f"AWS knows no such access key, or not with this session token. {help_text}"
    return f"AWS does not accept the credentials ({reason(error)}). {help_text}"


def caller_identity(problems: list[str]) -> dict[str, str]:
    """Return account, caller and region; add what is wrong with them to `problems`."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound

    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        problems.append("No region. Set AWS_REGION to the region of the instance, for example us-east-1.")
    identity = {"region": region} if region else {}
    try:
        session = boto3.session.Session(region_name=region)
        name, profiles = session.profile_name, session._session.full_config.get("profiles", {})
    except ProfileNotFound as error:
        problems.append(f"{error}. Correct AWS_PROFILE; `aws configure list-profiles` names those that there are.")
        return identity
    except BotoCoreError as error:
        problems.append(f"The AWS configuration cannot be read ({error}).")
        return identity
    help_text = renewal(profiles, name)
    problem = credentials_problem(profiles, name)
    if problem:
        problems.append(problem)
        return identity
    try:
        if not region:
            # Without one AWS cannot be called, but missing credentials can be reported in the same message.
            if session.get_credentials() is None:
                problems.append(f"No AWS credentials. {help_text}")
            return identity
        config = Config(connect_timeout=5, read_timeout=15, retries={"max_attempts": 3, "mode": "standard"})
        answer = session.client("sts", config=config).get_caller_identity()
    except ClientError as error:
        problems.append(refusal(error, help_text))
        return identity
    except BotoCoreError as error:
        if any(word in type(error).__name__ for word in ("SSO", "Token", "Login")):
            problems.append(f"The single sign-on of the profile {name} is not valid any more ({error}). {help_text}")
        else:
            problems.append(
                f"AWS cannot be reached, or there are no credentials ({type(error).__name__}: {error}). {help_text}"
            )
        return identity
    return {**identity, "account": answer["Account"], "caller": answer["Arn"]}


def main() -> None:
    """Run the checks."""
    module = AnsibleModule(
        argument_spec={
            "session_plugin": {"type": "str", "default": ""},
            "known_problems": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    known: list[str] = module.params["known_problems"]
    problems = [*known, *filter(None, [plugin_problem(module.params["session_plugin"])])]
    missing = library_problems()
    problems += missing
    identity = {} if missing else caller_identity(problems)
    if known or (problems and "account" not in identity):
        numbered = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, start=1))
        module.fail_json(msg=f"This machine cannot run the playbook yet:\n{numbered}", problems=problems, **identity)
    notes = [note for note in [credentials_note()] if note]
    module.exit_json(changed=False, problems=problems, notes=notes, **identity)


if __name__ == "__main__":
    main()
