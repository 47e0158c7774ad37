"""Write a file whole: a reader sees the old content or the new one, never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def write_file(
    module: AnsibleModule,
    path: Path,
    content: str | bytes,
    mode: int = 0o644,
    owner: str | int | None = None,
    group: str | int | None = None,
) -> None:
    """Write a file beside its path, on the disk, and rename it; its SELinux context is kept or the path's default.

    Args:
        module: the module that runs; it fails when the file cannot be written.
        path: the file; its folder is made when it is missing.
        content: all of it.
        mode: permissions.
        owner: user; None leaves that of the present file, or the module's own.
        group: likewise.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    # A name that begins with a dot and ends in no known suffix: neither apt nor dnf nor systemd reads it.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".unfinished")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content if isinstance(content, bytes) else content.encode())
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        module.atomic_move(temporary, str(path))
    finally:
        Path(temporary).unlink(missing_ok=True)
    # A file that was there has handed its own permissions and owner on.
    module.set_mode_if_different(str(path), mode, changed=False)
    module.set_owner_if_different(str(path), owner, changed=False)
    module.set_group_if_different(str(path), group, changed=False)
