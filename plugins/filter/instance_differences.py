"""How an instance differs from the one that provisioning would make."""

from __future__ import annotations

DOCUMENTATION = r"""
name: instance_differences
short_description: List how an instance differs from the one that provisioning would make
description:
  - A sentence for each difference; none of them is corrected.
options:
  _input:
    description: The instance, as M(slm.serving.infrastructure_info) returns it.
    type: dict
    required: true
  expected:
    description: What provisioning would make, with C(type), C(volume_gib) and C(security_group).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Report the differences
  ansible.builtin.debug:
    msg: >-
      {{ instance | slm.serving.instance_differences({'type': 'g6.2xlarge', 'volume_gib': 80,
                                                      'security_group': 'slm-ft-serving-gateway'}) }}
"""

RETURN = r"""
_value:
  description: A sentence for each difference.
  type: list
  elements: str
"""

from typing import Any


def instance_differences(instance: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return a sentence for each difference; none of them is corrected.

    Args:
        instance: as infrastructure_info returns it.
        expected: `type`, `volume_gib` and `security_group`.
    """
    differences = []
    if instance["type"] != expected["type"]:
        differences.append(f"It is a {instance['type']}, not a {expected['type']}.")
    if instance["metadata_tokens"] != "required":
        differences.append("Its metadata service answers without a token (IMDSv1): require tokens.")
    if instance["key_pair"]:
        differences.append(f"It has the key pair {instance['key_pair']}: somebody may be able to log in by SSH.")
    if expected["security_group"] not in instance["security_groups"]:
        groups = ", ".join(instance["security_groups"]) or "none"
        differences.append(
            f"Its security groups are {groups}: make sure that they allow the gateway's port only, from your networks."
        )
    return differences + _volume_differences(instance["volumes"], expected["volume_gib"])


def _volume_differences(volumes: list[dict[str, Any]], expected_gib: int) -> list[str]:
    differences = []
    largest = max((volume["size"] for volume in volumes), default=0)
    if largest < expected_gib:
        differences.append(f"Its largest volume has {largest} GiB, not {expected_gib}: images and model may not fit.")
    if any(not volume["encrypted"] for volume in volumes):
        differences.append("It has a volume that is not encrypted.")
    types = sorted({volume["volume_type"] for volume in volumes} - {"gp3"})
    if types:
        differences.append(f"It has a volume of the type {', '.join(types)}, not gp3.")
    return differences


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, object]:
        """Return the filter by its name."""
        return {"instance_differences": instance_differences}
