"""A release prepared, activated, accepted and withdrawn."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import activation, process
from ansible_collections.slm.serving.plugins.module_utils.prune import Pruning
from ansible_collections.slm.serving.plugins.modules import stack_release

from tests.support.releases import DAMAGES, FILES, A, B, C, FakeDocker, FakeModule, ReleasesFixture


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_deployment_replaces_a_damaged_release(made: ReleasesFixture, docker: FakeDocker, damage: str) -> None:
    del docker
    made.add(A)
    made.serve(A)
    DAMAGES[damage](made.releases.path(A))
    module = FakeModule(stamp=B)
    prepared = stack_release.prepare(module, made.releases)
    assert (prepared["changed"], prepared["stamp"]) == (True, B)
    assert made.releases.damage(B) is None
    assert damage in module.warnings[0]


def test_what_lies_in_the_way_is_moved_aside(made: ReleasesFixture, docker: FakeDocker) -> None:
    del docker
    root = made.releases.root
    (root / "current").mkdir(parents=True)
    (root / "releases").write_text("a file")
    module = FakeModule(stamp=A)
    stack_release.prepare(module, made.releases)
    stack_release.activate(module, made.releases)
    assert made.releases.current() == A
    assert len(module.warnings) == 2
    assert [path.read_text() for path in root.glob("releases.damaged-*")] == ["a file"]


def test_a_dangling_link_is_replaced(made: ReleasesFixture, docker: FakeDocker) -> None:
    del docker
    made.releases.root.mkdir()
    made.serve(A)
    module = FakeModule(stamp=B)
    prepared = stack_release.prepare(module, made.releases)
    stack_release.activate(module, made.releases)
    assert (prepared["stamp"], prepared["previous"], made.releases.current()) == (B, None, B)


# A deployment's states.


def test_same_files_make_no_release(made: ReleasesFixture, docker: FakeDocker) -> None:
    del docker
    made.add(A)
    made.serve(A)
    assert stack_release.prepare(FakeModule(stamp=B), made.releases) == {
        "changed": False, "stamp": A, "unchanged": True, "prunable": False, "previous": None,
    }  # fmt: skip
    assert made.releases.stamps() == [A]


def test_check_mode_makes_nothing(made: ReleasesFixture, docker: FakeDocker) -> None:
    del docker
    prepared = stack_release.prepare(FakeModule(stamp=A, check_mode=True), made.releases)
    assert prepared["changed"] is True
    assert not made.releases.root.exists()


def test_preparing_twice_makes_the_same_release(made: ReleasesFixture, docker: FakeDocker) -> None:
    del docker
    first = stack_release.prepare(FakeModule(stamp=A), made.releases)
    made_at = made.releases.record(A)["made"]
    assert stack_release.prepare(FakeModule(stamp=A), made.releases)["stamp"] == first["stamp"] == A
    assert made.releases.record(A)["made"] == made_at


def test_a_deployment_that_was_cut_short_is_marked_by_the_next_one(made: ReleasesFixture, docker: FakeDocker) -> None:
    del docker
    made.add(A)
    made.add(B, result="activated", previous=A)
    made.serve(B, verified=A)
    prepared = stack_release.prepare(FakeModule(stamp=C), made.releases)
    stack_release.activate(FakeModule(stamp=C), made.releases)
    assert (prepared["stamp"], prepared["previous"]) == (C, A)
    assert made.releases.record(B)["result"] == "failed"
    assert "cut short" in made.releases.record(B)["reason"]
    assert made.releases.record(C)["previous"] == A


def test_verified_moves_only_when_the_verification_passed(made: ReleasesFixture, docker: FakeDocker) -> None:
    del docker
    made.add(A)
    made.serve(A)
    module = FakeModule(stamp=B, files={**FILES, "engine.yaml": "x"})
    stack_release.prepare(module, made.releases)
    stack_release.activate(module, made.releases)
    assert (made.releases.current(), made.releases.verified()) == (B, A)
    stack_release.accept(module, made.releases)
    assert made.releases.verified() == B
    assert made.releases.record(B)["result"] == "good"
    assert stack_release.accept(module, made.releases)["changed"] is False


@pytest.mark.parametrize("prunable", [False, True])
def test_check_mode_announces_what_accepting_would_change(
    prunable: bool, made: ReleasesFixture, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    del docker
    made.add(A)
    made.serve(A)
    monkeypatch.setattr(Pruning, "is_needed", lambda _: prunable)
    announced = [stack_release.accept(FakeModule(stamp=stamp, check_mode=True), made.releases) for stamp in (A, B)]
    # The one that serves is good already; the other one would be made.
    assert [each["changed"] for each in announced] == [prunable, True]
    assert (made.releases.verified(), made.releases.stamps()) == (A, [A])


def test_only_what_is_current_is_marked(made: ReleasesFixture, docker: FakeDocker) -> None:
    del docker
    made.add(A)
    made.add(B, result="activated")
    made.serve(A)
    with pytest.raises(process.StackError, match=f"{A} is current now"):
        stack_release.accept(FakeModule(stamp=B), made.releases)


def test_withdrawing_brings_back_what_served_and_names_the_reason(made: ReleasesFixture, docker: FakeDocker) -> None:
    made.add(A)
    made.add(B)
    made.add(C, result="activated", previous=A)
    made.serve(C, verified=A)
    withdrawn = stack_release.withdraw(FakeModule(stamp=C, reason="it crashed"), made.releases)
    assert withdrawn["previous"] == A
    assert docker.commands == [["up", A]]
    assert made.releases.record(C)["result"] == "failed"
    assert made.releases.record(C)["reason"] == "it crashed"


def test_withdrawing_the_first_release_stops_the_stack(made: ReleasesFixture, docker: FakeDocker) -> None:
    made.add(A, result="activated")
    made.releases.point("current", A)
    assert stack_release.withdraw(FakeModule(stamp=A), made.releases)["previous"] is None
    assert ["stop", "p"] in docker.commands
    assert made.releases.current() is None


def test_what_served_comes_back_from_nothing_where_a_container_keeps_it_away(
    made: ReleasesFixture, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.add(A)
    made.add(B, result="activated", previous=A)
    made.serve(B, verified=A)
    bring_up = activation.Stack.bring_up

    def stumbling(stack: Any, stamp: str, *, anew: bool = False) -> list[str]:
        if not anew:
            raise process.StackError("the container name is already in use")
        return bring_up(stack, stamp, anew=anew)

    monkeypatch.setattr(activation.Stack, "bring_up", stumbling)
    module = FakeModule(stamp=B)
    assert stack_release.withdraw(module, made.releases)["previous"] == A
    assert docker.commands == [["up", A, "anew"]]
    assert "already in use" in module.warnings[0]


def test_a_release_that_is_unchanged_but_does_not_work_is_activated_again_and_stays_good(
    made: ReleasesFixture, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.add(A)
    made.serve(A)
    monkeypatch.setattr(activation.Stack, "is_serving", lambda _: False)
    prepared = stack_release.prepare(FakeModule(stamp=B), made.releases)
    assert (prepared["stamp"], prepared["changed"], prepared["unchanged"]) == (A, False, False)
    stack_release.activate(FakeModule(stamp=A), made.releases)
    assert docker.commands == [["up", A]]
    assert made.releases.record(A)["result"] == "good"


@pytest.mark.parametrize(("failed", "result"), [(True, "failed"), (False, "good")])
def test_a_lost_session_costs_a_good_release_nothing(
    made: ReleasesFixture, docker: FakeDocker, failed: bool, result: str
) -> None:
    del docker
    made.add(A)
    made.add(B, previous=A)
    made.serve(A, verified=B)
    stack_release.withdraw(FakeModule(stamp=A, failed=failed), made.releases)
    assert (made.releases.record(A)["result"], made.releases.current()) == (result, B)


def test_a_full_disk_does_not_keep_a_release_from_coming_back(
    made: ReleasesFixture, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.add(A)
    made.add(B, result="activated", previous=A)
    made.serve(B, verified=A)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stack_release, "keep_logs", full)
    monkeypatch.setattr(made.releases, "update", full)
    assert stack_release.withdraw(FakeModule(stamp=B), made.releases)["previous"] == A
    assert docker.commands == [["up", A]]
