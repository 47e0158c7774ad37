"""Containers put into a state from which compose can bring them up, whatever has become of them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.slm.serving.plugins.module_utils import edge
from ansible_collections.slm.serving.plugins.module_utils.mending import (
    mend,
    remove_all,
    wait_for_health_checks,
)

from tests.support.containers import PROJECT, FakeInstance

ENGINE, GATEWAY = f"{PROJECT}-engine-1", f"{PROJECT}-gateway-1"
HALF_RENAMED = f"82f4668d8935_{GATEWAY}"


def test_a_stack_that_works_is_left_alone(instance: FakeInstance) -> None:
    assert mend(PROJECT, 1) == []
    assert instance.commands == []


def test_an_edge_that_has_an_earlier_certificate_is_made_anew(
    instance: FakeInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "CERTIFICATES", {"edge": tmp_path / "certificate.pem"})
    (tmp_path / "certificate.pem").write_text("renewed")
    instance.add("edge", StartedAt="2026-01-01T00:00:00.123456789Z")
    assert mend(PROJECT, 1) == [f"removed {PROJECT}-edge-1, which had an earlier certificate"]
    assert list(instance.containers) == [ENGINE, GATEWAY]


def test_a_paused_container_is_unpaused(instance: FakeInstance) -> None:
    instance.add("engine", Status="paused")
    assert mend(PROJECT, 1) == [f"unpaused {ENGINE}"]
    assert instance.status(ENGINE) == "running"


def test_a_paused_container_that_hangs_is_unpaused_and_removed(instance: FakeInstance) -> None:
    instance.add("engine", Status="paused")
    instance.hanging.add(ENGINE)
    mend(PROJECT, 1)
    assert ENGINE not in instance.containers


@pytest.mark.parametrize("status", ["created", "dead", "removing", "restarting"])
def test_what_is_half_made_is_removed(instance: FakeInstance, status: str) -> None:
    instance.add("gateway", Status=status)
    assert mend(PROJECT, 1) == [f"removed {GATEWAY}, which was {status}"]
    assert list(instance.containers) == [ENGINE]


@pytest.mark.parametrize("old", ["exited", "running"])
def test_the_half_of_one_that_compose_was_making_anew_is_removed(instance: FakeInstance, old: str) -> None:
    """The power went while compose had made the new container and not yet given it the old one's name."""
    instance.add("gateway", Status=old)
    instance.add("gateway", name=HALF_RENAMED, Status="created")
    mend(PROJECT, 1)
    assert list(instance.containers) == [ENGINE, GATEWAY]


def test_the_old_one_is_kept_where_both_halves_run(instance: FakeInstance) -> None:
    instance.add("gateway", name=HALF_RENAMED)
    mend(PROJECT, 1)
    assert list(instance.containers) == [ENGINE, GATEWAY]


def test_one_that_runs_alone_under_its_half_made_name_is_kept(instance: FakeInstance) -> None:
    del instance.containers[GATEWAY]
    instance.add("gateway", name=HALF_RENAMED)
    assert mend(PROJECT, 1) == []


@pytest.mark.parametrize("health", ["healthy", "unhealthy"])
@pytest.mark.parametrize("name", [ENGINE, GATEWAY])
def test_one_that_hangs_is_removed_whatever_it_calls_itself(instance: FakeInstance, name: str, health: str) -> None:
    instance.containers[name]["state"]["Health"]["Status"] = health
    instance.hanging.add(name)
    assert mend(PROJECT, 1) == [f"removed {name}, which did not work"]


def test_one_that_works_is_kept_though_its_health_check_is_late(instance: FakeInstance) -> None:
    instance.add("engine", health="unhealthy")
    assert mend(PROJECT, 1) == []


def test_one_that_works_is_waited_for_until_its_health_check_says_so(
    instance: FakeInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compose would give up at once on a container that Docker still calls unhealthy."""
    instance.add("gateway", health="unhealthy")
    checks: list[float] = []

    def check(seconds: float) -> None:
        checks.append(seconds)
        instance.containers[GATEWAY]["state"]["Health"]["Status"] = "unhealthy" if len(checks) < 3 else "healthy"

    monkeypatch.setattr(time, "sleep", check)
    assert wait_for_health_checks(PROJECT, 60) == []
    assert len(checks) == 3
    assert GATEWAY in instance.containers


def test_one_whose_health_check_goes_on_failing_is_made_anew(instance: FakeInstance) -> None:
    instance.add("gateway", health="unhealthy")
    assert wait_for_health_checks(PROJECT, 0) == [f"removed {GATEWAY}, whose health check failed"]
    assert list(instance.containers) == [ENGINE]


def test_nobody_waits_for_what_is_healthy_starting_or_ended(instance: FakeInstance) -> None:
    instance.add("engine", health="starting")
    instance.add("gateway", Status="exited", health="unhealthy")
    assert wait_for_health_checks(PROJECT, 60) == []


def test_an_engine_that_loads_is_not_taken_for_one_that_hangs(instance: FakeInstance) -> None:
    instance.add("engine", health="starting")
    instance.hanging.add(ENGINE)
    assert mend(PROJECT, 1) == []


def test_what_was_stopped_by_hand_is_left_for_compose_to_start(instance: FakeInstance) -> None:
    instance.add("engine", Status="exited", ExitCode=137)
    assert mend(PROJECT, 1) == []
    assert ENGINE in instance.containers


def test_from_nothing_means_that_no_container_is_left(instance: FakeInstance) -> None:
    instance.add("engine", Status="paused")
    remove_all(PROJECT)
    assert instance.containers == {}
