#!/usr/bin/python
"""Write several files on the instance in one session.

An own module, because a copy or template task costs a session and three transfers through S3 for every file.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: instance_files
short_description: Write several small text files at once
description:
  - Each file is written whole beside its place and renamed, so that a reader sees the old one or the new one.
  - Never for secrets. A module's arguments travel through S3 in plain text.
options:
  files:
    description: The files, each with C(path), C(content) and optionally C(mode), C(owner) and C(group).
    type: list
    elements: dict
    required: true
  directories:
    description: Directories that have to be there, mode 0755.
    type: list
    elements: path
    default: []
  units:
    description: systemd units to enable; systemd reads its units again when a file changed.
    type: list
    elements: str
    default: []
"""

RETURN = r"""
changed_paths:
  description: The files that were, or would be, written.
  type: list
"""


def state_of(path: Path) -> tuple[str | None, tuple[int, int, int] | None]:
    """Return the file's content and its (mode, uid, gid), or (None, None) when there is no such file."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None, None
    if not stat.S_ISREG(status.st_mode):
        return None, None
    attributes = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    return path.read_text(encoding="utf-8", errors="replace"), attributes


def write(path: Path, content: str, wanted: tuple[int, int, int]) -> None:
    """Write the file whole and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        mode, uid, gid = wanted
        os.chown(temporary, uid, gid)
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def main() -> None:
    """Compare, and write what differs."""
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str", "required": True},
                    "mode": {"type": "str", "default": "0644"},
                    "owner": {"type": "str", "default": "root"},
                    "group": {"type": "str", "default": "root"},
                },
            },
            "directories": {"type": "list", "elements": "path", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    changed_paths, diffs = [], []
    for file in module.params["files"]:
        path = Path(file["path"])
        wanted = (int(file["mode"], 8), pwd.getpwnam(file["owner"]).pw_uid, grp.getgrnam(file["group"]).gr_gid)
        content, attributes = state_of(path)
        if content == file["content"] and attributes == wanted:
            continue
        changed_paths.append(str(path))
        diffs.append(
            {
                "before_header": str(path),
                "after_header": str(path),
                "before": content or "",
                "after": file["content"],
            }
        )
        if not module.check_mode:
            write(path, file["content"], wanted)

    for directory in [Path(name) for name in module.params["directories"]]:
        if not directory.is_dir():
            changed_paths.append(str(directory))
            if not module.check_mode:
                directory.mkdir(parents=True, mode=0o755)

    changed = bool(changed_paths)
    if changed and not module.check_mode:
        module.run_command(["systemctl", "daemon-reload"], check_rc=True)
    for unit in module.params["units"]:
        enabled, _, _ = module.run_command(["systemctl", "is-enabled", "--quiet", unit])
        # A unit that changed may be wanted by others than before.
        if enabled != 0 or unit in {Path(path).name for path in changed_paths}:
            changed = True
            if not module.check_mode:
                module.run_command(["systemctl", "reenable", unit], check_rc=True)
    module.exit_json(changed=changed, changed_paths=changed_paths, diff=diffs)


if __name__ == "__main__":
    main()
