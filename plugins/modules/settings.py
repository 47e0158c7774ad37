#!/usr/bin/python
"""Put settings into Parameter Store, or remove them, all of them in one go.

An own module, because community.aws.ssm_parameter takes a process and half a dozen calls for each of them.
"""

from __future__ import annotations

import contextlib

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import ansible_dict_to_boto3_tag_list

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

DOCUMENTATION = r"""
module: settings
short_description: Put settings into Parameter Store, or remove them
options:
  values:
    description: Values by the parameters' full names; with C(absent) the names alone count.
    type: dict
    required: true
  state:
    description: Whether they shall be there.
    type: str
    choices: [present, absent]
    default: present
  tags:
    description: Tags of those that are new; those that are there keep theirs.
    type: dict
    default: {}
"""

RETURN = r"""
put:
  description: Names of those that were put or removed.
  type: list
"""

BATCH = 10  # What GetParameters and DeleteParameters take at a time.


def there(client: object, names: list) -> dict:
    """Return the values of the parameters that exist, by name."""
    found = {}
    for start in range(0, len(names), BATCH):
        answer = client.get_parameters(Names=names[start : start + BATCH], aws_retry=True)
        found.update({each["Name"]: each["Value"] for each in answer["Parameters"]})
    return found


def put(client: object, name: str, value: str, tags: dict, *, new: bool) -> None:
    """Put one; AWS takes tags only with a parameter that is new."""
    kind = {"Tags": ansible_dict_to_boto3_tag_list(tags)} if new else {"Overwrite": True}
    client.put_parameter(Name=name, Value=value, Type="String", aws_retry=True, **kind)


def remove(client: object, names: list) -> None:
    """Remove all of these."""
    for start in range(0, len(names), BATCH):
        client.delete_parameters(Names=names[start : start + BATCH], aws_retry=True)


def main() -> None:
    """Put or remove what differs."""
    module = AnsibleAWSModule(
        argument_spec={
            "values": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    wanted = {name: str(value) for name, value in module.params["values"].items()}
    client = module.client("ssm", retry_decorator=AWSRetry.jittered_backoff())
    at, absent = "the settings", module.params["state"] == "absent"
    try:
        found = there(client, sorted(wanted))
        if absent:
            changing = sorted(found)
            if not module.check_mode:
                remove(client, changing)
        else:
            changing = [name for name in sorted(wanted) if found.get(name) != wanted[name]]
            for name in changing if not module.check_mode else []:
                at = f"the parameter {name}"
                put(client, name, wanted[name], module.params["tags"], new=name not in found)
    except is_boto3_error_code("AccessDeniedException") as error:
        module.fail_json_aws(error, msg=f"These credentials may not change {at}")
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"Parameter Store refused {at}")
    module.exit_json(
        changed=bool(changing),
        put=changing,
        diff={"before": _lines(found, changing), "after": _lines({} if absent else wanted, changing)},
    )


def _lines(values: dict, names: list) -> str:
    return "".join(f"{name} = {values[name]}\n" for name in names if name in values)


if __name__ == "__main__":
    main()
