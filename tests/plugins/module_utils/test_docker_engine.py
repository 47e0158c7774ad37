"""What is asked of Docker, with the oldest and the newest client, and with both stores of images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import docker_engine, nvidia
from ansible_collections.slm.serving.plugins.module_utils.process import StackError
from ansible_collections.slm.serving.plugins.module_utils.prune import Pruning

from tests.support.releases import A, B, ReleasesFixture

FAKE = Path(__file__).parents[2] / "fakes/docker_cli.py"
VERSIONS = (25, 28, 29)
GRAPH: dict[str, Any] = {"DockerRootDir": "/data/docker", "DriverStatus": [["Backing Filesystem", "extfs"]]}
CONTAINERD: dict[str, Any] = {
    "DockerRootDir": "/data/docker",
    "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
    "Containerd": {"Address": "/run/containerd/containerd.sock"},
}
STORES = {"graph driver": GRAPH, "containerd": CONTAINERD}
Docker = Callable[..., dict[str, Any]]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Return what puts a fake docker command of a version on PATH; without arguments it returns the fake's state."""
    state = tmp_path / "docker.json"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").symlink_to(FAKE)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("FAKE_DOCKER", str(state))

    def begin(**about: Any) -> dict[str, Any]:
        if about:
            state.write_text(json.dumps({"version": 29, "images": {}, "info": GRAPH, **about}))
        read: dict[str, Any] = json.loads(state.read_text())
        return read

    return begin


def image(*names: str) -> dict[str, Any]:
    """Return an image of the fake with these names."""
    return {"digests": [name for name in names if "@" in name], "tags": [name for name in names if "@" not in name]}


@pytest.mark.parametrize("version", VERSIONS)
def test_images_pulled_by_digest_are_seen_as_those_with_a_tag_are(docker: Docker, version: int) -> None:
    untagged, tagged = image("registry/engine@sha256:1"), image("registry/engine@sha256:2", "registry/engine:v2", "x:1")
    docker(version=version, images={"sha256:a": untagged, "sha256:b": tagged})
    assert docker_engine.images() == [
        docker_engine.Image("sha256:a", ("registry/engine@sha256:1",), ()),
        docker_engine.Image("sha256:b", ("registry/engine@sha256:2",), ("registry/engine:v2", "x:1")),
    ]
    assert docker_engine.has_image("registry/engine@sha256:1")
    assert not docker_engine.has_image("registry/engine@sha256:3")


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_no_release_needs_goes_whatever_the_version(
    docker: Docker, made: ReleasesFixture, version: int, store: str
) -> None:
    kept, pulled, built = f"registry/engine@sha256:{A}", "registry/engine@sha256:1", "registry/engine@sha256:2"
    images = {
        "sha256:a": image(kept),
        "sha256:b": image(pulled),
        "sha256:c": image(built, "registry/engine:v2"),
        "sha256:d": image("somebody/else@sha256:4", "somebody/else:v1"),
    }
    docker(version=version, images=images, info=STORES[store])
    made.add(A)
    made.serve(A)
    pruning = Pruning(made.releases)
    pruning.run(3, 3)
    assert pruning.problems == []
    assert list(docker()["images"]) == ["sha256:a", "sha256:d"]
    assert pruning.removed["images"] == [pulled, "registry/engine:v2", built]


def test_name_that_another_repository_gave_an_image_is_not_taken(docker: Docker, made: ReleasesFixture) -> None:
    docker(images={"sha256:a": image(f"registry/engine@sha256:{B}", "mine:v1")}, info=CONTAINERD)
    made.add(A)
    made.serve(A)
    Pruning(made.releases).run(3, 3)
    assert docker()["images"] == {"sha256:a": image("mine:v1")}


@pytest.mark.parametrize("version", VERSIONS)
def test_engine_that_does_not_answer_is_told_though_some_clients_end_well(docker: Docker, version: int) -> None:
    docker(version=version, info=None)
    with pytest.raises(StackError, match="Docker does not answer: Cannot connect to the Docker daemon"):
        docker_engine.info()


@pytest.mark.parametrize("version", VERSIONS)
def test_reason_is_told_and_not_the_hint_behind_it(docker: Docker, version: int) -> None:
    docker(version=version)
    with pytest.raises(StackError, match=r"the instance does: could not select device driver\. Check"):
        nvidia.gpus_of_container("registry/engine@sha256:1", timeout=5)


@pytest.mark.parametrize(
    ("about", "config", "directory"),
    [
        (GRAPH, None, "/data/docker"),
        ({"DockerRootDir": "/var/lib/docker"}, None, "/var/lib/docker"),
        (CONTAINERD, None, "/var/lib/containerd"),
        (
            CONTAINERD,
            'version = 3\n# root = "/no"\nroot = "/data/containerd"\n\n[grpc]\nroot = "/other"\n',
            "/data/containerd",
        ),
        (CONTAINERD, "version = 2\n[plugins]\n  root = '/other'\n", "/var/lib/containerd"),
        # As Engine 25 and 26 tell it, and as one without the system's containerd does.
        ({**CONTAINERD, "Containerd": None}, None, "/var/lib/containerd"),
        (
            {**CONTAINERD, "Containerd": {"Address": "/var/run/docker/containerd/containerd.sock"}},
            None,
            "/data/docker/containerd/daemon",
        ),
    ],
)
def test_directory_of_the_images(
    about: dict[str, Any], config: str | None, directory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_engine, "CONTAINERD_CONFIG", tmp_path / "config.toml")
    if config is not None:
        (tmp_path / "config.toml").write_text(config)
    assert docker_engine.image_directory(about) == Path(directory)
