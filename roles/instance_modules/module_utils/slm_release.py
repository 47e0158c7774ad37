"""Releases on the instance: directories under releases/, each with a release.yml, and the `current` link.

`release.yml` is written as JSON, which every YAML parser reads, because the instance's Python has no YAML parser.
"""

from __future__ import annotations

import json
from pathlib import Path

RECORD = "release.yml"
PREPARED, ACTIVATED, GOOD, FAILED = "prepared", "activated", "good", "failed"


class Releases:
    """The releases below a root directory."""

    def __init__(self, root: str) -> None:
        """Take the root, for example /opt/slm-ft-serving."""
        self.root = Path(root)
        self.directory = self.root / "releases"
        self.link = self.root / "current"

    def path(self, stamp: str) -> Path:
        """Return a release's directory."""
        return self.directory / stamp

    def current(self) -> str | None:
        """Return the stamp that `current` points to, or None."""
        return self.link.readlink().name if self.link.is_symlink() else None

    def record(self, stamp: str) -> dict:
        """Return what a release's release.yml says; empty when it is missing or broken."""
        try:
            record = json.loads((self.path(stamp) / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def update(self, stamp: str, **fields: object) -> dict:
        """Change fields of a release's record, written whole; return the record."""
        record = {**self.record(stamp), **fields}
        path = self.path(stamp) / RECORD
        temporary = path.with_name(f".{RECORD}.new")
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
        return record

    def good(self, besides: str | None = None) -> str | None:
        """Return the newest release that passed verification, other than `besides`; None when there is none."""
        stamps = sorted((path.name for path in self.directory.glob("[0-9]*") if path.is_dir()), reverse=True)
        return next((stamp for stamp in stamps if stamp != besides and self.record(stamp).get("result") == GOOD), None)

    def switch(self, stamp: str) -> None:
        """Point `current` to a release by one rename."""
        temporary = self.root / ".current.new"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path("releases") / stamp)
        temporary.replace(self.link)
