"""Which quota of vCPUs an instance type counts for."""

import pytest
from ansible_collections.slm.serving.plugins.module_utils.vcpu_quotas import quota_of


@pytest.mark.parametrize(
    ("instance_type", "code"),
    [
        ("g6.2xlarge", "L-DB2E81BA"),
        ("vt1.3xlarge", "L-DB2E81BA"),
        ("p5.48xlarge", "L-417A185B"),
        ("t3.large", "L-1216C47A"),
        ("m7i.xlarge", "L-1216C47A"),
        ("inf2.xlarge", ""),
        ("", ""),
    ],
)
def test_quota_of_a_type(instance_type: str, code: str) -> None:
    assert quota_of(instance_type)[0] == code
