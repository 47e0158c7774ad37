"""The drills' own local region, with a stand-in in the engine's place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.local_region import names
from tests.local_region.region import LocalRegion
from tests.support.drill import Begin, recorded_drills
from tests.support.gateway_client import is_serving
from tests.support.runner import run_playbook


@pytest.fixture(scope="package")
def drill_region() -> Iterator[LocalRegion]:
    """Make a region of its own name and ports; nothing of it is left afterwards."""
    with LocalRegion(names.of_this_copy("drills"), engine="stand-in").fresh() as region:
        yield region


@pytest.fixture
def region(drill_region: LocalRegion) -> LocalRegion:
    """Return the region without faults, whatever an earlier test left behind, and with a good release that serves."""
    drill_region.repair()
    if not is_serving(drill_region) or not current_is_good(drill_region):
        run_playbook(drill_region, "deploy").must_succeed()
    return drill_region


@pytest.fixture
def begin(region: LocalRegion, request: pytest.FixtureRequest) -> Begin:
    """Begin a drill by the name of its fault; its outcome is in the table."""
    return recorded_drills(region, request.node, engine="stand-in", seconds_between_requests=0.5)


def current_is_good(region: LocalRegion) -> bool:
    """Return whether the release that serves has passed its verification."""
    record = region.exec("cat /opt/slm-ft-serving/current/release.yml", check=False).stdout
    return '"result": "good"' in record
