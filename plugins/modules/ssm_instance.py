"""Wait until Systems Manager reaches an instance, if asked for after a reboot.

An own module. No collection wraps DescribeInstanceInformation. amazon.aws.ec2_instance reboots by a stop and a start,
after which a GPU instance may find no capacity; and ansible.builtin.reboot hangs over a session, which ends with the
system that it runs on (https://github.com/ansible-collections/amazon.aws/issues/3044).
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: ssm_instance
short_description: Wait until Systems Manager reaches an instance, or reboot it first
description:
  - Polls DescribeInstanceInformation until the instance's ping status is C(Online).
  - With O(state=rebooted) reboots it through EC2's API first. Systems Manager notices only minutes later that an agent
    is gone, so only a ping after the request counts. Even that one may be the last before the reboot, so compare the
    boot ids.
options:
  instance_id:
    description: The instance.
    type: str
    required: true
  state:
    description: V(online) changes nothing; V(rebooted) always reboots.
    type: str
    choices: [online, rebooted]
    default: online
  timeout:
    description: Seconds to wait at most; 0 asks once.
    type: int
    default: 300
  interval:
    description: Seconds between two questions.
    type: int
    default: 3
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Wait until Systems Manager reaches the instance
  slm.serving.ssm_instance:
    region: eu-central-1
    instance_id: i-0123456789abcdef0

- name: Reboot the instance
  slm.serving.ssm_instance:
    region: eu-central-1
    instance_id: i-0123456789abcdef0
    state: rebooted
    timeout: 600
"""

RETURN = r"""
ping_status:
  description: Systems Manager's last answer, or C(unknown) when it does not know the instance.
  returned: when it was asked
  type: str
  sample: Online
waited:
  description: Seconds waited.
  returned: always
  type: float
"""

import contextlib
import datetime as dt
import time
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

HELP = {
    "online": (
        "Check that the SSM agent runs on it, that its instance profile has AmazonSSMManagedInstanceCore, and that it"
        " reaches the ssm, ssmmessages and ec2messages endpoints."
    ),
    "rebooted": "It was rebooted: see its system log in EC2's console (Actions, Monitor and troubleshoot).",
}


def ping_status(client: Any, instance_id: str, since: dt.datetime | None) -> str:
    """Return the instance's ping status.

    Args:
        client: of Systems Manager.
        instance_id: the instance.
        since: `Online` by a ping that is not later than this is `unknown`.
    """
    filters = [{"Key": "InstanceIds", "Values": [instance_id]}]
    answer = client.describe_instance_information(aws_retry=True, Filters=filters)["InstanceInformationList"]
    if not answer:
        return "unknown"
    status = str(answer[0]["PingStatus"])
    stale = since is not None and answer[0].get("LastPingDateTime", since) <= since
    return "unknown" if stale and status == "Online" else status


def main() -> None:
    """Reboot if asked for, then wait."""
    module = AnsibleAWSModule(
        argument_spec={
            "instance_id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["online", "rebooted"], "default": "online"},
            "timeout": {"type": "int", "default": 300},
            "interval": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    instance_id, state, interval = (module.params[name] for name in ("instance_id", "state", "interval"))
    reboot = state == "rebooted"
    if reboot and module.check_mode:
        module.exit_json(changed=True, waited=0.0)
    retries = AWSRetry.jittered_backoff()
    ssm = module.client("ssm", retry_decorator=retries)
    since = dt.datetime.now(dt.UTC) if reboot else None
    started = time.monotonic()
    try:
        if reboot:
            ec2 = module.client("ec2", retry_decorator=retries)
            ec2.reboot_instances(aws_retry=True, InstanceIds=[instance_id])
            time.sleep(interval)  # Right after the request the old system still runs.
        while True:
            status = ping_status(ssm, instance_id, since)
            result = {"ping_status": status, "waited": round(time.monotonic() - started, 1)}
            if status == "Online":
                module.exit_json(changed=reboot, **result)
            if result["waited"] >= module.params["timeout"]:
                module.fail_json(
                    msg=f"Systems Manager does not reach {instance_id} after {result['waited']:.0f} s"
                    f" (status: {status}). {HELP[state]}",
                    **result,
                )
            time.sleep(interval)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        permissions = "ssm:DescribeInstanceInformation" + (" and ec2:RebootInstances" if reboot else "")
        fail(module, error, f"AWS could not be asked about {instance_id} ({permissions})")


if __name__ == "__main__":
    main()
