"""What pruning removes, and what it must leave."""

from __future__ import annotations

import fcntl
import os
import time
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import prune
from ansible_collections.slm.serving.plugins.modules import stack_release

from tests.support.releases import A, B, C, D, E, FakeDocker, FakeModule, ReleasesFixture


def image(stamp: str) -> str:
    """Return the engine's reference of a release made by ReleasesFixture.add."""
    return f"registry/engine@sha256:{stamp}"


def prune_releases(made: ReleasesFixture, keep_good: int, keep_failed: int) -> Any:
    """Prune and return what was done."""
    pruning = prune.Pruning(made.releases)
    pruning.run(keep_good, keep_failed)
    return pruning


def test_current_and_previous_are_never_pruned(made: ReleasesFixture, docker: FakeDocker) -> None:
    del docker
    for stamp in (B, C, D):
        made.add(stamp)
    made.add(A, activated="20270101T000000Z", previous=B)
    made.serve(A)
    prune_releases(made, 1, 0)
    assert made.releases.stamps() == [B, A]


def test_further_adapters_go_and_stay_with_the_releases_that_name_them(
    made: ReleasesFixture, docker: FakeDocker
) -> None:
    del docker
    old, new = (made.model(f"adapter-assistant-intent-{digit * 16}") for digit in "ab")
    for stamp, adapter in ((A, old), (B, None), (C, new)):
        base = {"base": {"path": str(made.model("base-" + "0" * 16))}}
        # B is as a release was recorded before there were further adapters.
        made.add(stamp, models=base | ({"adapter-assistant-intent": {"path": str(adapter)}} if adapter else {}))
    made.serve(C)
    prune_releases(made, 3, 0)
    assert (old.is_dir(), new.is_dir()) == (True, True)
    assert prune_releases(made, 2, 0).removed["models"] == [old.name]
    assert new.is_dir()


def test_releases_that_are_kept_are_the_ones_activated_last(made: ReleasesFixture, docker: FakeDocker) -> None:
    del docker
    for stamp in (A, B, C, D, E):
        made.add(stamp)
    made.releases.update(A, activated="20260901T000000Z")
    made.serve(E)
    made.releases.update(E, activated="20261001T000000Z", previous=D)
    assert prune_releases(made, 3, 0).removed["releases"] == [C, B]


def test_failed_releases_are_kept_for_their_logs_and_do_not_count_as_good(
    made: ReleasesFixture, docker: FakeDocker
) -> None:
    del docker
    made.add(A)
    for stamp in (B, C, D):
        made.add(stamp, result="failed")
    made.add(E, previous=A)
    made.serve(E)
    assert prune_releases(made, 2, 2).removed["releases"] == [B]


def test_images_of_kept_releases_and_of_others_stay(made: ReleasesFixture, docker: FakeDocker) -> None:
    for stamp in (A, B, D):
        made.add(stamp)
    made.add(C, result="failed")
    made.releases.update(D, previous=B)
    made.serve(D)
    docker.names = [*map(image, (A, B, C, D)), "somebody/else@sha256:1", "debian:trixie", "registry/engine:old"]
    pruning = prune_releases(made, 2, 3)
    assert docker.names == [image(B), image(D), "somebody/else@sha256:1", "debian:trixie"]
    assert sorted(pruning.removed["images"]) == sorted([image(A), image(C), "registry/engine:old"])
    assert pruning.problems == []


def test_images_of_failed_releases_make_a_pruning_needed_until_they_are_gone(
    made: ReleasesFixture, docker: FakeDocker
) -> None:
    made.add(A)
    made.serve(A)
    docker.names = [image(A), image(B), "somebody/else@sha256:1"]
    assert not prune.Pruning(made.releases).is_needed(), "nothing names the image"
    made.add(B, result="failed")
    assert prune.Pruning(made.releases).is_needed()
    prune_releases(made, 3, 3)
    assert docker.names == [image(A), "somebody/else@sha256:1"]
    assert not prune.Pruning(made.releases).is_needed()


def test_an_image_that_a_good_release_shares_with_a_failed_one_needs_no_pruning(
    made: ReleasesFixture, docker: FakeDocker
) -> None:
    made.add(A)
    made.add(B, result="failed", engine=A)
    made.serve(A)
    docker.names = [image(A)]
    assert not prune.Pruning(made.releases).is_needed()
    assert docker.commands == [], "Docker was asked for nothing"


def test_what_cannot_be_pruned_is_a_warning(made: ReleasesFixture, docker: FakeDocker) -> None:
    made.add(A, result="activated")
    made.serve(A)
    docker.names, docker.used = [image(A), image(B), image(C)], image(B)
    module = FakeModule(stamp=A)
    marked = stack_release.accept(module, made.releases)
    assert marked["pruned"]["images"] == [image(C)]
    assert module.warnings == [f"the image {image(B)} could not be pruned: conflict: in use by a container"]


def test_models_of_kept_releases_and_what_model_store_did_not_make_stay(
    made: ReleasesFixture, docker: FakeDocker
) -> None:
    del docker
    for stamp in (A, B, C):
        made.add(stamp)
    made.releases.update(C, previous=B)
    made.serve(C)
    digest = "0123456789abcdef"
    made.model(f"adapter-{digest}")
    made.model(f"mine-{digest}", manifest=False)
    made.model("notes")
    cut = made.model(f".staging-base-{digest}", manifest=False)
    old = made.model(f".staging-adapter-{digest}", manifest=False)
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    removed = prune_releases(made, 2, 0).removed["models"]
    assert sorted(removed) == sorted([f"adapter-{digest}", old.name, f"base-{A[:8]}{A[:8]}"])
    assert cut.is_dir()
    assert {path.name for path in made.models.iterdir() if path.is_dir()} == {
        f"base-{B[:8]}{B[:8]}", f"base-{C[:8]}{C[:8]}", f"mine-{digest}", "notes", cut.name,
    }  # fmt: skip


def test_models_are_left_alone_while_one_is_fetched(made: ReleasesFixture, docker: FakeDocker) -> None:
    del docker
    made.add(A)
    made.serve(A)
    made.model("adapter-0123456789abcdef")
    with (made.models / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert prune_releases(made, 3, 3).removed["models"] == []


def test_caches_of_images_that_no_kept_release_has_are_removed(made: ReleasesFixture, docker: FakeDocker) -> None:
    """What a broken-in engine left in its cache must not outlive its image."""
    del docker
    root = made.models.parent / "engine-cache"
    caches = {stamp: root / f"image-{digit * 16}" for stamp, digit in ((A, "a"), (B, "b"), (C, "c"))}
    failed, foreign = root / f"image-{'0' * 16}", root / "kernels"
    for directory in (*caches.values(), failed, foreign):
        directory.mkdir(parents=True)
    for stamp, cache in caches.items():
        made.add(stamp, engine_cache=str(cache))
    made.releases.update(C, previous=B)
    made.serve(C)
    assert sorted(prune_releases(made, 2, 0).removed["caches"]) == [failed.name, caches[A].name]
    assert {path.name for path in root.iterdir()} == {caches[B].name, caches[C].name, foreign.name}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("host.example:5000/team/engine@sha256:1", "host.example:5000/team/engine"),
        ("host.example:5000/engine:v1", "host.example:5000/engine"),
        ("engine:v1", "engine"),
        ("engine", "engine"),
    ],
)
def test_repository_of_a_reference(reference: str, expected: str) -> None:
    assert prune.repository(reference) == expected
