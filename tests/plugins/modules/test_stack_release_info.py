"""What is reported of a release to go back to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import activation
from ansible_collections.slm.serving.plugins.modules import stack_release_info

from tests.support.releases import A, B, C, D, FakeDocker, ReleasesFixture


@pytest.fixture
def ask(made: ReleasesFixture, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what reports a release; its images are there unless `images` says otherwise."""
    del docker

    def report(stamp: str = "", *, images: bool = True) -> dict[str, Any]:
        monkeypatch.setattr(stack_release_info, "has_image", lambda _: images)
        releases = made.releases
        stack = activation.Stack(releases, "p", "p.service", timeout=0)
        return stack_release_info.report(releases, stamp or releases.rollback_target(releases.current()), stack)

    return report


def test_a_named_release_can_be_activated_again(made: ReleasesFixture, ask: Any) -> None:
    for stamp in (A, B, C):
        made.add(stamp)
    made.serve(C)
    assert ask(A) == {
        "stamp": A,
        "problem": None,
        "is_current": False,
        "is_serving": False,
        "missing_images": {},
        "missing_models": {},
        "sources": {"base": ""},
    }


def test_images_and_models_that_were_removed_are_named(made: ReleasesFixture, ask: Any) -> None:
    made.add(A)
    made.add(B)
    made.serve(B)
    record = made.releases.record(A)
    Path(record["models"]["base"]["path"], ".manifest.json").unlink()
    Path(record["models"]["base"]["path"]).rmdir()
    release = ask(images=False)
    assert release["stamp"] == A
    assert list(release["missing_images"]) == ["engine"]
    assert list(release["missing_models"]) == ["base"]


def test_the_release_that_serves_is_reported_as_serving(made: ReleasesFixture, ask: Any) -> None:
    made.add(A)
    made.serve(A)
    release = ask(A)
    assert (release["is_current"], release["is_serving"]) == (True, True)


def test_after_a_deployment_that_was_cut_short_the_verified_release_is_the_one_to_go_back_to(
    made: ReleasesFixture, ask: Any
) -> None:
    made.add(A)
    made.add(B, activated="20260201T000000Z")
    made.add(C, result="activated", previous=A)
    made.serve(C, verified=A)
    assert ask()["stamp"] == A


def test_a_release_that_cannot_be_activated_has_a_problem(made: ReleasesFixture, ask: Any) -> None:
    made.add(A)
    made.add(B, result="failed", reason="verification failed: stage\nand more")
    made.add(C)
    made.add(D)
    made.serve(D)
    (made.releases.path(C) / "compose.yml").unlink()
    problems = {
        "20990101T000000Z": "There is no release 20990101T000000Z on the instance",
        "../../etc": "There is no release ../../etc on the instance",
        B: f"The release {B} is not a good one: verification failed: stage",
        C: f"The release {C} is damaged: compose.yml is missing",
    }
    assert {stamp: ask(stamp)["problem"] for stamp in problems} == problems


def test_there_may_be_nothing_to_go_back_to(made: ReleasesFixture, ask: Any) -> None:
    made.add(A)
    made.serve(A)
    release = ask()
    assert (release["stamp"], release["problem"]) == (None, "There is no earlier good release to go back to")
