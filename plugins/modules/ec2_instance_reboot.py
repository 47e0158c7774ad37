#!/usr/bin/python
"""Reboot an instance through EC2's API and wait until Systems Manager says that it is back.

An own module: amazon.aws reboots by a stop and a start, after which a GPU instance may find no capacity left; and
ansible.builtin.reboot hangs over a session (amazon.aws issue 3044), since that ends with the system that it runs on.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

DOCUMENTATION = r"""
module: ec2_instance_reboot
short_description: Reboot an instance and wait until Systems Manager is online again
description:
  - Runs on the controller. Systems Manager notices minutes later that an agent is gone, so only a ping from after the
    request counts; even that one may be the last before the reboot, so whoever needs to be sure compares the boots.
options:
  instance_id:
    description: The instance.
    type: str
    required: true
  timeout:
    description: Seconds until Systems Manager says Online again.
    type: int
    default: 600
  interval:
    description: Seconds between two questions.
    type: int
    default: 3
"""

RETURN = r"""
waited:
  description: Seconds waited.
  type: float
"""


def pinged_since(client, instance_id: str, moment: dt.datetime) -> bool:
    """Say whether the instance is Online by a ping of its agent that is later than the moment."""
    answer = client.describe_instance_information(
        aws_retry=True, Filters=[{"Key": "InstanceIds", "Values": [instance_id]}]
    )
    return any(
        entry.get("PingStatus") == "Online" and entry.get("LastPingDateTime", moment) > moment
        for entry in answer["InstanceInformationList"]
    )


def main() -> None:
    """Ask for the reboot, then wait or fail."""
    module = AnsibleAWSModule(
        argument_spec={
            "instance_id": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 600},
            "interval": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=True, waited=0.0)
    instance_id = module.params["instance_id"]
    retries = AWSRetry.jittered_backoff()
    ec2, ssm = module.client("ec2", retry_decorator=retries), module.client("ssm", retry_decorator=retries)
    requested, started = dt.datetime.now(dt.UTC), time.monotonic()
    try:
        ec2.reboot_instances(aws_retry=True, InstanceIds=[instance_id])
        while True:
            # First the wait: right after the request the old system still runs.
            time.sleep(module.params["interval"])
            waited = round(time.monotonic() - started, 1)
            if pinged_since(ssm, instance_id, requested):
                module.exit_json(changed=True, waited=waited)
            if waited >= module.params["timeout"]:
                module.fail_json(
                    msg=(
                        f"{instance_id} did not come back to Systems Manager within {waited:.0f} s of its reboot."
                        " See its system log in EC2's console (Actions, Monitor and troubleshoot)."
                    ),
                    waited=waited,
                )
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"{instance_id} could not be rebooted (ec2:RebootInstances)")


if __name__ == "__main__":
    main()
