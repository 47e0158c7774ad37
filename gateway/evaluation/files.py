"""Writing a result so that it is there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file, replacing an earlier one.

    Args:
        path: in a folder that exists.
        text: its content; lone surrogates, which no encoding has, become "?".
        private: only the owner may read it.

    Raises:
        OSError: it cannot be written; an earlier file is as it was.
    """
    # In the same folder, so that the renaming cannot fail halfway; mkstemp lets only the owner read.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        if not private:
            temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
