"""Write the digest behind each base's tag into docker/images.toml, as far as a registry tells it."""

import re
from pathlib import Path

from pipeline import docker
from pipeline.definitions import DEFINITIONS, Base, Image
from pipeline.errors import PipelineError

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def resolve(base: Base) -> str:
    """Return the digest that a registry has for a base's tag now: that of the index, which serves every platform.

    Raises:
        PipelineError: No registry tells; the message has docker's words.
    """
    if not docker.has_buildx():
        raise PipelineError("to ask a registry needs docker's plugin buildx, which this client does not have")
    asked = f"{base.name}:{base.tag}"
    found = docker.run("buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", asked, check=False)
    digest = found.stdout.strip()
    if found.returncode != 0 or not DIGEST.fullmatch(digest):
        words = found.stderr.strip().splitlines() or ["it answered without a digest"]
        raise PipelineError(words[-1])
    return digest


def write(root: Path, images: dict[str, Image]) -> tuple[list[str], list[str]]:
    """Write what was resolved.

    Returns:
        A line for each base that was resolved, and one for each that was not.
    """
    path = root / DEFINITIONS
    text = path.read_text(encoding="utf-8")
    resolved, unresolved = [], []
    for base in dict.fromkeys(image.base for image in images.values()):
        try:
            new = Base(base.name, base.tag, resolve(base))
        except PipelineError as error:
            unresolved.append(f"{base}: {error}")
            continue
        text = text.replace(f'"{base}"', f'"{new}"')
        resolved.append(f"{new}{'' if new != base else ' (as before)'}")
    path.write_text(text, encoding="utf-8")
    return resolved, unresolved
