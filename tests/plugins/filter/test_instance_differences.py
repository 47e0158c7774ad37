"""How an instance differs from the one that provisioning would make."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.filter.instance_differences import instance_differences

EXPECTED = {"type": "g6.2xlarge", "volume_gib": 80, "security_group": "gateway"}
INSTANCE = {
    "type": "g6.2xlarge",
    "metadata_tokens": "required",
    "key_pair": "",
    "security_groups": ["gateway"],
    "volumes": [{"size": 80, "volume_type": "gp3", "encrypted": True}],
}


def test_instance_as_provisioned_has_no_differences() -> None:
    assert instance_differences(INSTANCE, EXPECTED) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"type": "t3.large"}, "t3.large"),
        ({"metadata_tokens": "optional"}, "IMDSv1"),
        ({"key_pair": "k"}, "SSH"),
        ({"security_groups": ["default"]}, "default"),
        ({"volumes": [{"size": 8, "volume_type": "gp3", "encrypted": True}]}, "8 GiB"),
        ({"volumes": [{"size": 80, "volume_type": "gp3", "encrypted": False}]}, "not encrypted"),
        ({"volumes": [{"size": 80, "volume_type": "gp2", "encrypted": True}]}, "gp2"),
    ],
)
def test_each_difference_is_reported(change: dict[str, Any], word: str) -> None:
    (difference,) = instance_differences(INSTANCE | change, EXPECTED)
    assert word in difference
