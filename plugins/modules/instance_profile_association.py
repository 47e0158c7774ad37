"""Attach an instance profile to an instance, or detach it.

An own module, because no collection has one that detaches a profile, and amazon.aws.ec2_instance changes more of an
instance than its profile.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_profile_association
short_description: Attach an instance profile to an instance, or detach it
description:
  - Another profile that the instance has is replaced with O(state=present), and left alone with O(state=absent).
options:
  instance_id:
    description: The instance.
    type: str
    required: true
  instance_profile:
    description: Name of the instance profile.
    type: str
    required: true
  state:
    description: Whether the instance has the profile.
    type: str
    choices: [present, absent]
    default: present
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Attach the instance profile
  slm.serving.instance_profile_association:
    region: eu-central-1
    instance_id: i-0123456789abcdef0
    instance_profile: slm-ft-serving-instance
"""

RETURN = r"""
before:
  description: Name of the profile that the instance had; empty when it had none.
  returned: success
  type: str
"""

import contextlib
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import paginated_query_with_retries
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore


def association_of(client: Any, instance: str) -> dict[str, Any] | None:
    """Return which profile an instance has; None where it has none.

    Args:
        client: of EC2.
        instance: its id.
    """
    filters = [{"Name": "instance-id", "Values": [instance]}, {"Name": "state", "Values": ["associated"]}]
    answer = paginated_query_with_retries(client, "describe_iam_instance_profile_associations", Filters=filters)
    return next(iter(answer["IamInstanceProfileAssociations"]), None)


def main() -> None:
    """Attach or detach the profile."""
    module = AnsibleAWSModule(
        argument_spec={
            "instance_id": {"type": "str", "required": True},
            "instance_profile": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    instance, profile = module.params["instance_id"], module.params["instance_profile"]
    present = module.params["state"] == "present"
    # A profile that was just made is unknown to EC2 for some seconds.
    retry = AWSRetry.jittered_backoff(retries=8, catch_extra_error_codes=["InvalidParameterValue"])
    client = module.client("ec2", retry_decorator=retry)
    try:
        association = association_of(client, instance)
        before = association["IamInstanceProfile"]["Arn"].rpartition("/")[2] if association else ""
        changed = (before != profile) if present else (before == profile)
        if changed and not module.check_mode:
            if association is None:
                client.associate_iam_instance_profile(
                    InstanceId=instance, IamInstanceProfile={"Name": profile}, aws_retry=True
                )
            elif present:
                client.replace_iam_instance_profile_association(
                    AssociationId=association["AssociationId"], IamInstanceProfile={"Name": profile}, aws_retry=True
                )
            else:
                client.disassociate_iam_instance_profile(AssociationId=association["AssociationId"], aws_retry=True)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        fail(module, error, f"The instance profile of {instance} could not be changed")
    module.exit_json(changed=changed, before=before)


if __name__ == "__main__":
    main()
