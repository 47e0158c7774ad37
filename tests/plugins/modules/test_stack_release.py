"""Releases on the instance: which one is good, which one comes back, what is damaged, and what is pruned."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import process, prune, releases
from ansible_collections.slm.serving.plugins.modules import release

A, B, C, D, E = (f"2026010{day}T000000Z" for day in range(1, 6))
FILES = {"compose.yml": "services: {}\n", "verification.json": "{}\n"}


class Fixture:
    """Releases in a temporary directory, with models beside it."""

    def __init__(self, root: Path) -> None:
        self.releases = releases.Releases(str(root / "opt"))
        self.models = root / "models"
        self.models.mkdir()

    def add(self, stamp: str, *, result: str = "good", activated: str = "", engine: str = "", **record: Any) -> None:
        """Make a release; its engine's digest is the stamp's unless another is given."""
        directory = self.releases.path(stamp)
        directory.mkdir(parents=True)
        for name, content in FILES.items():
            (directory / name).write_text(content)
        record = {
            "files": releases.checksums(FILES),
            "result": result,
            "activated": activated or stamp,
            "images": {"engine": {"reference": f"registry/engine@sha256:{engine or stamp}"}},
            "models": {"base": {"path": str(self.model(f"base-{stamp[:8]}{stamp[:8]}"))}},
            "verified": stamp if result == "good" else None,
            **record,
        }
        self.releases.update(stamp, **record)

    def model(self, name: str, *, manifest: bool = True) -> Path:
        """Make a model's directory."""
        (self.models / name).mkdir(exist_ok=True)
        if manifest:
            (self.models / name / ".manifest.json").write_text("{}")
        return self.models / name

    def serve(self, current: str, verified: str | None = None) -> None:
        """Point the links."""
        self.releases.point("current", current)
        self.releases.point("verified", verified or current)


class FakeDocker:
    """Fake of the docker command: a list of images, of which some cannot be removed."""

    def __init__(self, *names: str, used: str = "") -> None:
        self.names, self.used = list(names), used
        self.commands: list[list[str]] = []

    def run(self, argv: list[str], timeout: float = 60, **_: Any) -> SimpleNamespace:
        """Answer `docker image ls`, `image rm` and, with success, everything else."""
        del timeout
        self.commands.append(argv)
        if argv[:3] == ["docker", "image", "ls"]:
            return SimpleNamespace(returncode=0, stdout="\n".join(map(self._line, self.names)), stderr="")
        if argv[:3] == ["docker", "image", "rm"]:
            if argv[3] == self.used:
                return SimpleNamespace(returncode=1, stdout="", stderr="conflict: in use by a container")
            self.names.remove(argv[3])
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    @staticmethod
    def _line(name: str) -> str:
        repository, _, digest = name.partition("@")
        repository, _, tag = repository.partition(":")
        return json.dumps(
            {"Repository": repository, "Tag": tag or "<none>", "Digest": digest or "<none>", "ID": f"sha256:{name}"}
        )


class Module(SimpleNamespace):
    """Fake of AnsibleModule, as far as the states use it."""

    def __init__(self, *, check_mode: bool = False, **params: Any) -> None:
        defaults = {
            "project": "p", "unit": "p.service", "timeout": 5, "files": FILES, "about": {}, "reason": "",
            "judged": True, "keep_good": 3, "keep_failed": 3,
        }  # fmt: skip
        super().__init__(params={**defaults, **params}, check_mode=check_mode, warnings=[])

    def warn(self, text: str) -> None:
        """Keep a warning."""
        self.warnings.append(text)


@pytest.fixture
def made(tmp_path: Path) -> Fixture:
    """An instance without a release."""
    return Fixture(tmp_path)


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeDocker:
    """No container is ever brought up; what was asked for is kept."""
    fake = FakeDocker()
    from ansible_collections.slm.serving.plugins.module_utils import activation

    monkeypatch.setattr(prune, "run", fake.run)
    monkeypatch.setattr(release, "run", fake.run)
    monkeypatch.setattr(release, "stop", lambda project: fake.commands.append(["stop", project]))
    monkeypatch.setattr(release, "containers", lambda _: {})
    monkeypatch.setattr(activation, "LOCK", tmp_path / "activation.lock")

    def bring_up(stack: Any, stamp: str) -> None:
        stack.releases.point("current", stamp)
        fake.commands.append(["up", stamp])

    monkeypatch.setattr(activation.Stack, "bring_up", bring_up)
    monkeypatch.setattr(activation.Stack, "is_serving", lambda _: True)
    return fake


# What comes back.


def test_a_failed_release_gives_way_to_the_one_that_served_not_to_the_newest(made: Fixture) -> None:
    for stamp in (A, B):
        made.add(stamp)
    made.add(C, result="activated", previous=A)
    made.serve(C, verified=A)
    assert made.releases.fallback(besides=C) == A


def test_rolling_back_twice_ends_where_it_began(made: Fixture) -> None:
    made.add(A, activated="2026-01-03")
    made.add(B, activated="2026-01-02", previous=A)
    made.releases.update(A, previous=B)
    made.serve(A)
    assert made.releases.fallback(besides=A) == B
    made.serve(B)
    assert made.releases.fallback(besides=B) == A


def test_without_links_and_records_of_what_served_the_one_activated_last_comes_back(made: Fixture) -> None:
    made.add(A, activated="2026-01-09")
    made.add(B, activated="2026-01-02")
    assert made.releases.fallback(besides=None) == A


DAMAGES = {
    "compose.yml is missing": lambda path: (path / "compose.yml").unlink(),
    "compose.yml is not as it was written": lambda path: (path / "compose.yml").write_text(""),
    "verification.json is not as it was written": lambda path: (path / "verification.json").write_text("{"),
    "release.yml is missing or cannot be read": lambda path: (path / "release.yml").write_text("{garbage"),
    "its directory is missing": lambda path: path.rename(path.with_name("elsewhere")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_a_damaged_release_does_not_come_back(made: Fixture, damage: str) -> None:
    made.add(A)
    made.add(B)
    made.add(C, result="failed", previous=B)
    made.serve(C, verified=B)
    DAMAGES[damage](made.releases.path(B))
    assert made.releases.damage(B) == damage
    assert made.releases.fallback(besides=C) == A


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_deployment_replaces_a_damaged_release(made: Fixture, docker: FakeDocker, damage: str) -> None:
    del docker
    made.add(A)
    made.serve(A)
    DAMAGES[damage](made.releases.path(A))
    module = Module(stamp=B)
    prepared = release.prepare(module, made.releases)
    assert (prepared["changed"], prepared["stamp"]) == (True, B)
    assert made.releases.damage(B) is None
    assert damage in module.warnings[0]


def test_what_lies_in_the_way_is_moved_aside(made: Fixture, docker: FakeDocker) -> None:
    del docker
    root = made.releases.root
    (root / "current").mkdir(parents=True)
    (root / "releases").write_text("a file")
    module = Module(stamp=A)
    release.prepare(module, made.releases)
    release.activate(module, made.releases)
    assert made.releases.current() == A
    assert len(module.warnings) == 2
    assert [path.read_text() for path in root.glob("releases.damaged-*")] == ["a file"]


def test_a_dangling_link_is_replaced(made: Fixture, docker: FakeDocker) -> None:
    del docker
    made.releases.root.mkdir()
    made.serve(A)
    module = Module(stamp=B)
    prepared = release.prepare(module, made.releases)
    release.activate(module, made.releases)
    assert (prepared["stamp"], prepared["previous"], made.releases.current()) == (B, None, B)


# A deployment's states.


def test_same_files_make_no_release(made: Fixture, docker: FakeDocker) -> None:
    del docker
    made.add(A)
    made.serve(A)
    assert release.prepare(Module(stamp=B), made.releases) == {
        "changed": False, "stamp": A, "unchanged": True, "previous": None,
    }  # fmt: skip
    assert made.releases.stamps() == [A]


def test_check_mode_makes_nothing(made: Fixture, docker: FakeDocker) -> None:
    del docker
    prepared = release.prepare(Module(stamp=A, check_mode=True), made.releases)
    assert prepared["changed"] is True
    assert not made.releases.root.exists()


def test_preparing_twice_makes_the_same_release(made: Fixture, docker: FakeDocker) -> None:
    del docker
    first = release.prepare(Module(stamp=A), made.releases)
    made_at = made.releases.record(A)["made"]
    assert release.prepare(Module(stamp=A), made.releases)["stamp"] == first["stamp"] == A
    assert made.releases.record(A)["made"] == made_at


def test_a_deployment_that_was_cut_short_is_marked_by_the_next_one(made: Fixture, docker: FakeDocker) -> None:
    del docker
    made.add(A)
    made.add(B, result="activated", previous=A)
    made.serve(B, verified=A)
    prepared = release.prepare(Module(stamp=C), made.releases)
    release.activate(Module(stamp=C), made.releases)
    assert (prepared["stamp"], prepared["previous"]) == (C, A)
    assert made.releases.record(B)["result"] == "failed"
    assert "cut short" in made.releases.record(B)["reason"]
    assert made.releases.record(C)["previous"] == A


def test_verified_moves_only_when_the_verification_passed(made: Fixture, docker: FakeDocker) -> None:
    del docker
    made.add(A)
    made.serve(A)
    module = Module(stamp=B, files={**FILES, "engine.yaml": "x"})
    release.prepare(module, made.releases)
    release.activate(module, made.releases)
    assert (made.releases.current(), made.releases.verified()) == (B, A)
    release.mark_good(module, made.releases)
    assert made.releases.verified() == B
    assert made.releases.record(B)["result"] == "good"
    assert release.mark_good(module, made.releases)["changed"] is False


def test_only_what_is_current_is_marked(made: Fixture, docker: FakeDocker) -> None:
    del docker
    made.add(A)
    made.add(B, result="activated")
    made.serve(A)
    with pytest.raises(process.StackError, match=f"{A} is current now"):
        release.mark_good(Module(stamp=B), made.releases)


def test_withdrawing_brings_back_what_served_and_names_the_reason(made: Fixture, docker: FakeDocker) -> None:
    made.add(A)
    made.add(B)
    made.add(C, result="activated", previous=A)
    made.serve(C, verified=A)
    withdrawn = release.withdraw(Module(stamp=C, reason="it crashed"), made.releases)
    assert withdrawn["previous"] == A
    assert docker.commands == [["up", A]]
    assert made.releases.record(C)["result"] == "failed"
    assert made.releases.record(C)["reason"] == "it crashed"


def test_withdrawing_the_first_release_stops_the_stack(made: Fixture, docker: FakeDocker) -> None:
    made.add(A, result="activated")
    made.releases.point("current", A)
    assert release.withdraw(Module(stamp=A), made.releases)["previous"] is None
    assert ["stop", "p"] in docker.commands
    assert made.releases.current() is None


@pytest.mark.parametrize(("judged", "result"), [(True, "failed"), (False, "good")])
def test_a_lost_session_costs_a_good_release_nothing(
    made: Fixture, docker: FakeDocker, judged: bool, result: str
) -> None:
    del docker
    made.add(A)
    made.add(B, previous=A)
    made.serve(A, verified=B)
    release.withdraw(Module(stamp=A, judged=judged), made.releases)
    assert (made.releases.record(A)["result"], made.releases.current()) == (result, B)


def test_a_full_disk_does_not_keep_a_release_from_coming_back(
    made: Fixture, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.add(A)
    made.add(B, result="activated", previous=A)
    made.serve(B, verified=A)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(release, "keep_logs", full)
    monkeypatch.setattr(made.releases, "update", full)
    assert release.withdraw(Module(stamp=B), made.releases)["previous"] == A
    assert docker.commands == [["up", A]]


# Going back on purpose.


def test_a_named_release_is_chosen(made: Fixture, docker: FakeDocker) -> None:
    del docker
    for stamp in (A, B, C):
        made.add(stamp)
    made.serve(C)
    chosen = release.choose(Module(stamp=A), made.releases)
    assert (chosen["stamp"], chosen["previous"], chosen["changed"]) == (A, C, True)
    assert (chosen["images"], chosen["models"]) == ({}, {})


def test_what_was_removed_of_the_chosen_release_is_told(
    made: Fixture, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    del docker
    made.add(A)
    made.add(B)
    made.serve(B)
    record = made.releases.record(A)
    Path(record["models"]["base"]["path"], ".manifest.json").unlink()
    Path(record["models"]["base"]["path"]).rmdir()
    monkeypatch.setattr(release, "run", lambda *_, **__: SimpleNamespace(returncode=1))
    chosen = release.choose(Module(stamp=""), made.releases)
    assert chosen["stamp"] == A
    assert list(chosen["images"]) == ["engine"]
    assert list(chosen["models"]) == ["base"]


def test_the_release_that_serves_is_not_activated_again(made: Fixture, docker: FakeDocker) -> None:
    del docker
    made.add(A)
    made.serve(A)
    chosen = release.choose(Module(stamp=A), made.releases)
    assert (chosen["changed"], chosen["unchanged"]) == (False, True)


def test_after_a_deployment_that_was_cut_short_it_goes_back_to_what_was_verified(
    made: Fixture, docker: FakeDocker
) -> None:
    del docker
    made.add(A)
    made.add(B, activated="20260201T000000Z")
    made.add(C, result="activated", previous=A)
    made.serve(C, verified=A)
    assert release.choose(Module(stamp=""), made.releases)["stamp"] == A


def test_what_cannot_be_gone_back_to_is_refused_with_the_good_ones(made: Fixture, docker: FakeDocker) -> None:
    del docker
    made.add(A)
    made.add(B, result="failed", reason="verification failed: stage\nand more")
    made.add(C)
    made.add(D)
    made.serve(D)
    (made.releases.path(C) / "compose.yml").unlink()
    cases = {
        "20990101T000000Z": "There is no release 20990101T000000Z on the instance",
        "../../etc": "There is no release ../../etc on the instance",
        B: f"The release {B} is not a good one: verification failed: stage",
        C: f"The release {C} is damaged: compose.yml is missing",
    }
    for stamp, words in cases.items():
        with pytest.raises(process.StackError) as caught:
            release.choose(Module(stamp=stamp), made.releases)
        assert str(caught.value).startswith(words)
        assert str(caught.value).endswith(f"Good releases: {D} (verified {D}), {A} (verified {A})")


def test_there_may_be_nothing_to_go_back_to(made: Fixture, docker: FakeDocker) -> None:
    del docker
    made.add(A)
    made.serve(A)
    with pytest.raises(process.StackError, match="no earlier good release"):
        release.choose(Module(stamp=""), made.releases)


# Pruning.


def image(stamp: str) -> str:
    """The engine's reference of a release made by Fixture.add."""
    return f"registry/engine@sha256:{stamp}"


def prune_releases(made: Fixture, keep_good: int, keep_failed: int) -> Any:
    """Prune and return what was done."""
    pruning = prune.Pruning(made.releases)
    pruning.run(keep_good, keep_failed)
    return pruning


def test_current_and_previous_are_never_pruned(made: Fixture, docker: FakeDocker) -> None:
    del docker
    for stamp in (B, C, D):
        made.add(stamp)
    made.add(A, activated="20270101T000000Z", previous=B)
    made.serve(A)
    prune_releases(made, 1, 0)
    assert made.releases.stamps() == [B, A]


def test_releases_that_are_kept_are_the_ones_activated_last(made: Fixture, docker: FakeDocker) -> None:
    del docker
    for stamp in (A, B, C, D, E):
        made.add(stamp)
    made.releases.update(A, activated="20260901T000000Z")
    made.serve(E)
    made.releases.update(E, activated="20261001T000000Z", previous=D)
    assert prune_releases(made, 3, 0).removed["releases"] == [C, B]


def test_failed_releases_are_kept_for_their_logs_and_do_not_count_as_good(made: Fixture, docker: FakeDocker) -> None:
    del docker
    made.add(A)
    for stamp in (B, C, D):
        made.add(stamp, result="failed")
    made.add(E, previous=A)
    made.serve(E)
    assert prune_releases(made, 2, 2).removed["releases"] == [B]


def test_images_of_kept_releases_and_of_others_stay(made: Fixture, docker: FakeDocker) -> None:
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


def test_what_cannot_be_pruned_is_a_warning(made: Fixture, docker: FakeDocker) -> None:
    made.add(A, result="activated")
    made.serve(A)
    docker.names, docker.used = [image(A), image(B), image(C)], image(B)
    module = Module(stamp=A)
    marked = release.mark_good(module, made.releases)
    assert marked["pruned"]["images"] == [image(C)]
    assert module.warnings == [f"the image {image(B)} could not be pruned: conflict: in use by a container"]


def test_models_of_kept_releases_and_what_model_store_did_not_make_stay(made: Fixture, docker: FakeDocker) -> None:
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


def test_models_are_left_alone_while_one_is_fetched(made: Fixture, docker: FakeDocker) -> None:
    del docker
    made.add(A)
    made.serve(A)
    made.model("adapter-0123456789abcdef")
    with (made.models / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert prune_releases(made, 3, 3).removed["models"] == []


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
