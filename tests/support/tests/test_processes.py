"""Which tests stay in one process of `pytest -n`, and which begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest

from tests.support.processes import group, longest_first


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


@dataclass(frozen=True)
class Item:
    """What the order asks a test for."""

    nodeid: str
    marks: tuple[str, ...] = ()

    def get_closest_marker(self, name: str) -> str | None:
        """Return the mark of this name."""
        return name if name in self.marks else None


def test_the_largest_region_begins_and_what_is_quick_ends_a_run() -> None:
    quick = Item("tests/gateway/test_settings.py::test_a")
    slow = Item("tests/plugins/test_b.py::test_a", ("slow",))
    beside = Item("tests/plugins/test_b.py::test_b")
    scenario = Item("tests/molecule/test_molecule.py::test_scenario[a-b]", ("region",))
    drills = [Item(f"tests/drills/test_images.py::test_{n}", ("region",)) for n in range(2)]
    playbooks = [Item(f"tests/playbooks/test_{n}.py::test_a", ("region",)) for n in range(3)]
    items = [quick, beside, slow, scenario, *drills, *playbooks]
    longest_first(cast(list[pytest.Item], items))
    assert items == [*playbooks, *drills, scenario, beside, slow, quick]
