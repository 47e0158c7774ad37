"""The drills' own local region, with a stand-in in the engine's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.local_region.region import LocalRegion
from tests.support.drill import Drill, drill
from tests.support.drill_table import Outcome
from tests.support.gateway_client import is_serving
from tests.support.runner import run_playbook

Begin = Callable[[str], AbstractContextManager[Drill]]


@pytest.fixture(scope="package")
def drill_region() -> Iterator[LocalRegion]:
    """A region of its own name and ports; nothing of it is left afterwards."""
    with LocalRegion("drills", engine="stand-in").fresh() as region:
        yield region


@pytest.fixture
def region(drill_region: LocalRegion) -> LocalRegion:
    """The region without faults, whatever an earlier test left behind, and with a good release that serves."""
    repair(drill_region)
    if not is_serving(drill_region) or not current_is_good(drill_region):
        run_playbook(drill_region, "deploy").must_succeed()
    return drill_region


@pytest.fixture
def begin(region: LocalRegion, request: pytest.FixtureRequest) -> Begin:
    """Begins a drill by the name of its fault, and has its outcome in the table."""

    def record(outcome: Outcome) -> None:
        request.node.user_properties.append(outcome.as_property())

    return lambda fault: drill(region, fault, record, engine="stand-in", interval=0.2)


def repair(region: LocalRegion) -> None:
    """Switches all faults off and puts back what is missing of the account, the registry and the instance."""
    region.faults.switch_off()
    region.up()


def current_is_good(region: LocalRegion) -> bool:
    """Says whether the release that serves has passed its verification."""
    record = region.exec("cat /opt/slm-ft-serving/current/release.yml", check=False).stdout
    return '"result": "good"' in record
