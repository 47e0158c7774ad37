"""What several modules ask about an Auto Scaling group."""

from __future__ import annotations

from typing import Any


def described(client: Any, name: str) -> dict[str, Any] | None:
    """Return a group as AWS describes it; None where there is none, or where it is being deleted.

    Args:
        client: of Auto Scaling.
        name: the group's.
    """
    groups = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name], aws_retry=True)["AutoScalingGroups"]
    group: dict[str, Any] | None = next((each for each in groups if "Status" not in each), None)
    return group
