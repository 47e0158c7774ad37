"""Which tests stay in one process of `pytest -n`."""

from __future__ import annotations

import pytest

from tests.support.processes import group


@pytest.mark.parametrize(
    ("nodeid", "kept_with"),
    [
        ("tests/drills/test_images.py::test_a", "tests/drills"),
        ("tests/playbooks/test_deploy.py::test_a[x]", "tests/playbooks"),
        ("tests/playbooks/isolated/test_finetune.py::test_a", "tests/playbooks/isolated/test_finetune.py"),
        ("tests/molecule/test_molecule.py::test_scenario[a-b]", "tests/molecule/test_molecule.py::test_scenario[a-b]"),
        ("tests/gateway/test_keys.py::test_a", "tests/gateway/test_keys.py"),
        ("tests/local_region/tests/test_api_faults.py::test_a", "tests/local_region/tests/test_api_faults.py"),
        ("tests/test_lint.py::test_lint[ruff]", "tests/test_lint.py"),
    ],
)
def test_tests_that_share_a_region_stay_together(nodeid: str, kept_with: str) -> None:
    assert group(nodeid) == kept_with
