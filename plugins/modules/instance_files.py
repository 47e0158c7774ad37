#!/usr/bin/python
"""Write files, make directories and enable systemd units on the instance in one session.

An own module: templates in a loop share one session, but directories and the units that belong to them would be two
tasks more, each with a session of its own.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_files
short_description: Write small text files, make directories and enable systemd units
description:
  - Each file is written whole beside its path and renamed, so that a reader sees the old one or the new one.
  - Never for secrets. A module's arguments travel through S3 in plain text.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Path of the file; its directory is made when it is missing.
        type: path
        required: true
      content:
        description: All of its text.
        type: str
        required: true
      mode:
        description: Its permissions, octal.
        type: str
        default: "0644"
      owner:
        description: Name of its owner.
        type: str
        default: root
      group:
        description: Name of its group.
        type: str
        default: root
  directories:
    description: Directories that have to exist, mode 0755.
    type: list
    elements: path
    default: []
  units:
    description: systemd units to enable; systemd reads its units again when a file changed. A timer is started as well.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Install a unit and enable it
  slm.serving.instance_files:
    files:
      - path: /etc/systemd/system/some.service
        content: "{{ lookup('ansible.builtin.template', 'some.service.j2') }}"
    units: [some.service]
"""

RETURN = r"""
changed_paths:
  description: The files and directories that were, or would be, written.
  type: list
  elements: str
  returned: success
"""

import grp
import pwd
import stat
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.files import write_file


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


def update_files(module: AnsibleModule) -> list[dict[str, str]]:
    """Write the files that differ; return their diffs."""
    diffs = []
    for file in module.params["files"]:
        path, mode = Path(file["path"]), int(file["mode"], 8)
        expected = (mode, pwd.getpwnam(file["owner"]).pw_uid, grp.getgrnam(file["group"]).gr_gid)
        content, attributes = state_of(path)
        if content == file["content"] and attributes == expected:
            continue
        headers = {"before_header": str(path), "after_header": str(path)}
        diffs.append({**headers, "before": content or "", "after": file["content"]})
        if not module.check_mode:
            write_file(module, path, file["content"], *expected)
    return diffs


def make_directories(module: AnsibleModule) -> list[str]:
    """Make the directories that are missing; return their paths."""
    missing = [name for name in module.params["directories"] if not Path(name).is_dir()]
    for name in missing if not module.check_mode else []:
        Path(name).mkdir(parents=True, mode=0o755)
    return missing


def enable_units(module: AnsibleModule, changed_names: set[str]) -> bool:
    """Enable the units that are not, and those whose file changed; say whether there were any.

    A timer that is only enabled would wait for the next boot.
    """
    changed = False
    for unit in module.params["units"]:
        is_timer = unit.endswith(".timer")
        missing, _, _ = module.run_command(["systemctl", "is-enabled", "--quiet", unit])
        if is_timer and not missing:
            missing, _, _ = module.run_command(["systemctl", "is-active", "--quiet", unit])
        # A changed unit may be wanted by other units than before.
        if missing or unit in changed_names:
            changed = True
            if not module.check_mode:
                module.run_command(["systemctl", "reenable", unit], check_rc=True)
                if is_timer:
                    module.run_command(["systemctl", "restart", unit], check_rc=True)
    return changed


def main() -> None:
    """Compare, and write what differs."""
    file_options: dict[str, Any] = {
        "path": {"type": "path", "required": True},
        "content": {"type": "str", "required": True},
        "mode": {"type": "str", "default": "0644"},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
    }
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "list", "elements": "dict", "required": True, "options": file_options},
            "directories": {"type": "list", "elements": "path", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    diffs = update_files(module)
    changed_paths = [diff["after_header"] for diff in diffs] + make_directories(module)
    if changed_paths and not module.check_mode:
        module.run_command(["systemctl", "daemon-reload"], check_rc=True)
    enabled = enable_units(module, {Path(path).name for path in changed_paths})
    module.exit_json(changed=bool(changed_paths) or enabled, changed_paths=changed_paths, diff=diffs)


if __name__ == "__main__":
    main()
