"""Remove what no kept release needs: older releases, their images, engine caches, and models that model_store made.

Never anything else: images of other repositories, and directories that only look like a model, stay.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ansible_collections.slm.serving.plugins.module_utils.docker_engine import images, remove_image
from ansible_collections.slm.serving.plugins.module_utils.process import StackError
from ansible_collections.slm.serving.plugins.module_utils.releases import Releases

# As model_store names a model's directory, and one that is on its way to be it.
MODEL = re.compile(r"[\w-]+-[0-9a-f]{16}")
UNFINISHED = re.compile(r"\.(staging|broken)-[\w-]+-[0-9a-f]{16}")
MANIFEST = ".manifest.json"
# As the role inference_stack names an image's directory of compiled kernels.
CACHE = re.compile(r"image-[0-9a-f]{16}")
# A cut download can be resumed for so long (seconds).
RESUMABLE = 24 * 3600


class Pruning:
    """One pruning: what it removed, and what it could not."""

    def __init__(self, releases: Releases) -> None:
        """Begin with nothing removed."""
        self.releases = releases
        self.removed: dict[str, list[str]] = {"releases": [], "images": [], "models": [], "caches": []}
        self.problems: list[str] = []

    def run(self, keep_good: int, keep_failed: int) -> None:
        """Prune; what cannot be removed is reported in `problems`, never an error."""
        before = self._named(self.releases.stamps())
        with self._tolerant("the releases"):
            for stamp in self.releases.superseded(keep_good, keep_failed):
                with self._tolerant(f"the release {stamp}"):
                    self.releases.remove(stamp)
                    self.removed["releases"].append(stamp)
            for unfinished in self.releases.directory.glob(".*.new"):
                shutil.rmtree(unfinished)
        kept = self._kept()
        with self._tolerant("the images"):
            self._images(kept["images"], {repository(name) for name in before["images"] | kept["images"]})
        with self._tolerant("the models"):
            for root in {Path(path).parent for path in before["models"] | kept["models"]}:
                self._models(root, kept["models"])
        with self._tolerant("the engine's caches"):
            for root in {Path(path).parent for path in before["caches"] | kept["caches"]}:
                self._caches(root, kept["caches"])

    def is_needed(self) -> bool:
        """Say whether images are there that no kept release needs, as after deployments that failed."""
        before, kept = self._named(self.releases.stamps()), self._kept()
        if before["images"] <= kept["images"]:
            return False
        try:
            return bool(self._superseded(kept["images"], {repository(name) for name in before["images"]}))
        except (OSError, ValueError, StackError):
            return False  # Docker does not say: next time.

    def _kept(self) -> dict[str, set[str]]:
        # A failed release is kept for its logs: it cannot be gone back to, and needs neither images nor models.
        return self._named([*self.releases.good(), self.releases.current()])

    def _named(self, stamps: Sequence[str | None]) -> dict[str, set[str]]:
        """Return the references of images, and the paths of models and caches, that these releases' records name."""
        records = [self.releases.record(stamp) for stamp in stamps if stamp]
        named: dict[str, set[str]] = {"images": set(), "models": set()}
        named["caches"] = {record["engine_cache"] for record in records if record.get("engine_cache")}
        for kind, key in (("images", "reference"), ("models", "path")):
            for record in records:
                items = record.get(kind)
                entries = items.values() if isinstance(items, dict) else ()
                named[kind].update(entry[key] for entry in entries if isinstance(entry, dict) and entry.get(key))
        return named

    @contextlib.contextmanager
    def _tolerant(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, StackError) as error:
            self.problems.append(f"{what} could not be pruned: {error}")

    def _superseded(self, kept: set[str], repositories: set[str]) -> list[str]:
        """Return the names, in these repositories, of the images that are not kept.

        Raises:
            StackError: Docker does not list its images.
        """
        return [
            name
            for image in images()
            if not kept & set(image.names)
            for name in image.names
            if repository(name) in repositories
        ]

    def _images(self, kept: set[str], repositories: set[str]) -> None:
        for name in self._superseded(kept, repositories):
            problem = remove_image(name)
            if problem:
                self.problems.append(f"the image {name} could not be pruned: {problem}")
            else:
                self.removed["images"].append(name)

    def _models(self, root: Path, kept: set[str]) -> None:
        if not root.is_dir():
            return
        with (root / ".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # model_store is at work there: next time.
            for directory in sorted(root.iterdir()):
                if directory.is_symlink() or not directory.is_dir() or str(directory) in kept:
                    continue
                if is_superseded_model(directory):
                    with self._tolerant(f"the model {directory.name}"):
                        shutil.rmtree(directory)
                        self.removed["models"].append(directory.name)

    def _caches(self, root: Path, kept: set[str]) -> None:
        """Remove what another image compiled: vLLM loads it unchecked, so nothing of an image outlives its releases."""
        for directory in sorted(root.iterdir()) if root.is_dir() else []:
            if CACHE.fullmatch(directory.name) and str(directory) not in kept and not directory.is_symlink():
                with self._tolerant(f"the engine's cache {directory.name}"):
                    shutil.rmtree(directory)
                    self.removed["caches"].append(directory.name)


def repository(reference: str) -> str:
    """Return the repository of an image's reference, registry included."""
    name = reference.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}"


def is_superseded_model(directory: Path) -> bool:
    """Say whether a directory that no kept release names is a model of model_store, or a download given up."""
    if MODEL.fullmatch(directory.name):
        return (directory / MANIFEST).is_file()
    if UNFINISHED.fullmatch(directory.name):
        touched = max(path.lstat().st_mtime for path in [directory, *directory.rglob("*")])
        return time.time() - touched > RESUMABLE
    return False
