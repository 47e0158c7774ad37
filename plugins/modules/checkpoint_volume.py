#!/usr/bin/python
"""Mount an EBS volume by its id, and never format one that holds anything.

An own module: that a device is empty has to be read from it, not assumed, and the ready modules for file systems ask
blkid alone, which knows signatures and not data.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_volume
short_description: Mount an EBS volume by its id
description:
  - Finds the device by the serial number that EC2 gives it, waits until it appears, and mounts it.
  - A device without a file system is only formatted when C(format) says so and when nothing at all is on it.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  volume:
    description: Id of the volume.
    type: str
    required: true
  device:
    description: The device, where the serial number is not shown (instances that are not of the Nitro kind).
    type: path
    default: ""
  mountpoint:
    description: Where to mount it.
    type: path
    required: true
  format:
    description: Whether to make a file system on an empty device.
    type: bool
    default: false
  timeout:
    description: Seconds until the device has to appear.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Mount the volume for the checkpoints
  slm.serving.checkpoint_volume:
    volume: vol-0123456789abcdef0
    mountpoint: /var/lib/slm-ft-serving/training
"""

RETURN = r"""
device:
  description: The device.
  type: str
  returned: success
formatted:
  description: Whether a file system was made.
  type: bool
  returned: success
"""

import json
import os
import time
from pathlib import Path
from typing import Any, TypedDict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run

MIB = 1 << 20
HEAD_MIB, SAMPLES = 64, 64
MOUNTED_TYPES = ("ext4", "xfs")


class VolumeError(Exception):
    """Why the volume is not mounted, in words for the operator."""


class _Device(TypedDict):
    path: str
    size: int
    mountpoint: str | None


class Device(_Device, total=False):
    """A block device as lsblk lists it; size in bytes."""

    serial: str | None
    children: list[Device]


def devices() -> list[Device]:
    """Return all block devices. Raises VolumeError."""
    columns = "NAME,PATH,TYPE,SERIAL,SIZE,MOUNTPOINT"
    listed = run(["lsblk", "--json", "--bytes", "--output", columns])
    if listed.returncode != 0:
        raise VolumeError(f"lsblk does not list the devices: {last_line(listed.stderr)}")
    listing: list[Device] = json.loads(listed.stdout)["blockdevices"]
    return listing


def find(listed: list[Device], volume: str, device: str) -> Device | None:
    """Return a volume's device by its path, if `device` names one, else by its serial number; None without it."""
    if device:
        # The path may be a link that EC2's rules made.
        target = os.path.realpath(device)
        return next((each for each in listed if each["path"] == target), None)
    serial = volume.replace("-", "")
    return next((each for each in listed if (each.get("serial") or "").replace("-", "") == serial), None)


def signature(path: str) -> dict[str, str]:
    """Return what blkid finds on a device, by its own keys (TYPE, PTTYPE); empty when it knows nothing.

    Raises:
        VolumeError: it fails.
    """
    probed = run(["blkid", "--probe", "--output", "export", path])
    if probed.returncode == 2:
        return {}
    if probed.returncode != 0:
        raise VolumeError(
            f"blkid cannot tell what is on {path} (exit status {probed.returncode}: {last_line(probed.stderr)});"
            " it was not changed"
        )
    return dict(line.split("=", 1) for line in probed.stdout.splitlines() if "=" in line)


def is_empty(path: str, size: int) -> bool:
    """Say whether the beginning, the end and many samples between hold only zeros, as on a new EBS volume."""
    offsets = {0, max(0, size - MIB), *(size * part // SAMPLES for part in range(SAMPLES))}
    with Path(path).open("rb") as stream:
        for offset in sorted(offsets):
            stream.seek(offset)
            if any(stream.read(HEAD_MIB * MIB if offset == 0 else MIB)):
                return False
    return True


def decide(volume: str, device: Device, content: dict[str, str], empty: bool, may_format: bool, mountpoint: str) -> str:
    """Return what is to be done with a volume: `nothing`, `mount` or `format`.

    Args:
        volume: its id, for messages.
        device: its device.
        content: what `signature` says of it.
        empty: whether nothing is on it.
        may_format: whether an empty one may be formatted.
        mountpoint: where it belongs.

    Raises:
        VolumeError: whatever was done might lose data.
    """
    name = f"The volume {volume} ({device['path']})"
    if device.get("mountpoint") == mountpoint:
        return "nothing"
    if device.get("mountpoint"):
        raise VolumeError(f"{name} is mounted on {device['mountpoint']} already, not on {mountpoint}")
    if device.get("children") or content.get("PTTYPE"):
        raise VolumeError(f"{name} is partitioned; give one that has its file system on the whole of it, or a new one")
    if content.get("TYPE") in MOUNTED_TYPES:
        return "mount"
    if content:
        kind = content.get("TYPE") or content.get("USAGE") or "something"
        raise VolumeError(f"{name} holds {kind}, which is neither of {', '.join(MOUNTED_TYPES)}; it was not changed")
    if not empty:
        raise VolumeError(f"{name} holds data and no file system that this module knows; it was not changed")
    if not may_format:
        raise VolumeError(f"{name} is empty. To have it formatted: -e finetune_volume_format=true")
    return "format"


def wait_for(volume: str, device: str, timeout: float) -> Device:
    """Return the device as soon as it appears; raise VolumeError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        attached = find(devices(), volume, device)
        if attached:
            return attached
        if time.monotonic() > deadline:
            raise VolumeError(
                f"no device of the volume {volume} appeared within {timeout:.0f} s. Is it attached to this instance?"
                " Where serial numbers are not shown, name its device with -e finetune_volume_device=/dev/..."
            )
        time.sleep(1)


def mounted_source(mountpoint: str) -> str:
    """Return what is mounted on a directory itself; empty when nothing is."""
    return run(["findmnt", "--noheadings", "--output", "SOURCE", "--mountpoint", mountpoint]).stdout.strip()


def mount(options: dict[str, Any], check: bool) -> dict[str, Any]:
    """Mount the volume, unless `check`; return the module's result. Raises VolumeError, StackError and OSError."""
    mountpoint = options["mountpoint"]
    device = wait_for(options["volume"], options["device"], options["timeout"])
    path = device["path"]
    mounted = mounted_source(mountpoint)
    if mounted and mounted != path:
        raise VolumeError(f"{mountpoint} is taken by {mounted}")
    if mounted:
        device["mountpoint"] = mountpoint
    content = {} if mounted else signature(path)
    empty = not content and not mounted and is_empty(path, int(device["size"]))
    step = decide(options["volume"], device, content, empty, options["format"], mountpoint)
    result = {"changed": step != "nothing", "device": path, "formatted": step == "format"}
    if check or step == "nothing":
        return result
    if step == "format":
        # mkfs asks nothing here: it refuses by itself what it recognises only on a terminal.
        made = run(["mkfs.ext4", "-q", "-L", "slm-training", path], timeout=600)
        if made.returncode != 0:
            raise VolumeError(f"no file system could be made on {path}: {last_line(made.stderr)}")
    Path(mountpoint).mkdir(parents=True, exist_ok=True)
    mounting = run(["mount", "-o", "nodev,nosuid", path, mountpoint])
    if mounting.returncode != 0:
        raise VolumeError(f"{path} could not be mounted: {last_line(mounting.stderr)}")
    return result


def main() -> None:
    """Mount."""
    module = AnsibleModule(
        argument_spec={
            "volume": {"type": "str", "required": True},
            "device": {"type": "path", "default": ""},
            "mountpoint": {"type": "path", "required": True},
            "format": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    try:
        result = mount(module.params, module.check_mode)
    except (VolumeError, StackError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
