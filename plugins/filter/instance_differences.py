"""How an instance differs from the one that provisioning would make."""

from __future__ import annotations

from typing import Any


def instance_differences(instance: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return a sentence for each difference; nothing is done about any of them.

    instance: as infrastructure_info tells it. wanted: type, volume_gib, security_group.
    """
    differences = []
    if instance["type"] != wanted["type"]:
        differences.append(f"It is a {instance['type']}, not a {wanted['type']}.")
    if instance["metadata_tokens"] != "required":
        differences.append("Its metadata service answers without a token (IMDSv1): require tokens.")
    if instance["key_pair"]:
        differences.append(f"It has the key pair {instance['key_pair']}: somebody may be able to log in by SSH.")
    if wanted["security_group"] not in instance["security_groups"]:
        groups = ", ".join(instance["security_groups"]) or "none"
        differences.append(
            f"Its security groups are {groups}: see that they let in the gateway's port only, from the networks meant."
        )
    return differences + _volume_differences(instance["volumes"], wanted["volume_gib"])


def _volume_differences(volumes: list[dict[str, Any]], wanted_gib: int) -> list[str]:
    differences = []
    largest = max((volume["size"] for volume in volumes), default=0)
    if largest < wanted_gib:
        differences.append(f"Its largest volume has {largest} GiB, not {wanted_gib}: images and model may not fit.")
    if any(not volume["encrypted"] for volume in volumes):
        differences.append("A volume of it is not encrypted.")
    kinds = sorted({volume["volume_type"] for volume in volumes} - {"gp3"})
    if kinds:
        differences.append(f"It has a volume of the kind {', '.join(kinds)}, not gp3.")
    return differences


class FilterModule:
    """Tells Ansible of the filter."""

    def filters(self) -> dict[str, object]:
        """Return the filters by name."""
        return {"instance_differences": instance_differences}
