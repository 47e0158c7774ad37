"""Build every image that the local region runs, and push those that ECR serves.

An image's tag is made from the contents that it is built from: one that is there under its tag is not built again.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from tests.local_region import names
from tests.local_region.docker import base_images, package_settings
from tests.local_region.docker.engine import REQUIRED_DISK_GIB, DockerEngine, Progress, check_disk
from tests.local_region.docker.package_settings import PackageSettings
from tests.local_region.errors import RegionError

TAG_PREFIX = "local-"
LOG_LINES_SHOWN = 30
# Measured after a first deployment: images 4 GB, build cache 4 GB, the registry and the instance's own daemon 4 GB.
BUILD_DISK_GIB = 12
# Not part of what an image is made from.
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*_cache")
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
MANIFEST_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)


class ImageError(RegionError):
    """An image could not be built or pushed; the message holds the end of the log."""


@dataclass(frozen=True)
class ImageSpec:
    """What an image is built from.

    Attributes:
        repository: Name of the image.
        dockerfile: Its path in this repository.
        paths: All that the build sees, relative to this repository.
        suite: Debian suite of the base image.
        wheels: Patterns of wheels that come from pip's wheel folders if it has any.
    """

    repository: str
    dockerfile: str
    paths: tuple[str, ...]
    suite: str
    wheels: tuple[str, ...] = ()


SPECS: Mapping[str, ImageSpec] = {
    # First, for it takes the longest.
    "engine": ImageSpec(
        repository=names.ENGINE_REPOSITORY,
        dockerfile="docker/vllm/Dockerfile.cpu",
        paths=(
            "docker/install-packages-cpu.sh",
            "docker/vllm/Dockerfile.cpu",
            "docker/vllm/install-cpu.sh",
            "docker/vllm/requirements-cpu.txt",
        ),
        suite="bookworm",
        wheels=("torch-2.13.0+cpu-*.whl",),
    ),
    # Built only where it is asked for.
    "trainer": ImageSpec(
        repository=names.TRAINER_REPOSITORY,
        dockerfile="docker/trainer/Dockerfile.cpu",
        paths=(
            "docker/install-packages-cpu.sh",
            "docker/trainer/Dockerfile.cpu",
            "docker/trainer/install-cpu.sh",
            "docker/trainer/requirements.txt",
            "gateway",
            "training",
        ),
        suite="bookworm",
        wheels=("torch-2.13.0+cpu-*.whl",),
    ),
    # Built only where it is asked for, too.
    "edge": ImageSpec(
        repository=names.EDGE_REPOSITORY,
        dockerfile="docker/edge/Dockerfile.debian",
        paths=("docker/edge/Dockerfile.debian", "docker/edge/requirements.txt"),
        suite="trixie",
    ),
    # The other engine, likewise.
    "llamacpp": ImageSpec(
        repository=names.LLAMACPP_REPOSITORY,
        dockerfile="docker/llamacpp/Dockerfile",
        paths=("docker/llamacpp/Dockerfile", "docker/llamacpp/requirements.txt", "docker/llamacpp/serve.py"),
        suite="trixie",
    ),
    # In the place of the engine where a test does not need a model.
    "stand-in": ImageSpec(
        repository=f"{names.APPLICATION}-stand-in",
        dockerfile="tests/fakes/engine/Dockerfile",
        paths=(
            "tests/fakes/engine/Dockerfile",
            "tests/fakes/engine/documents.py",
            "tests/fakes/engine/stand_in.py",
        ),
        suite="trixie",
    ),
    "instance": ImageSpec(
        repository=f"{names.APPLICATION}-instance",
        dockerfile="tests/local_region/docker/instance/Dockerfile",
        paths=("tests/local_region/docker/instance",),
        suite="bookworm",
    ),
    # Built only where there are several instances.
    "load-balancer": ImageSpec(
        repository=f"{names.APPLICATION}-load-balancer",
        dockerfile="tests/local_region/docker/load_balancer/Dockerfile",
        paths=("tests/local_region/docker/load_balancer",),
        suite="bookworm",
    ),
    "gateway": ImageSpec(
        repository=names.GATEWAY_REPOSITORY,
        dockerfile="docker/gateway/Dockerfile",
        paths=("docker/gateway", "gateway"),
        suite="trixie",
    ),
    "registry": ImageSpec(
        repository=f"{names.APPLICATION}-registry",
        dockerfile="tests/local_region/docker/registry/Dockerfile",
        paths=("tests/local_region/docker/registry",),
        suite="bookworm",
    ),
}


@dataclass(frozen=True)
class PushedImage:
    """An image in the registry.

    Attributes:
        repository: Its name there.
        tag: Its tag.
        digest: The manifest's SHA-256, as `sha256:...`.
        manifest: The registry's own text.
        media_type: The manifest's.
    """

    repository: str
    tag: str
    digest: str
    manifest: str
    media_type: str


def reference(spec: ImageSpec, root: Path = names.REPOSITORY_ROOT) -> str:
    """Return `repository:local-<hash>`; the hash is of all files that it is built from, with names and modes."""
    digest = hashlib.sha256(f"{spec.dockerfile}\n{spec.suite}\n".encode())
    for path in _files(spec, root):
        content = path.read_bytes()
        executable = bool(path.stat().st_mode & 0o100)
        digest.update(f"{path.relative_to(root).as_posix()}\n{executable}\n{len(content)}\n".encode())
        digest.update(content)
    return f"{spec.repository}:{TAG_PREFIX}{digest.hexdigest()[:12]}"


def _files(spec: ImageSpec, root: Path) -> Iterator[Path]:
    for name in sorted(spec.paths):
        path = root / name
        if not path.exists():
            raise ImageError(f"{name} is missing: the image {spec.repository} is built from it.")
        if path.is_file():
            yield path
            continue
        for folder, subfolders, files in os.walk(path):
            ignored = IGNORED(folder, [*subfolders, *files])
            subfolders[:] = sorted(name for name in subfolders if name not in ignored)
            yield from (Path(folder, name) for name in sorted(files) if name not in ignored)


def build_all(
    engine: DockerEngine, progress: Progress, state_dir: Path, selected: Collection[str] | None = None
) -> dict[str, str]:
    """Build images that are not in the daemon yet.

    Args:
        engine: Where they are built.
        progress: Called with one line for each image.
        state_dir: Gets the logs, `build-NAME.log`.
        selected: Keys of SPECS; all of them when it is None.

    Returns:
        The selected images' references, such as `{"engine": "repository:local-..."}`.

    Raises:
        ImageError: A build failed; the message holds the end of its log.
        BaseImageError: There is no base image.
        DockerUnavailable: The disk is too full.
    """
    references = {name: reference(spec) for name, spec in SPECS.items() if selected is None or name in selected}
    missing = [name for name in references if not _is_there(engine, references[name])]
    if missing:
        # A changed gateway needs next to nothing.
        check_disk(engine, BUILD_DISK_GIB if {"engine", "trainer"} & {*missing} else REQUIRED_DISK_GIB)
        settings = package_settings.of_this_machine()
        bases = Lock()

        def build(name: str) -> None:
            with bases:  # The first that wants a base makes it; builds on another go on meanwhile.
                base_images.ensure(engine, progress, [SPECS[name].suite])
            _build(engine, name, references[name], settings, progress, state_dir)

        # Two at a time: the engine's build unpacks and downloads by turns, and leaves the others a core.
        with ThreadPoolExecutor(max_workers=2) as pool:
            builds = [pool.submit(build, name) for name in missing]
        for finished in builds:
            finished.result()
        for name in missing:
            _remove_older(engine, references[name])
    up_to_date = [name for name in references if name not in missing]
    if up_to_date:
        progress(f"{', '.join(up_to_date)}: nothing changed, not built")
    return references


def _is_there(engine: DockerEngine, image: str) -> bool:
    return engine.run("image", "inspect", "--format", "{{.Id}}", image, check=False).returncode == 0


def _build(
    engine: DockerEngine, name: str, image: str, settings: PackageSettings, progress: Progress, state_dir: Path
) -> None:
    began = time.monotonic()
    spec = SPECS[name]
    state_dir.mkdir(parents=True, exist_ok=True)
    log = state_dir / f"build-{name}.log"
    with tempfile.TemporaryDirectory(prefix="build-", dir=state_dir) as folder:
        context = Path(folder, "context")
        _stage(spec, context, settings)
        command = [
            *(engine.client, "build", "--network", "host", "--progress", "plain"),
            *("--file", str(context / spec.dockerfile), "--tag", image),
            *("--build-arg", f"BASE={base_images.tag(spec.suite)}"),
            *proxy_arguments(),
            *secret_arguments(settings, Path(folder)),
            str(context),
        ]
        with log.open("wb") as output:
            result = subprocess.run(command, env=build_environment(), stdout=output, stderr=output, check=False)
    if result.returncode != 0:
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:])
        raise ImageError(f"The image {name} could not be built; the end of {log}:\n{end}")
    progress(f"{name}: built ({time.monotonic() - began:.0f} s)")


def _stage(spec: ImageSpec, context: Path, settings: PackageSettings) -> None:
    """Put what a build may see into a folder: its paths, and under `wheels/` what pip has at hand locally."""
    for name in spec.paths:
        source, target = names.REPOSITORY_ROOT / name, context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=IGNORED)
        else:
            shutil.copy2(source, target)
    for wheel in settings.find_wheels(spec.wheels):
        target = context / "wheels" / wheel.name
        target.parent.mkdir(exist_ok=True)
        try:
            target.hardlink_to(wheel)
        except OSError:  # another file system
            shutil.copy2(wheel, target)


def secret_arguments(settings: PackageSettings, folder: Path) -> list[str]:
    """Return the build secrets' arguments: an index's address may hold a password, and a secret is in no layer."""
    files = {"pip-conf": settings.pip_conf(), "uv-config": settings.uv_toml()}
    arguments = []
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
        arguments += ["--secret", f"id={name},src={folder / name}"]
    if settings.certificate:
        arguments += ["--secret", f"id=ca-bundle,src={settings.certificate}"]
    return arguments


def proxy_arguments() -> list[str]:
    """Return the arguments that let a build use this machine's proxies."""
    # With no value, docker takes the variable's own, and the builder keeps the known proxy variables out of the image.
    return [argument for name in PROXY_VARIABLES if os.environ.get(name) for argument in ("--build-arg", name)]


def build_environment() -> dict[str, str]:
    """Return the environment in which `docker build` builds with BuildKit in the daemon, whatever this user has set."""
    return {
        **os.environ,
        "DOCKER_BUILDKIT": "1",
        # The daemon's own builder: others do not see the base images in it.
        "BUILDX_BUILDER": "default",
        # One image, one manifest: an attestation would turn it into an index.
        "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
    }


def _remove_older(engine: DockerEngine, image: str) -> None:
    """Remove earlier builds of an image, except those that a container still uses."""
    repository = image.partition(":")[0]
    listing = engine.run("images", "--format", "{{.Repository}}:{{.Tag}}", repository).stdout.split()
    for older in listing:
        if older != image and older.startswith(f"{repository}:{TAG_PREFIX}"):
            engine.run("rmi", older, check=False)


def remove_all(engine: DockerEngine, progress: Progress) -> int:
    """Remove every image that was built or tagged here, the base images too, except those in use; return how many."""
    ours = {spec.repository for spec in SPECS.values()} | {base_images.REPOSITORY}
    listing = engine.run("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    removable = [image for image in listing if image.rpartition(":")[0].rpartition("/")[2] in ours]
    removed = [image for image in removable if engine.run("rmi", image, check=False).returncode == 0]
    progress(f"{len(removed)} images removed")
    return len(removed)


def push(
    engine: DockerEngine,
    image: str,
    registry: str,
    repository: str,
    progress: Progress,
    *,
    docker_config: Path,
    authority: Path,
) -> PushedImage:
    """Push an image unless the registry has it under its tag, and return what the registry then holds.

    Args:
        engine: Whose image it is.
        image: Its reference in the daemon.
        registry: `host:port`, on this machine.
        repository: The image's name in the registry.
        progress: Called with a line when it is done.
        docker_config: Folder with the config.json that holds the log-in.
        authority: Certificate authority of the registry.

    Raises:
        ImageError: It cannot be pushed.
    """
    began = time.monotonic()
    tag = image.rpartition(":")[2]
    client = RegistryClient(registry, docker_config, authority)
    there = client.manifest(repository, tag)
    if there is not None:
        progress(f"{repository}: in the registry already")
        return there
    remote = f"{registry}/{repository}:{tag}"
    engine.run("tag", image, remote)
    command = [engine.client, "push", "--quiet", remote]
    # With a configuration folder of its own the client knows no contexts, so it is told which daemon is meant.
    environment = {**os.environ, "DOCKER_CONFIG": str(docker_config), "DOCKER_HOST": _daemon_address(engine)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    engine.run("rmi", "--no-prune", remote, check=False)
    pushed = client.manifest(repository, tag) if result.returncode == 0 else None
    if pushed is None:
        raise ImageError(
            f"{image} could not be pushed to {registry}: {result.stderr.strip() or 'it is not there after the push'}"
        )
    progress(f"{repository}: pushed ({time.monotonic() - began:.0f} s)")
    return pushed


def _daemon_address(engine: DockerEngine) -> str:
    return (
        os.environ.get("DOCKER_HOST")
        or engine.run("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").stdout.strip()
    )


class RegistryClient:
    """A reader of manifests and blobs (the OCI distribution API), which no docker command returns unchanged."""

    def __init__(self, registry: str, docker_config: Path, authority: Path) -> None:
        """Connect to nothing yet.

        Args:
            registry: `host:port`, on this machine.
            docker_config: Folder with the config.json that holds the log-in.
            authority: Certificate authority of the registry.
        """
        self._registry = registry
        self._context = ssl.create_default_context(cafile=str(authority))
        self._login = json.loads((docker_config / "config.json").read_text(encoding="utf-8"))["auths"][registry]["auth"]

    def manifest(self, repository: str, tag: str) -> PushedImage | None:
        """Return the image under a tag; None where there is none.

        Raises:
            ImageError: The registry answers anything else.
        """
        found = self._get(f"{repository}/manifests/{tag}", ", ".join(MANIFEST_TYPES))
        if found is None:
            return None
        media_type, body = found
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        return PushedImage(repository, tag, digest, body.decode(), media_type)

    def blob(self, repository: str, digest: str) -> bytes | None:
        """Return a layer, or an image's configuration; None where there is none.

        Raises:
            ImageError: The registry answers anything else.
        """
        found = self._get(f"{repository}/blobs/{digest}", "*/*")
        return found[1] if found else None

    def _get(self, path: str, accepted: str) -> tuple[str, bytes] | None:
        """Return media type and content; None where there is nothing. Raises ImageError."""
        headers = {"Authorization": f"Basic {self._login}", "Accept": accepted}
        connection = http.client.HTTPSConnection(self._registry, context=self._context, timeout=30)
        try:
            connection.request("GET", f"/v2/{path}", headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        except OSError as error:
            raise ImageError(f"The registry at {self._registry} does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return None
        if answer.status != http.HTTPStatus.OK:
            raise ImageError(f"The registry at {self._registry} answers {path} with status {answer.status}.")
        return answer.headers.get_content_type(), body
