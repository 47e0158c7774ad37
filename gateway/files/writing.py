"""Writing a result so that it is there whole or not at all, in the file that the user means."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from gateway.files.reading import STANDARD_INPUT

PRIVATE = 0o600


def is_stream(status: os.stat_result) -> bool:
    """Return whether something is a pipe or a device: it takes bytes, and has no content that could be kept."""
    return stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode)


def status_of(path: Path) -> os.stat_result | None:
    """Return the status of what a path leads to, through symbolic links; None where there is nothing yet.

    Raises:
        OSError: it cannot be said.
    """
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def others_can_read(status: os.stat_result) -> bool:
    """Return whether every user of the machine can read a file, as far as its own mode says."""
    return bool(status.st_mode & stat.S_IROTH)


def same_as_any(status: os.stat_result, inputs: Iterable[Path]) -> Path | None:
    """Return which of the inputs is this very file, whatever the names and links that lead to it; else None.

    A terminal or another device may be both.
    """
    if stat.S_ISCHR(status.st_mode):
        return None
    for path in inputs:
        try:
            if os.path.samestat(status, os.fstat(0) if path == STANDARD_INPUT else path.stat()):
                return path
        except OSError:
            continue  # an input that cannot be read is told of where it is read
    return None


def write_whole(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Write a file, replacing an earlier one's content.

    A symbolic link stays, and what it leads to is replaced. An earlier file's owner and mode stay. A pipe or device is
    written to as it is.

    Args:
        path: in a folder that exists.
        content: text is written as UTF-8; lone surrogates, which no encoding has, become "?".
        private: only the owner may read a new file.

    Raises:
        OSError: it cannot be written; an earlier file is as it was.
    """
    raw = content.encode("utf-8", "replace") if isinstance(content, str) else content
    before = status_of(path)
    if before is not None and is_stream(before):
        with path.open("wb") as stream:
            stream.write(raw)
        return
    target = Path(os.path.realpath(path))
    # In the same folder, so that the renaming cannot fail halfway; mkstemp lets only the owner read.
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            _set_access(handle, before, private=private)
            os.fsync(handle)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _set_access(handle: int, before: os.stat_result | None, *, private: bool) -> None:
    """Give a new file the owner and mode that it should have.

    Raises:
        OSError: the earlier file is another user's: replacing it would take it from them.
    """
    if before is None:
        os.fchmod(handle, PRIVATE if private else 0o666 & ~_umask())
        return
    now = os.fstat(handle)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        os.fchown(handle, before.st_uid, before.st_gid)
    os.fchmod(handle, stat.S_IMODE(before.st_mode))


def _umask() -> int:
    mask = os.umask(0o077)  # it can be read only by setting it
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Have the renaming survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
