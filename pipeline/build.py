"""Build an image from a commit."""

import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline import docker, revision
from pipeline.definitions import Image
from pipeline.errors import PipelineError
from pipeline.revision import Revision

# What a g6 instance is; a Mac with Apple's processor would build for its own otherwise.
PLATFORM = "linux/amd64"


def tag(revision: Revision, platform: str) -> str:
    """Return the tag of a commit's images: the commit, and the architecture where it is not the usual one."""
    return revision.commit + ("" if platform == PLATFORM else f"-{platform.partition('/')[2].replace('/', '-')}")


def reference(image: Image, revision: Revision, platform: str) -> str:
    """Return the name that a commit's image has in the daemon."""
    return f"{image.repository}:{tag(revision, platform)}"


def arguments(
    image: Image, made_from: Revision, platform: str, context: Path, *, cache: str = "", options: Sequence[str] = ()
) -> list[str]:
    """Return the arguments of docker that build an image and leave it in the daemon.

    Args:
        image: What is built.
        made_from: The commit.
        platform: Such as `linux/amd64`.
        context: Folder with the commit's files.
        cache: Kind of a cache that outlives the builder, such as `gha`.
        options: More of docker's own options; they win over those here.
    """
    buildx = docker.has_buildx()
    # One manifest and no index: of an index, ECR's lifecycle policy counts each part as an image. The times of files in
    # the layers are the commit's, which only buildx can see to.
    start = ["buildx", "build", "--output", "type=docker,rewrite-timestamp=true"] if buildx else ["build"]
    cached = [f"--cache-from=type={cache},scope={image.name}", f"--cache-to=type={cache},scope={image.name},mode=max"]
    build_arguments = {
        "BASE": str(image.base),
        "SOURCE_DATE_EPOCH": str(made_from.seconds),
        "REVISION": made_from.commit,
        "VERSION": image.version,
        "SOURCE": made_from.source,
    }
    return [
        *start,
        *("--platform", platform),
        *("--file", str(context / image.dockerfile)),
        *("--tag", reference(image, made_from, platform)),
        *[part for name, value in build_arguments.items() for part in ("--build-arg", f"{name}={value}")],
        *(cached if cache else []),
        *options,
        str(context),
    ]


def build(
    root: Path, image: Image, made_from: Revision, platform: str, *, cache: str = "", options: Sequence[str] = ()
) -> str:
    """Build an image and return its name in the daemon.

    Raises:
        PipelineError: It cannot be built.
    """
    if cache and not docker.has_buildx():
        raise PipelineError(f"The cache {cache} needs docker's plugin buildx, which this client does not have.")
    began = time.monotonic()
    name = reference(image, made_from, platform)
    sys.stderr.write(f"==> {image.name}: {name} on {image.base}, for {platform}\n")
    folder = Path(tempfile.mkdtemp(prefix="slm-ft-serving-"))
    try:
        revision.export(root, made_from, folder)
        docker.show(*arguments(image, made_from, platform, folder, cache=cache, options=options))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stderr.write(f"    built in {time.monotonic() - began:.0f} s\n")
    return name
