#!/usr/bin/python
"""Wait until Systems Manager can reach an instance.

An own module, because no collection wraps DescribeInstanceInformation.
"""

from __future__ import annotations

import contextlib
import time

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

DOCUMENTATION = r"""
module: ssm_instance_online
short_description: Wait until Systems Manager says that an instance is Online
description:
  - Asks DescribeInstanceInformation until the instance's ping status is C(Online). Changes nothing.
options:
  instance_id:
    description: The instance.
    type: str
    required: true
  timeout:
    description: Seconds to wait at most; 0 asks once.
    type: int
    default: 300
  interval:
    description: Seconds between two questions.
    type: int
    default: 3
"""

RETURN = r"""
ping_status:
  description: What Systems Manager said last, or C(unknown) when it does not know the instance.
  type: str
waited:
  description: Seconds waited.
  type: float
"""


def describe(client, instance_id: str) -> dict:
    """Return what Systems Manager knows of the instance; empty when it knows nothing."""
    answer = client.describe_instance_information(
        aws_retry=True, Filters=[{"Key": "InstanceIds", "Values": [instance_id]}]
    )
    listed = answer["InstanceInformationList"]
    return camel_dict_to_snake_dict(listed[0]) if listed else {}


def main() -> None:
    """Wait, then report or fail."""
    module = AnsibleAWSModule(
        argument_spec={
            "instance_id": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 300},
            "interval": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    instance_id = module.params["instance_id"]
    client = module.client("ssm", retry_decorator=AWSRetry.jittered_backoff())
    started = time.monotonic()
    while True:
        try:
            found = describe(client, instance_id)
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            module.fail_json_aws(error, msg=f"Systems Manager could not be asked about {instance_id}")
        status = found.get("ping_status", "unknown")
        waited = round(time.monotonic() - started, 1)
        if status == "Online":
            module.exit_json(changed=False, ping_status=status, waited=waited, information=found)
        if waited >= module.params["timeout"]:
            module.fail_json(
                msg=(
                    f"Systems Manager does not reach {instance_id} after {waited:.0f} s (status: {status}). Check that"
                    " the SSM agent runs on it, that its instance profile has AmazonSSMManagedInstanceCore, and that it"
                    " reaches the ssm, ssmmessages and ec2messages endpoints."
                ),
                ping_status=status,
                waited=waited,
            )
        time.sleep(module.params["interval"])


if __name__ == "__main__":
    main()
