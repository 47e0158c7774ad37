"""EC2's quotas of vCPUs of running On-Demand instances: which one a type counts for, and how much of it is used.

For modules on the controller. https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
"""

from __future__ import annotations

import re
from typing import Any

_STANDARD = ("L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances")
_G = ("L-DB2E81BA", "Running On-Demand G and VT instances")
# Service Quotas' code and title, by the first letters of the instance type.
_QUOTAS = {"g": _G, "vt": _G, "p": ("L-417A185B", "Running On-Demand P instances")} | dict.fromkeys(
    "acdhimrtz", _STANDARD
)
_LETTERS = re.compile(r"[a-z]+")


def quota_of(instance_type: str) -> tuple[str, str]:
    """Return code and title of the quota that a type counts for; empty ones where none is known."""
    family = _LETTERS.match(instance_type)
    return _QUOTAS.get(family[0] if family else "", ("", ""))


def running_vcpus(client: Any, code: str) -> int:
    """Return the vCPUs of the running On-Demand instances that count for a quota.

    Args:
        client: of EC2.
        code: of the quota.
    """
    filters = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    pages = client.get_paginator("describe_instances").paginate(Filters=filters)
    every = [each for page in pages for reservation in page["Reservations"] for each in reservation["Instances"]]
    counted = [
        each.get("CpuOptions", {})
        for each in every
        if not each.get("InstanceLifecycle") and quota_of(each["InstanceType"])[0] == code
    ]
    return int(sum(cpu.get("CoreCount", 0) * cpu.get("ThreadsPerCore", 0) for cpu in counted))
