"""Make a secret with a random value where there is none.

An own module: the ready one takes the value as an argument, and reads the value of a secret that is there, which takes
a right that no operator has otherwise. Here the value is made and handed to AWS, and is nowhere else.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: generated_secret
short_description: Make a secret with a random value where there is none
description:
  - A secret that is there keeps its value, which is not read; one that was deleted and can be restored is.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  name:
    description: The secret.
    type: str
    required: true
  description:
    description: What it is for.
    type: str
    default: ""
  tags:
    description: Tags of one that is made; a secret that is there has to have them.
    type: dict
    default: {}
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Have a key that nobody has seen
  slm.serving.generated_secret:
    region: eu-central-1
    name: slm-ft-serving/waker
    tags: {Application: slm-ft-serving}
"""

RETURN = r"""
arn:
  description: Of the secret; empty in check mode where there is none.
  returned: success
  type: str
"""

import contextlib
import secrets
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

BYTES = 32


class ForeignSecretError(Exception):
    """A secret of the name is there, and not ours."""


def ensure(client: Any, params: dict[str, Any], *, check: bool) -> tuple[bool, str]:
    """Have the secret.

    Args:
        client: of Secrets Manager.
        params: the module's.
        check: whether to change nothing.

    Returns:
        Whether anything was, or would be, changed, and the secret's ARN.

    Raises:
        ForeignSecretError: it has other tags.
    """
    name, tags = params["name"], params["tags"]
    try:
        there = client.describe_secret(SecretId=name, aws_retry=True)
    except is_boto3_error_code("ResourceNotFoundException"):
        if check:
            return True, ""
        made = client.create_secret(
            Name=name,
            Description=params["description"],
            SecretString=secrets.token_urlsafe(BYTES),
            Tags=ansible_dict_to_boto3_tag_list(tags),
            aws_retry=True,
        )
        return True, made["ARN"]
    if not tags.items() <= boto3_tag_list_to_ansible_dict(there.get("Tags", [])).items():
        raise ForeignSecretError(f"The secret {name} is there and was not made by this: name another, or remove it.")
    if "DeletedDate" not in there:
        return False, there["ARN"]
    if not check:
        client.restore_secret(SecretId=name, aws_retry=True)
    return True, there["ARN"]


def main() -> None:
    """Have the secret."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "description": {"type": "str", "default": ""},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    client = module.client("secretsmanager", retry_decorator=AWSRetry.jittered_backoff())
    try:
        changed, arn = ensure(client, module.params, check=module.check_mode)
    except ForeignSecretError as error:
        module.fail_json(msg=str(error))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        fail(module, error, f"Secrets Manager did not make the secret {module.params['name']}")
    module.exit_json(changed=changed, arn=arn)


if __name__ == "__main__":
    main()
