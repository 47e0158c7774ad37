"""The docker command on the instance, asked in a way that every supported version answers alike.

What differs between Docker Engine 25 and 29, and between its two stores of images, is known here only: since 29 a
listing leaves out images without a tag, a new installation keeps images with containerd and not below Docker's own
directory, and a failed `docker run` ends with a hint behind the reason.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run

DEFAULT_ROOT = Path("/var/lib/docker")
# Where containerd keeps what Docker gives it: containerd-config.toml(5).
CONTAINERD_CONFIG = Path("/etc/containerd/config.toml")
CONTAINERD_ROOT = Path("/var/lib/containerd")
# Of the containerd that the system runs; Docker starts one of its own where there is none.
CONTAINERD_ADDRESS = "/run/containerd/containerd.sock"
# What `docker info` has in DriverStatus where containerd keeps the images.
CONTAINERD_STORE = "io.containerd.snapshotter"
# The last line of a failed `docker run`: up to 27 the first form, then the second.
HINT = re.compile(r"(?:See|Run) '[^']* --help'.*")


@dataclass(frozen=True)
class Image:
    """An image on the instance, and every name that it has: by digest and by tag."""

    id: str
    digests: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return all names; the tags first, since one store forgets the digests with the last tag."""
        return (*self.tags, *self.digests)


def complaint(output: str) -> str:
    """Return the reason in what a docker command printed, without what stands around it in one version or another."""
    lines = [line for line in output.splitlines() if not HINT.fullmatch(line.strip())]
    reason = last_line("\n".join(lines))
    return reason.removeprefix("docker: ").removeprefix("Error response from daemon: ")


def info(timeout: float = 30) -> dict[str, Any]:
    """Return what the engine says of itself.

    Args:
        timeout: seconds for its answer.

    Raises:
        StackError: it does not answer; some versions end well all the same.
    """
    asked = run(["docker", "info", "--format", "{{json .}}"], timeout=timeout)
    try:
        told = json.loads(asked.stdout) if asked.returncode == 0 else None
    except ValueError:
        told = None
    if not isinstance(told, dict) or told.get("ServerErrors") or not told.get("DockerRootDir"):
        errors = told.get("ServerErrors") if isinstance(told, dict) else None
        raise StackError(f"Docker does not answer: {errors[-1] if errors else complaint(asked.stderr)}")
    return told


def image_directory(about: dict[str, Any]) -> Path:
    """Return the directory whose disk takes the images.

    Args:
        about: what `info` returned.
    """
    root = Path(about["DockerRootDir"])
    status = about.get("DriverStatus") or []
    if not any(CONTAINERD_STORE in str(value) for pair in status for value in pair):
        return root
    # Told since Engine 27; before, the packages' own set-up is the likely one.
    address = (about.get("Containerd") or {}).get("Address") or CONTAINERD_ADDRESS
    return _containerd_root() if address == CONTAINERD_ADDRESS else root / "containerd/daemon"


def _containerd_root() -> Path:
    """Return the root directory of the system's containerd; its first table ends what may set it."""
    try:
        text = CONTAINERD_CONFIG.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return CONTAINERD_ROOT
    top = re.split(r"^\s*\[", text, maxsplit=1, flags=re.MULTILINE)[0]
    root = re.search(r"^\s*root\s*=\s*[\"'](/[^\"']*)[\"']", top, re.MULTILINE)
    return Path(root[1]) if root else CONTAINERD_ROOT


def has_image(reference: str) -> bool:
    """Say whether an image is on the instance."""
    return run(["docker", "image", "inspect", "--format", "{{.Id}}", reference]).returncode == 0


def images() -> list[Image]:
    """Return all images of the instance, those without a tag too.

    Not from the lines of a listing: whether and how an untagged image stands there differs from version to version.

    Raises:
        StackError: Docker does not list them.
    """
    listed = run(["docker", "image", "ls", "--all", "--quiet", "--no-trunc"])
    if listed.returncode != 0:
        raise StackError(complaint(listed.stderr))
    ids = list(dict.fromkeys(listed.stdout.split()))
    if not ids:
        return []
    # An image that has just gone makes it fail, and the others are told all the same.
    inspected = run(["docker", "image", "inspect", *ids])
    try:
        found = json.loads(inspected.stdout)
    except ValueError:
        raise StackError(complaint(inspected.stderr)) from None
    return [
        Image(each["Id"], tuple(each.get("RepoDigests") or ()), tuple(each.get("RepoTags") or ())) for each in found
    ]


def remove_image(name: str) -> str | None:
    """Remove a name of an image, and with its last one the image; return why it could not be removed, or None."""
    removal = run(["docker", "image", "rm", name], timeout=120)
    if removal.returncode == 0 or "no such image" in removal.stderr.lower():
        return None
    return complaint(removal.stderr)
