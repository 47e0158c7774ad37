"""Make, correct and remove CloudWatch's alarms of an application in one go.

An own module: the ready one gives an alarm no tags, by which teardown knows what is ours, and takes a task for each.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudwatch_alarms
short_description: Make, correct and remove CloudWatch's alarms
description:
  - Compares each alarm with what AWS has, and puts those that differ.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  alarms:
    description: Alarms that are to be there, each as C(PutMetricAlarm) takes it.
    type: list
    elements: dict
    default: []
  absent:
    description: Names of alarms that are to be gone.
    type: list
    elements: str
    default: []
  tags:
    description: Tags of each alarm that is made.
    type: dict
    default: {}
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Have an alarm, and another one no longer
  slm.serving.cloudwatch_alarms:
    region: eu-central-1
    alarms: "{{ instance | slm.serving.cloudwatch_alarms }}"
    absent: [slm-ft-serving-NoTraffic]
    tags: {Application: slm-ft-serving}
"""

RETURN = r"""
put:
  description: Names of the alarms that were, or in check mode would be, made or corrected.
  returned: success
  type: list
  elements: str
removed:
  description: Names of those that were, or in check mode would be, removed.
  returned: success
  type: list
  elements: str
"""

import contextlib
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import ansible_dict_to_boto3_tag_list
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

# AWS takes so many names in one question.
NAMES_AT_ONCE = 100
NUMBERS = ("Threshold",)
WHOLE_NUMBERS = ("EvaluationPeriods", "DatapointsToAlarm", "Period")


def wanted(alarm: dict[str, Any]) -> dict[str, Any]:
    """Return an alarm as boto3 takes it: what came through a template may have become text."""
    found = dict(alarm)
    found |= {key: float(found[key]) for key in NUMBERS if key in found}
    return found | {key: int(found[key]) for key in WHOLE_NUMBERS if key in found}


def described(client: Any, names: list[str]) -> dict[str, dict[str, Any]]:
    """Return what AWS has of the alarms, by name."""
    found: dict[str, dict[str, Any]] = {}
    for at in range(0, len(names), NAMES_AT_ONCE):
        pages = client.get_paginator("describe_alarms").paginate(AlarmNames=names[at : at + NAMES_AT_ONCE])
        found |= {each["AlarmName"]: each for page in pages for each in page.get("MetricAlarms", [])}
    return found


def differs(there: dict[str, Any] | None, alarm: dict[str, Any]) -> bool:
    """Say whether an alarm is not as it is to be."""
    return there is None or any(_plain(there.get(key)) != _plain(value) for key, value in alarm.items())


def _plain(value: Any) -> Any:
    """Return a value without what AWS adds to it or orders anew."""
    if isinstance(value, list):
        return sorted((_plain(each) for each in value), key=repr)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in sorted(value.items()) if each not in (None, [])}
    return None if value == [] else value


def main() -> None:
    """Put what differs, and remove what is to be gone."""
    module = AnsibleAWSModule(
        argument_spec={
            "alarms": {"type": "list", "elements": "dict", "default": []},
            "absent": {"type": "list", "elements": "str", "default": []},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    client = module.client("cloudwatch", retry_decorator=AWSRetry.jittered_backoff())
    alarms = [wanted(each) for each in module.params["alarms"]]
    tags = ansible_dict_to_boto3_tag_list(module.params["tags"])
    try:
        there = described(client, [each["AlarmName"] for each in alarms] + module.params["absent"])
        to_put = [each for each in alarms if differs(there.get(each["AlarmName"]), each)]
        to_remove = [name for name in module.params["absent"] if name in there]
        if not module.check_mode:
            for alarm in to_put:
                # AWS refuses tags for an alarm that is there.
                new = {"Tags": tags} if tags and alarm["AlarmName"] not in there else {}
                client.put_metric_alarm(**alarm, **new, aws_retry=True)
            for at in range(0, len(to_remove), NAMES_AT_ONCE):
                client.delete_alarms(AlarmNames=to_remove[at : at + NAMES_AT_ONCE], aws_retry=True)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        fail(module, error, "CloudWatch did not change the alarms")
    put = [each["AlarmName"] for each in to_put]
    module.exit_json(changed=bool(put or to_remove), put=put, removed=to_remove)


if __name__ == "__main__":
    main()
