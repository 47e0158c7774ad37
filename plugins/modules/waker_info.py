#!/usr/bin/python
"""Say whether there is a waker, at which address, and which instances it started lately.

An own module, because no ready one reads a function's log, which is where the waker says whom it woke: EC2 keeps no
more than the time of the last start, whoever made it.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: waker_info
short_description: Say at which address the waker is called, and when it woke an instance
description:
  - Changes nothing, and fails for nothing that AWS does not tell, which is in RV(unknown).
options:
  name:
    description: Name of the function.
    type: str
    required: true
  days:
    description: For how many days back its log is read.
    type: int
    default: 7
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Read what the waker did
  slm.serving.waker_info:
    region: eu-central-1
    name: slm-ft-serving-waker
  register: waker
"""

RETURN = r"""
url:
  description: The address; empty where there is none, or where AWS did not tell it.
  returned: success
  type: str
wakes:
  description: The starts that it made, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    when:
      description: The time, in UTC.
      returned: always
      type: str
      sample: "2026-11-28T14:00:00"
    instance:
      description: Id of the instance.
      returned: always
      type: str
days:
  description: How many days back they were looked for.
  returned: success
  type: int
unknown:
  description: A sentence for each question that AWS did not answer.
  returned: success
  type: list
  elements: str
"""

import contextlib
import datetime as dt
import itertools
import json
from collections.abc import Callable
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import code_of, reason

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

# What the function writes for each start: {"woke": "i-..."}.
WOKE = "woke"
# A page is what CloudWatch searches in one go, found or not; the screen waits for all of them.
MOST_PAGES = 20
MISSING = "ResourceNotFoundException"


class Waker:
    """The function and its log."""

    def __init__(self, clients: dict[str, Any], name: str, days: int, now: dt.datetime) -> None:
        """Ask nothing yet.

        Args:
            clients: of `lambda` and `logs`.
            name: the function's.
            days: for how many back its log is read.
            now: the end of what is read.
        """
        self.clients = clients
        self.name = name
        self.days = days
        self.now = now
        self.unknown: list[str] = []

    def asked(self, what: str, ask: Callable[[], Any], otherwise: Any) -> Any:
        """Return the answer of AWS; `otherwise` where what is asked about is not there, or AWS refuses, which is noted.

        Args:
            what: it is asked about, as the subject of a sentence.
            ask: the question.
            otherwise: in place of the answer.
        """
        try:
            return ask()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            if code_of(error) != MISSING:
                self.unknown.append(f"{what}: {reason(error)}")
            return otherwise

    def url(self) -> str:
        """Return the address."""
        return str(self.clients["lambda"].get_function_url_config(FunctionName=self.name)["FunctionUrl"])

    def wakes(self) -> list[dict[str, str]]:
        """Return the starts that its log tells of, newest first."""
        since = self.now - dt.timedelta(days=self.days)
        pages = self.clients["logs"].get_paginator("filter_log_events")
        answers = pages.paginate(
            logGroupName=f"/aws/lambda/{self.name}",
            filterPattern=f'"{WOKE}"',
            startTime=int(since.timestamp() * 1000),
        )
        read = list(itertools.islice(answers, MOST_PAGES + 1))
        if len(read) > MOST_PAGES:
            self.unknown.append(f"the newest wakes: its log of {self.days} days is too long to be read whole")
        found = [_wake(event) for page in read[:MOST_PAGES] for event in page.get("events", [])]
        return sorted((each for each in found if each), key=lambda each: each["when"], reverse=True)

    def summary(self) -> dict[str, Any]:
        """Return what the module does."""
        url = self.asked("its address", self.url, "")
        wakes = self.asked("its wakes", self.wakes, [])
        return {"url": url, "wakes": wakes, "days": self.days, "unknown": self.unknown}


def _wake(event: dict[str, Any]) -> dict[str, str]:
    """Return the start that a line of the log tells of; nothing of another line."""
    try:
        line = json.loads(event.get("message", ""))
    except ValueError:
        return {}
    if not isinstance(line, dict) or WOKE not in line or "timestamp" not in event:
        return {}
    when = dt.datetime.fromtimestamp(event["timestamp"] / 1000, dt.UTC)
    return {"when": f"{when:%Y-%m-%dT%H:%M:%S}", "instance": str(line[WOKE])}


def main() -> None:
    """Return what is known of the waker."""
    module = AnsibleAWSModule(
        argument_spec={"name": {"type": "str", "required": True}, "days": {"type": "int", "default": 7}},
        supports_check_mode=True,
    )
    # The screen waits for it.
    limits = botocore.config.Config(connect_timeout=3, read_timeout=10, retries={"max_attempts": 1})
    clients = {name: module.client(name, config=limits) for name in ("lambda", "logs")}
    waker = Waker(clients, module.params["name"], module.params["days"], dt.datetime.now(dt.UTC))
    module.exit_json(changed=False, **waker.summary())


if __name__ == "__main__":
    main()
