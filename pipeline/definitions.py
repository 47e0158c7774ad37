"""The images of docker/images.toml."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError

DEFINITIONS = "docker/images.toml"
# What serves; the trainer is for those who fine-tune.
SERVING = ("gateway", "engine")
# The engines' images, each with what a deployment takes it by where the setting engine/kind says nothing.
ENGINES = {"engine": "", "llamacpp": " -e stack_engine_kind=llamacpp"}
BASE = re.compile(r"(?P<name>[^:@\s]+(?:/[^:@\s]+)*):(?P<tag>[^:@\s]+)(?:@(?P<digest>sha256:[0-9a-f]{64}))?")


@dataclass(frozen=True)
class Base:
    """The image that another is built on.

    Attributes:
        name: Its name.
        tag: Its tag.
        digest: Its digest; empty where none is written.
    """

    name: str
    tag: str
    digest: str

    def __str__(self) -> str:
        """Return the reference that a build takes."""
        return f"{self.name}:{self.tag}" + (f"@{self.digest}" if self.digest else "")


@dataclass(frozen=True)
class Image:
    """An image that is built here.

    Attributes:
        name: What the commands call it.
        repository: Its name in ECR.
        dockerfile: Path below the repository's root.
        base: What it is built on.
        version: The project's, or for the engine that of its base.
        max_megabytes: The largest size that is accepted; None where there is no limit.
    """

    name: str
    repository: str
    dockerfile: str
    base: Base
    version: str
    max_megabytes: int | None


def read(root: Path) -> dict[str, Image]:
    """Return all images by their names.

    Args:
        root: The repository's.

    Raises:
        PipelineError: A base is no reference with a tag.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    tables = tomllib.loads((root / DEFINITIONS).read_text(encoding="utf-8"))
    return {name: _image(name, table, project) for name, table in tables.items()}


def _image(name: str, table: dict[str, str | int], project_version: str) -> Image:
    base = parse_base(str(table["base"]))
    limit = table.get("max_megabytes")
    return Image(
        name=name,
        repository=str(table["repository"]),
        dockerfile=str(table["dockerfile"]),
        base=base,
        version=base.tag.removeprefix("v") if table.get("is_versioned_by_base") else project_version,
        max_megabytes=None if limit is None else int(limit),
    )


def parse_base(text: str) -> Base:
    """Return a base by its reference.

    Raises:
        PipelineError: It has no tag, or is no reference at all.
    """
    found = BASE.fullmatch(text)
    if found is None:
        raise PipelineError(f"{DEFINITIONS}: {text!r} is not NAME:TAG, or NAME:TAG@sha256:DIGEST.")
    return Base(found["name"], found["tag"], found["digest"] or "")


def selected(images: dict[str, Image], names: list[str]) -> list[Image]:
    """Return the images of these names, without a name those that serve.

    Raises:
        PipelineError: There is no image of a name.
    """
    wanted = list(dict.fromkeys(names)) or list(SERVING)
    unknown = [name for name in wanted if name not in images]
    if unknown:
        raise PipelineError(f"There is no image {', '.join(unknown)}. There are: {', '.join(images)}.")
    return [images[name] for name in wanted]
