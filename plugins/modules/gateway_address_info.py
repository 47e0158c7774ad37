"""Tell under which address the gateway of an instance is reached, and by whom.

An own module, because the answer takes two of AWS's and the rules of both: amazon.aws has a module for each call, and
what to make of them would have to be worked out in a playbook.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_address_info
short_description: Tell under which address the gateway of an instance is reached
description:
  - Asks EC2 anew, because an instance gets another public address with each start.
  - What the credentials may not read ends in RV(unseen) and not in a failure, since a playbook asks when all is done.
  - Changes nothing.
options:
  instance_id:
    description: The instance.
    type: str
    required: true
  port:
    description: The port that clients come to, the gateway's or the edge's.
    type: int
    required: true
  url:
    description: The address that clients call, where that is a name's; empty means the instance's own.
    type: str
    default: ""
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Find how the gateway is reached
  slm.serving.gateway_address_info:
    region: eu-central-1
    instance_id: i-0123456789abcdef0
    port: 8080
  register: found
"""

RETURN = r"""
address:
  description: The gateway's URL; empty where its port is closed, or that cannot be seen.
  returned: success
  type: str
  sample: http://203.0.113.7:8080
open_to:
  description: The networks that may call its port, prefix lists and security groups among them.
  returned: success
  type: list
  elements: str
unseen:
  description: Why it cannot be seen; empty where it can.
  returned: success
  type: str
"""

import contextlib
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import reason
from ansible_collections.slm.serving.plugins.module_utils.gateway_address import address_of
from ansible_collections.slm.serving.plugins.module_utils.security_groups import networks

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    from botocore.exceptions import BotoCoreError, ClientError

NEEDED = "ec2:DescribeInstances and ec2:DescribeSecurityGroups"


def find(client: Any, instance_id: str, port: int, url: str = "") -> dict[str, Any]:
    """Return address and callers of an instance's gateway.

    Args:
        client: of EC2.
        instance_id: the instance.
        port: the one that clients come to.
        url: what they call; empty for the instance's own address.
    """
    reservations = client.describe_instances(InstanceIds=[instance_id], aws_retry=True)["Reservations"]
    instance = next(each for reservation in reservations for each in reservation["Instances"])
    ids = [each["GroupId"] for each in instance.get("SecurityGroups", [])]
    groups = client.describe_security_groups(GroupIds=ids, aws_retry=True)["SecurityGroups"] if ids else []
    open_to = networks([rule for group in groups for rule in group["IpPermissions"]], port)
    address = address_of(instance, open_to, port)
    return {"address": url if address and url else address, "open_to": open_to, "unseen": ""}


def main() -> None:
    """Ask EC2."""
    module = AnsibleAWSModule(
        argument_spec={
            "instance_id": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "url": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    client = module.client("ec2", retry_decorator=AWSRetry.jittered_backoff(retries=3))
    try:
        found = find(client, module.params["instance_id"], module.params["port"], module.params["url"])
    except (BotoCoreError, ClientError) as error:
        found = {"address": "", "open_to": [], "unseen": f"{reason(error)} ({NEEDED})"}
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
