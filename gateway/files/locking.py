"""A file that one process at a time adds to."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO


class LockedError(Exception):
    """Another process has the file."""


def open_locked(path: Path, mode: int = 0o666) -> BinaryIO:
    """Open a file for reading and appending, for this process alone; make it where it is not there.

    Args:
        path: of the file; a symbolic link is followed.
        mode: of a new file, which the umask narrows.

    Raises:
        LockedError: another process has it.
        OSError: it cannot be opened.
    """
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, mode), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise LockedError from None
        except OSError:
            return file  # a file system without locks
        if _is_still_there(file, path):
            return file
        # Between the two calls another process replaced the file, and what is written to the old one is lost.
        file.close()


def _is_still_there(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
