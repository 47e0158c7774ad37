#!/usr/bin/python
"""Give an instance its instance profile, or take it off.

An own module, because no collection has one that takes a profile off, and amazon.aws.ec2_instance changes more of an
instance than its profile.
"""

from __future__ import annotations

import contextlib

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

DOCUMENTATION = r"""
module: instance_profile_association
short_description: Give an instance its instance profile, or take it off
description:
  - A profile that the instance has already is replaced with C(present), and left alone with C(absent).
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
    description: Whether the instance shall have it.
    type: str
    choices: [present, absent]
    default: present
"""

RETURN = r"""
before:
  description: Name of the profile that the instance had; empty when it had none.
  type: str
"""


def main() -> None:
    """Bring the association to the state asked for."""
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
        chosen = [{"Name": "instance-id", "Values": [instance]}, {"Name": "state", "Values": ["associated"]}]
        answer = client.describe_iam_instance_profile_associations(Filters=chosen, aws_retry=True)
        found = next(iter(answer["IamInstanceProfileAssociations"]), None)
        before = found["IamInstanceProfile"]["Arn"].rpartition("/")[2] if found else ""
        changed = (before != profile) if present else (before == profile)
        if changed and not module.check_mode:
            if not present:
                client.disassociate_iam_instance_profile(AssociationId=found["AssociationId"], aws_retry=True)
            elif found:
                client.replace_iam_instance_profile_association(
                    AssociationId=found["AssociationId"], IamInstanceProfile={"Name": profile}, aws_retry=True
                )
            else:
                client.associate_iam_instance_profile(
                    InstanceId=instance, IamInstanceProfile={"Name": profile}, aws_retry=True
                )
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"The instance profile of {instance} could not be changed")
    module.exit_json(changed=changed, before=before)


if __name__ == "__main__":
    main()
