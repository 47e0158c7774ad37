"""Say what an Auto Scaling group does by itself for now, and how many instances it has.

An own module: amazon.aws.autoscaling_group describes the whole group anew for this, and calls it changed in check mode.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: scaling_group_processes
short_description: Suspend and resume processes of an Auto Scaling group
description:
  - Leaves alone what is not named. A group that is not there is no failure.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  name:
    description: The group.
    type: str
    required: true
  suspended:
    description: Processes that are to be suspended, such as V(Launch).
    type: list
    elements: str
    default: []
  resumed:
    description: Processes that are to run.
    type: list
    elements: str
    default: []
  desired:
    description: How many instances are to be in service; none leaves that as it is.
    type: int
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Have the group launch nothing
  slm.serving.scaling_group_processes:
    region: eu-central-1
    name: slm-ft-serving
    suspended: [Launch]
"""

RETURN = r"""
there:
  description: Whether there is such a group.
  returned: success
  type: bool
"""

import contextlib
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail
from ansible_collections.slm.serving.plugins.module_utils.scaling_groups import described

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore


def ensure(client: Any, params: dict[str, Any], *, check: bool) -> tuple[bool, bool]:
    """Suspend, resume and size.

    Args:
        client: of Auto Scaling.
        params: the module's.
        check: whether to change nothing.

    Returns:
        Whether anything was, or would be, changed, and whether there is a group.
    """
    name = params["name"]
    there = described(client, name)
    if there is None:
        return False, False
    suspended = {each["ProcessName"] for each in there.get("SuspendedProcesses", [])}
    calls: list[tuple[str, dict[str, Any]]] = []
    if to_suspend := sorted(set(params["suspended"]) - suspended):
        calls.append(("suspend_processes", {"ScalingProcesses": to_suspend}))
    if params["desired"] not in (None, there["DesiredCapacity"]):
        calls.append(("set_desired_capacity", {"DesiredCapacity": params["desired"]}))
    if to_resume := sorted(set(params["resumed"]) & suspended):
        calls.append(("resume_processes", {"ScalingProcesses": to_resume}))
    if not check:
        for operation, request in calls:
            getattr(client, operation)(AutoScalingGroupName=name, **request, aws_retry=True)
    return bool(calls), True


def main() -> None:
    """Suspend, resume and size."""
    names = {"type": "list", "elements": "str", "default": []}
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "suspended": names,
            "resumed": names,
            "desired": {"type": "int"},
        },
        supports_check_mode=True,
    )
    client = module.client("autoscaling", retry_decorator=AWSRetry.jittered_backoff())
    try:
        changed, there = ensure(client, module.params, check=module.check_mode)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        fail(module, error, f"Auto Scaling did not change what the group {module.params['name']} does")
    module.exit_json(changed=changed, there=there)


if __name__ == "__main__":
    main()
