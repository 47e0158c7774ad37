"""Make, correct or remove a dashboard of CloudWatch.

An own module, because no collection has one.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudwatch_dashboard
short_description: Make, correct or remove a dashboard of CloudWatch
description:
  - Compares the body as a document, so that another order of its members is no change.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  name:
    description: Name of the dashboard.
    type: str
    required: true
  body:
    description: Its body. Needed where it is to exist.
    type: dict
  state:
    description: Whether it is to exist.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Have a dashboard
  slm.serving.cloudwatch_dashboard:
    region: eu-central-1
    name: slm-ft-serving
    body: {widgets: []}
"""

RETURN = r"""
problems:
  description: What CloudWatch has against widgets that it took nevertheless.
  returned: success
  type: list
  elements: str
"""

import contextlib
import json
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

MISSING = ["ResourceNotFound", "DashboardNotFoundError", "ResourceNotFoundException"]


def body_of(client: Any, name: str) -> dict[str, Any] | None:
    """Return the body of a dashboard; None where there is none."""
    try:
        body: dict[str, Any] = json.loads(client.get_dashboard(DashboardName=name, aws_retry=True)["DashboardBody"])
    except is_boto3_error_code(MISSING):
        return None
    return body


def main() -> None:
    """Make, correct or remove the dashboard."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "body": {"type": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ("body",))],
        supports_check_mode=True,
    )
    client = module.client("cloudwatch", retry_decorator=AWSRetry.jittered_backoff())
    name, body = module.params["name"], module.params["body"]
    absent = module.params["state"] == "absent"
    problems: list[str] = []
    try:
        there = body_of(client, name)
        changed = there is not None if absent else there != body
        if changed and not module.check_mode:
            if absent:
                client.delete_dashboards(DashboardNames=[name], aws_retry=True)
            else:
                text = json.dumps(body)
                answer = client.put_dashboard(DashboardName=name, DashboardBody=text, aws_retry=True)
                problems = [str(each.get("Message", each)) for each in answer.get("DashboardValidationMessages", [])]
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        fail(module, error, f"CloudWatch did not change the dashboard {name}")
    module.exit_json(changed=changed, problems=problems)


if __name__ == "__main__":
    main()
