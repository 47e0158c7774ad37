"""Wait until Systems Manager reaches an instance, if asked for after a reboot.

An own module. No collection asks for a connection's status. amazon.aws.ec2_instance reboots by a stop and a start,
after which a GPU instance may find no capacity; and ansible.builtin.reboot hangs over a session, which ends with the
system that it runs on (https://github.com/ansible-collections/amazon.aws/issues/3044).
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: ssm_instance
short_description: Wait until Systems Manager reaches an instance, or reboot it first
description:
  - Waits until the instance's agent has reported since the instance was started, and is connected.
  - Systems Manager notices only minutes later that an agent is gone, and calls it C(Online) until then. So a ping from
    before the start does not count, and GetConnectionStatus is asked too.
  - With O(state=rebooted) reboots it through EC2's API first; then only a ping after the request counts. Even that one
    may be the last before the reboot, so compare the boot ids.
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
    default: 1
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
  description: >-
    What Systems Manager said last: a ping status, C(unknown) when the agent has not reported since the start, or
    C(notconnected) when it has, and no session can be opened.
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
import email.utils
import time
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import paginated_query_with_retries
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

ONLINE = "Online"
HELP = {
    "online": (
        "Check that the SSM agent runs on it, that its role allows what roles/infrastructure lists for Systems Manager"
        " (the statement SystemsManager of instance-policy.json.j2), and that it reaches the endpoints ssm and"
        " ssmmessages over port 443."
    ),
    "rebooted": "It was rebooted: see its system log in EC2's console (Actions, Monitor and troubleshoot).",
}


class Agent:
    """What AWS knows of an instance's agent."""

    def __init__(self, ssm: Any, ec2: Any, instance_id: str) -> None:
        """Ask nothing yet.

        Args:
            ssm: client of Systems Manager.
            ec2: client of EC2.
            instance_id: the instance.
        """
        self._ssm = ssm
        self._ec2 = ec2
        self._id = instance_id

    def reboot(self) -> dt.datetime:
        """Reboot the instance; return when that was asked for, by AWS's clock."""
        answer = self._ec2.reboot_instances(aws_retry=True, InstanceIds=[self._id])
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        return email.utils.parsedate_to_datetime(date) if date else dt.datetime.now(dt.UTC)

    def started(self) -> dt.datetime | None:
        """Return when the instance was started last, by AWS's clock; None for one that is gone."""
        reservations = self._ec2.describe_instances(aws_retry=True, InstanceIds=[self._id])["Reservations"]
        times = [each["LaunchTime"] for reservation in reservations for each in reservation["Instances"]]
        return times[0] if times else None

    def status(self, since: dt.datetime | None) -> str:
        """Return `Online` when a session can be opened, else what is missing.

        Args:
            since: a ping from before this is one of the boot before.
        """
        filters = [{"Key": "InstanceIds", "Values": [self._id]}]
        # A page may have nothing, and the next one the instance: the filter is applied to each.
        answer = paginated_query_with_retries(self._ssm, "describe_instance_information", Filters=filters)
        known = answer["InstanceInformationList"]
        if not known:
            return "unknown"
        ping = known[0].get("LastPingDateTime")
        if since is None or ping is None or ping <= since:
            return "unknown"
        status = str(known[0]["PingStatus"])
        if status != ONLINE:
            return status
        connection = str(self._ssm.get_connection_status(aws_retry=True, Target=self._id)["Status"])
        return ONLINE if connection == "connected" else connection


def main() -> None:
    """Reboot if asked for, then wait."""
    module = AnsibleAWSModule(
        argument_spec={
            "instance_id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["online", "rebooted"], "default": "online"},
            "timeout": {"type": "int", "default": 300},
            "interval": {"type": "int", "default": 1},
        },
        supports_check_mode=True,
    )
    instance_id, state, interval = (module.params[name] for name in ("instance_id", "state", "interval"))
    reboot = state == "rebooted"
    if reboot and module.check_mode:
        module.exit_json(changed=True, waited=0.0)
    retries = AWSRetry.jittered_backoff()
    ssm, ec2 = (module.client(service, retry_decorator=retries) for service in ("ssm", "ec2"))
    agent = Agent(ssm, ec2, instance_id)
    started = time.monotonic()
    try:
        requested = agent.reboot() if reboot else None
        while True:
            # EC2's word on a start that was just asked for may be late: it is asked for each time.
            status = agent.status(requested or agent.started())
            result = {"ping_status": status, "waited": round(time.monotonic() - started, 1)}
            if status == ONLINE:
                module.exit_json(changed=reboot, **result)
            if result["waited"] >= module.params["timeout"]:
                module.fail_json(
                    msg=f"Systems Manager does not reach {instance_id} after {result['waited']:.0f} s"
                    f" (status: {status}). {HELP[state]}",
                    **result,
                )
            time.sleep(interval)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        permissions = "ssm:DescribeInstanceInformation, ssm:GetConnectionStatus and " + (
            "ec2:RebootInstances" if reboot else "ec2:DescribeInstances"
        )
        fail(module, error, f"AWS could not be asked about {instance_id} ({permissions})")


if __name__ == "__main__":
    main()
