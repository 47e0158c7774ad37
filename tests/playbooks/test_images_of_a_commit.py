"""From a commit to a deployment of it: the commands that build.yml runs, against the region's ECR."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.local_region import names
from tests.local_region.docker import base_images, images, package_settings
from tests.local_region.docker.engine import DockerEngine, connect
from tests.local_region.region import LocalRegion
from tests.local_region.state import docker_locked
from tests.support.runner import run_playbook

pytestmark = pytest.mark.region

IMAGES = {"gateway": names.GATEWAY_REPOSITORY, "engine": names.ENGINE_REPOSITORY}
SOURCE = "https://example.org/owner/name"


@dataclass(frozen=True)
class Commit:
    """A repository with the working tree as its one commit.

    Attributes:
        root: Its folder.
        revision: The commit.
        engine: The Docker Engine with its images.
        region: Whose ECR they go to.
    """

    root: Path
    revision: str
    engine: DockerEngine
    region: LocalRegion

    def pipeline(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m pipeline` in the repository, as `make images` and `make push` do."""
        docker_config = str(self.region.state.docker_config)
        environment = self.region.env() | {
            "DOCKER": self.engine.client,
            "DOCKER_CONFIG": docker_config,
            "BUILDX_BUILDER": "default",
            "PYTHONPATH": str(names.REPOSITORY_ROOT),
        }
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def push(self, *names_of_images: str) -> subprocess.CompletedProcess[str]:
        """Push images by the address that the region's registry has on this machine."""
        return self.pipeline("push", *names_of_images, "--registry", self.registry)

    @property
    def registry(self) -> str:
        """Address of the region's registry on this machine."""
        return f"127.0.0.1:{self.region.ports.registry}"

    def register(self, name: str) -> str:
        """Tell the region's ECR of an image that its registry has, which on AWS is one; return the digest."""
        pushed = images.push(
            self.engine,
            f"{IMAGES[name]}:{self.revision}",
            self.registry,
            IMAGES[name],
            lambda _line: None,
            docker_config=self.region.state.docker_config,
            authority=self.region.state.certificates / "ca.crt",
        )
        self.region.account().register_in_ecr(pushed)
        return pushed.digest


@pytest.fixture
def commit(bare: LocalRegion, tmp_path: Path) -> Iterator[Commit]:
    """Commit the working tree in a folder of its own, and remove the images that are made of it."""
    root = tmp_path / "repository"
    listing = subprocess.run(
        [
            "git",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
            "docker",
            "gateway",
            "pyproject.toml",
        ],
        cwd=names.REPOSITORY_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listing.stdout.rstrip("\0").split("\0"):
        source = names.REPOSITORY_ROOT / name
        if source.is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, root / name)
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false")
    for command in (
        *(["init", "--quiet"], ["remote", "add", "origin", SOURCE], ["add", "--all"]),
        [*who, "commit", "--quiet", "--message", "Begin"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True, capture_output=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, check=True, capture_output=True, text=True)
    engine = connect()
    made = Commit(root, head.stdout.strip(), engine, bare)
    yield made
    for repository in IMAGES.values():
        engine.run("rmi", f"{repository}:{made.revision}", check=False)


def build(commit: Commit, name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build an image on plain Debian, with the package settings that this machine needs."""
    secrets = images.secret_arguments(package_settings.of_this_machine(), folder)
    base = base_images.tag("trixie")
    options = ["--network", "host", "--build-arg", f"BASE={base}", *images.proxy_arguments(), *secrets]
    with docker_locked(lambda: None):
        return commit.pipeline("build", name, "--", *options)


def test_a_commits_images_are_built_tried_pushed_once_and_found_by_a_deployment(commit: Commit, tmp_path: Path) -> None:
    digests = {}
    for name, repository in IMAGES.items():
        built = build(commit, name, tmp_path)
        assert built.returncode == 0, built.stderr
        assert built.stdout == f"{repository}:{commit.revision}\n"
        if name == "gateway":  # The engine's base, vLLM's own image, cannot be had here.
            # Read-only, without capabilities, not as root, without what builds or installs, of an accepted size.
            tried = commit.pipeline("smoke", name)
            assert tried.returncode == 0, tried.stderr
            sys.stdout.write(tried.stdout)
        pushed = commit.push(name)
        assert pushed.returncode == 0, pushed.stderr
        digests[name] = commit.register(name)
        assert digests[name] in pushed.stdout

    # The same again is nothing to do; another image under the same commit is refused.
    again = commit.push(*IMAGES)
    assert again.returncode == 0, again.stderr
    assert f"-e stack_revision={commit.revision}\n" in again.stdout
    commit.engine.run("tag", base_images.tag("trixie"), f"{names.GATEWAY_REPOSITORY}:{commit.revision}")
    other = commit.push("gateway")
    assert other.returncode == 1
    assert f"holds another image under {commit.revision}, {digests['gateway']}" in other.stderr

    # Far enough to see which images it takes: the instance has not so large a disk.
    enough = json.dumps({"preflight_disk_reserve": 10**15})
    run = run_playbook(commit.region, "deploy", "-v", "-e", f"stack_revision={commit.revision}", "-e", enough)
    assert "enlarge the volume" in run.output
    for name, digest in digests.items():
        assert f"{IMAGES[name]}@{digest}" in run.output, name
