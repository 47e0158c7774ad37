"""The local region of the tests: one for the whole run, brought to a serving state before each test that asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.local_region import names
from tests.local_region.region import LocalRegion
from tests.support.gateway_client import is_serving
from tests.support.runner import PlaybookRun, run_playbook


@pytest.fixture(scope="session")
def region() -> Iterator[LocalRegion]:
    """Make a region of its own name and ports, beside any that `make demo` made; nothing of it is left afterwards."""
    with LocalRegion(names.of_this_copy("test")).fresh() as region:
        yield region


@pytest.fixture(scope="session")
def bare() -> Iterator[LocalRegion]:
    """Make a region with nothing on its instance and no image pushed: for runs that end before anything is touched."""
    with LocalRegion(names.of_this_copy("bare"), pushed=()).fresh() as region:
        yield region


@pytest.fixture(scope="session")
def first_deployment(region: LocalRegion) -> PlaybookRun:
    """Return the run of deploy.yml that finds an instance with nothing on it."""
    return run_playbook(region, "deploy")


@pytest.fixture
def serving(region: LocalRegion, first_deployment: PlaybookRun) -> LocalRegion:
    """Return the region with a verified release that serves, whatever an earlier test left behind."""
    first_deployment.must_succeed()
    region.repair()
    if not is_serving(region):
        run_playbook(region, "deploy").must_succeed()
    return region
