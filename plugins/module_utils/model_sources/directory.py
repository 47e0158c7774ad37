"""Models in a directory on the instance, or on a disk mounted there."""

from __future__ import annotations

import errno
import json
import shutil
import urllib.parse
from pathlib import Path

from ansible_collections.slm.serving.plugins.module_utils.model_sources.base import (
    MANIFEST,
    DiskFullError,
    ModelError,
    ModelFile,
    Source,
    SourceOptions,
    checksum_of,
)


class DirectorySource(Source):
    """A directory on the instance, or on a disk mounted there."""

    def __init__(self, source: str, options: SourceOptions) -> None:
        """Parse file:///path."""
        del options
        self.source = source
        self.path = Path(urllib.parse.unquote(urllib.parse.urlparse(source).path))

    def files(self) -> dict[str, ModelFile]:
        """Return size and time of change by relative path."""
        if not self.path.is_dir():
            raise ModelError(f"the directory {self.path} of {self.source} does not exist on the instance")
        files = [path for path in sorted(self.path.rglob("*")) if path.is_file() and path.name != MANIFEST]
        return {
            str(path.relative_to(self.path)): {"size": path.stat().st_size, "changed": path.stat().st_mtime_ns}
            for path in files
        }

    def identity(self) -> str:
        """Return the text that changes when the content does."""
        return json.dumps(self.listing(), sort_keys=True)

    def read(self, name: str) -> bytes:
        """Return the content of a small file."""
        return (self.path / name).read_bytes()

    def head(self, name: str, size: int) -> bytes:
        """Return the first bytes of a file, `size` at most."""
        with (self.path / name).open("rb") as stream:
            return stream.read(size)

    def fetch(self, staging: Path, files: dict[str, ModelFile]) -> None:
        """Copy every file. Raises DiskFullError."""
        for name in files:
            target = staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(self.path / name, target)
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise DiskFullError(f"the disk of {staging.parent} is full") from error
                raise

    def problem(self, path: Path, name: str, file: ModelFile) -> str | None:
        """Return what is wrong with a copied file."""
        del file
        same = checksum_of(path, "sha256") == checksum_of(self.path / name, "sha256")
        return None if same else f"{name} changed while it was copied"
