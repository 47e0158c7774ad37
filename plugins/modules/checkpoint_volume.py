#!/usr/bin/python
"""Mount an EBS volume by its id, and never format one that holds anything.

An own module: that a device is empty has to be looked at, not assumed, and the ready modules for file systems ask blkid
alone, which knows signatures and not data.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run

DOCUMENTATION = r"""
module: checkpoint_volume
short_description: Mount an EBS volume by its id
description:
  - Finds the device by the serial number that EC2 gives it, waits until it is there, and mounts it.
  - A device without a file system is only formatted when it is told so and when nothing at all is on it.
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
    description: Whether to make a file system on a device that is empty.
    type: bool
    default: false
  timeout:
    description: Seconds until the device has to be there.
    type: int
    default: 60
"""

RETURN = r"""
device:
  description: The device.
  type: str
formatted:
  description: Whether a file system was made.
  type: bool
"""

MIB = 1 << 20
HEAD_MIB, SAMPLES = 64, 64
MOUNTED_TYPES = ("ext4", "xfs")


class VolumeError(Exception):
    """Why the volume is not mounted, in words for the operator."""


def devices() -> list[dict]:
    """Return what lsblk says of all block devices, each with its children."""
    columns = "NAME,PATH,TYPE,SERIAL,SIZE,MOUNTPOINT"
    listed = run(["lsblk", "--json", "--bytes", "--output", columns])
    if listed.returncode != 0:
        raise VolumeError(f"lsblk does not tell the devices: {last_line(listed.stderr)}")
    return json.loads(listed.stdout)["blockdevices"]


def find(listed: list[dict], volume: str, device: str) -> dict | None:
    """Return a volume's device, by its serial number or, if one is named, by its path; None when it is not there."""
    if device:
        # The path may be a link that EC2's rules made.
        wanted = os.path.realpath(device)
        return next((each for each in listed if each["path"] == wanted), None)
    serial = volume.replace("-", "")
    return next((each for each in listed if (each.get("serial") or "").replace("-", "") == serial), None)


def signature(path: str) -> dict[str, str]:
    """Return what blkid finds on a device, by its own keys (TYPE, PTTYPE); empty when it knows nothing on it."""
    probed = run(["blkid", "--probe", "--output", "export", path])
    if probed.returncode == 2:
        return {}
    if probed.returncode != 0:
        raise VolumeError(
            f"what is on {path} is not clear to blkid (exit status {probed.returncode}: {last_line(probed.stderr)});"
            " it was left alone"
        )
    return dict(line.split("=", 1) for line in probed.stdout.splitlines() if "=" in line)


def is_empty(path: str, size: int) -> bool:
    """Say whether nothing but zeros is at the beginning, the end and at many places between; so is a new EBS volume."""
    places = {0, max(0, size - MIB), *(size * part // SAMPLES for part in range(SAMPLES))}
    with Path(path).open("rb") as stream:
        for place in sorted(places):
            stream.seek(place)
            if any(stream.read(HEAD_MIB * MIB if place == 0 else MIB)):
                return False
    return True


def judge(volume: str, device: dict, found: dict[str, str], empty: bool, may_format: bool, mountpoint: str) -> str:
    """Return what is to be done, `nothing`, `mount` or `format`; raises VolumeError for all that might lose data."""
    name = f"The volume {volume} ({device['path']})"
    if device.get("mountpoint") == mountpoint:
        return "nothing"
    if device.get("mountpoint"):
        raise VolumeError(f"{name} is mounted on {device['mountpoint']} already, not on {mountpoint}")
    if device.get("children") or found.get("PTTYPE"):
        raise VolumeError(f"{name} is partitioned; give one that has its file system on the whole of it, or a new one")
    if found.get("TYPE") in MOUNTED_TYPES:
        return "mount"
    if found:
        kind = found.get("TYPE") or found.get("USAGE") or "something"
        raise VolumeError(f"{name} holds {kind}, which is neither of {', '.join(MOUNTED_TYPES)}; it was left alone")
    if not empty:
        raise VolumeError(f"{name} holds data and no file system that is known here; it was left alone")
    if not may_format:
        raise VolumeError(f"{name} is empty. To have a file system made on it: -e finetune_volume_format=true")
    return "format"


def wait_for(volume: str, device: str, timeout: float) -> dict:
    """Return the device as soon as it is there; raises VolumeError."""
    deadline = time.monotonic() + timeout
    while True:
        found = find(devices(), volume, device)
        if found:
            return found
        if time.monotonic() > deadline:
            raise VolumeError(
                f"no device of the volume {volume} appeared within {timeout:.0f} s. Is it attached to this instance?"
                " Where serial numbers are not shown, name its device with -e finetune_volume_device=/dev/..."
            )
        time.sleep(1)


def mounted_source(mountpoint: str) -> str:
    """Return what is mounted on a directory itself; empty when nothing is."""
    return run(["findmnt", "--noheadings", "--output", "SOURCE", "--mountpoint", mountpoint]).stdout.strip()


def bring(options: dict, check: bool) -> dict:
    """Mount the volume; raises VolumeError, StackError and OSError."""
    mountpoint = options["mountpoint"]
    device = wait_for(options["volume"], options["device"], options["timeout"])
    path = device["path"]
    there = mounted_source(mountpoint)
    if there and there != path:
        raise VolumeError(f"{mountpoint} is taken by {there}")
    if there:
        device = {**device, "mountpoint": mountpoint}
    found = {} if there else signature(path)
    empty = not found and not there and is_empty(path, int(device["size"]))
    todo = judge(options["volume"], device, found, empty, options["format"], mountpoint)
    answer = {"changed": todo != "nothing", "device": path, "formatted": todo == "format"}
    if check or todo == "nothing":
        return answer
    if todo == "format":
        # mkfs asks nothing here: it refuses by itself what it recognises only on a terminal.
        made = run(["mkfs.ext4", "-q", "-L", "slm-training", path], timeout=600)
        if made.returncode != 0:
            raise VolumeError(f"no file system could be made on {path}: {last_line(made.stderr)}")
    Path(mountpoint).mkdir(parents=True, exist_ok=True)
    mounted = run(["mount", "-o", "nodev,nosuid", path, mountpoint])
    if mounted.returncode != 0:
        raise VolumeError(f"{path} could not be mounted: {last_line(mounted.stderr)}")
    return answer


def main() -> None:
    """Look, and mount."""
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
        answer = bring(module.params, module.check_mode)
    except (VolumeError, StackError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
