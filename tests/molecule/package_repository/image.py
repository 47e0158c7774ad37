"""The image of such an instance: that of every region, and what builds and installs packages."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tests.local_region.docker.engine import DockerEngine
from tests.local_region.docker.images import build_environment
from tests.local_region.errors import RegionError

FOLDER = Path(__file__).parent
TAG_PREFIX = "packages-"


def build(engine: DockerEngine, base: str) -> str:
    """Return the image made from the instance's, built when it is not in the daemon.

    Raises:
        RegionError: It could not be built.
    """
    digest = hashlib.sha256(base.encode())
    for path in sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        digest.update(f"{path.relative_to(FOLDER)}\n".encode() + path.read_bytes())
    # Among the instance's images, so that it goes when they are removed.
    repository = base.partition(":")[0]
    image = f"{repository}:{TAG_PREFIX}{digest.hexdigest()[:12]}"
    if engine.run("image", "inspect", "--format", "{{.Id}}", image, check=False).returncode == 0:
        return image
    command = [engine.client, "build", "--network", "host", "--build-arg", f"BASE={base}", "--tag", image, str(FOLDER)]
    result = subprocess.run(command, env=build_environment(), capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RegionError(f"The image {image} could not be built:\n{(result.stdout + result.stderr)[-2000:]}")
    for older in engine.run("images", "--format", "{{.Repository}}:{{.Tag}}", repository).stdout.split():
        if older.startswith(f"{repository}:{TAG_PREFIX}") and older != image:
            engine.run("rmi", older, check=False)
    return image
