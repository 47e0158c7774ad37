"""Tests that share a region stay in one process."""

import pytest

from tests.support.processes import group


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("tests/drills/test_images.py::test_a", "tests/drills"),
        ("tests/playbooks/test_deploy.py::test_a[x]", "tests/playbooks"),
        ("tests/playbooks/test_finetune.py::test_a", "tests/playbooks/test_finetune.py"),
        ("tests/roles/test_molecule.py::test_scenario[a-b]", "tests/roles/test_molecule.py::test_scenario[a-b]"),
        ("tests/gateway/test_keys.py::test_a", "tests/gateway/test_keys.py"),
    ],
)
def test_group(nodeid: str, expected: str) -> None:
    assert group(nodeid) == expected
