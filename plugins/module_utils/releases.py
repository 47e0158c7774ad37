"""Releases on the instance: directories under releases/, each with a release.yml, and two links.

`current` is the release that the containers run, `verified` the one that last passed its verification there. They
differ only between an activation and its verification, so whoever comes next, a boot included, knows what served.

`release.yml` is written as JSON, which every YAML parser reads, because the instance's Python has no YAML parser.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

RECORD = "release.yml"
CURRENT, VERIFIED = "current", "verified"
PREPARED, ACTIVATED, GOOD, FAILED = "prepared", "activated", "good", "failed"
STAMP = re.compile(r"\d{8}T\d{6}Z")


def now() -> str:
    """Return the time in UTC, as records hold it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def checksums(files: dict[str, str]) -> dict[str, str]:
    """Return the SHA-256 of each text, by the file's name."""
    return {name: hashlib.sha256(content.encode()).hexdigest() for name, content in files.items()}


class Releases:
    """The releases below a root directory."""

    def __init__(self, root: str) -> None:
        """Name the root directory, for example /opt/slm-ft-serving."""
        self.root = Path(root)
        self.directory = self.root / "releases"

    def path(self, stamp: str) -> Path:
        """Return a release's directory."""
        return self.directory / stamp

    @property
    def compose_file(self) -> Path:
        """Return the compose file of the current release, by the path that the systemd unit uses too."""
        return self.root / CURRENT / "compose.yml"

    def current(self) -> str | None:
        """Return the stamp that `current` points to, whether it is there or not; None without the link."""
        return self._target(CURRENT)

    def verified(self) -> str | None:
        """Return the stamp that `verified` points to, whether it is there or not; None without the link."""
        return self._target(VERIFIED)

    def _target(self, link: str) -> str | None:
        path = self.root / link
        return path.readlink().name if path.is_symlink() else None

    def point(self, link: str, stamp: str) -> None:
        """Point one of the two links to a release by one rename."""
        temporary = self.root / f".{link}.new"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path("releases") / stamp)
        temporary.replace(self.root / link)

    def clear_the_way(self) -> list[str]:
        """Move aside what lies where a directory or a link belongs; return the paths it was moved from."""
        links = [self.root / link for link in (CURRENT, VERIFIED)]
        foreign = [path for path in links if path.exists() and not path.is_symlink()]
        if (self.directory.exists() or self.directory.is_symlink()) and not self.directory.is_dir():
            foreign.append(self.directory)
        for path in foreign:
            path.rename(path.with_name(f"{path.name}.damaged-{time.time_ns()}"))
        return [str(path) for path in foreign]

    def stamps(self) -> list[str]:
        """Return the stamps of all the release directories, the newest first."""
        if not self.directory.is_dir():
            return []
        names = [path.name for path in self.directory.iterdir() if path.is_dir()]
        return sorted((name for name in names if STAMP.fullmatch(name)), reverse=True)

    def record(self, stamp: str) -> dict[str, Any]:
        """Return what a release's release.yml says; empty when it is missing or broken."""
        try:
            record = json.loads((self.path(stamp) / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def update(self, stamp: str, **fields: object) -> dict[str, Any]:
        """Change fields of a release's record, written whole; return the record."""
        record = {**self.record(stamp), **fields}
        path = self.path(stamp) / RECORD
        temporary = path.with_name(f".{RECORD}.new")
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
        return record

    def files(self, stamp: str) -> dict[str, str]:
        """Return the text files of a release, without its record and logs."""
        directory = self.path(stamp)
        if not directory.is_dir():
            return {}
        return {
            path.name: path.read_text(encoding="utf-8", errors="replace")
            for path in sorted(directory.iterdir())
            if path.is_file() and not path.name.startswith(".") and path.name != RECORD
        }

    def damage(self, stamp: str) -> str | None:
        """Return what is damaged of a release, by the checksums in its record; None when it is whole."""
        if not self.path(stamp).is_dir():
            return "its directory is missing"
        record = self.record(stamp)
        if not record:
            return f"{RECORD} is missing or cannot be read"
        recorded = record.get("files")
        if not isinstance(recorded, dict) or not recorded:
            return f"{RECORD} has no checksums"
        present = checksums(self.files(stamp))
        for name, checksum in recorded.items():
            if name not in present:
                return f"{name} is missing"
            if present[name] != checksum:
                return f"{name} is not as it was written"
        return None

    def is_good(self, stamp: str | None) -> bool:
        """Say whether a release passed its verification and is still whole."""
        return stamp is not None and self.record(stamp).get("result") == GOOD and self.damage(stamp) is None

    def good(self) -> list[str]:
        """Return the good releases, the one that was activated last first."""
        good = [stamp for stamp in self.stamps() if self.is_good(stamp)]
        return sorted(good, key=lambda stamp: (str(self.record(stamp).get("activated", "")), stamp), reverse=True)

    def rollback_target(self, from_stamp: str | None) -> str | None:
        """Return the good release to go back to from another one, or None.

        It is the one verified last, else the predecessor of `from_stamp`, else the good one activated last.
        """
        predecessor = self.record(from_stamp).get("previous") if from_stamp else None
        candidates = [self.verified(), predecessor, *self.good()]
        return next((stamp for stamp in candidates if stamp != from_stamp and self.is_good(stamp)), None)

    def superseded(self, keep_good: int, keep_failed: int) -> list[str]:
        """Return the releases that need not be kept any more.

        Kept are the current one and the one to go back to, the `keep_good` good ones activated last, and the
        `keep_failed` newest of the others, which have failed or are damaged.
        """
        current = self.current()
        good = self.good()
        kept = {current, self.verified(), self.rollback_target(current), *good[: max(keep_good, 1)]}
        others = [stamp for stamp in self.stamps() if stamp not in {*good, current}]
        kept.update(others[:keep_failed])
        return [stamp for stamp in self.stamps() if stamp not in kept]

    def remove(self, stamp: str) -> None:
        """Remove a release's directory."""
        shutil.rmtree(self.path(stamp))

    def abandoned(self) -> list[str]:
        """Return the releases whose deployment ended before it came to a result."""
        return [stamp for stamp in self.stamps() if self.record(stamp).get("result") in {PREPARED, ACTIVATED}]
