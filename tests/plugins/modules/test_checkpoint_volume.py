"""The volume for checkpoints: which device it is, and that nothing on it is ever formatted away.

No block device can be had in the local region's instance, so lsblk's answers are recorded ones, and image files stand
for devices: blkid and mkfs take them as well.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.modules import checkpoint_volume as volumes

VOLUME = "vol-0123456789abcdef0"
MOUNTPOINT = "/var/lib/slm-ft-serving/training"
MIB = 1 << 20
needs_tools = pytest.mark.skipif(
    not (shutil.which("blkid") and shutil.which("mkfs.ext4")), reason="blkid and mkfs.ext4 are Linux's"
)


def nvme(name: str, serial: str | None, **more: Any) -> Any:
    """One device as `lsblk --json --bytes` lists it on an instance of the Nitro kind."""
    return {
        "name": name,
        "path": f"/dev/{name}",
        "type": "disk",
        "serial": serial,
        "size": MIB,
        "mountpoint": None,
    } | more


DEVICES = [
    nvme("nvme0n1", "vol0aaaaaaaaaaaaaaaa", children=[nvme("nvme0n1p1", None, type="part", mountpoint="/")]),
    nvme("nvme1n1", "AWS1234567890ABCDEF"),  # an instance store
    nvme("nvme2n1", "vol0123456789abcdef0"),
]


def path_of(device: volumes.Device | None) -> str | None:
    return device["path"] if device else None


def test_device_is_found_by_the_serial_number_that_ec2_gives_it() -> None:
    assert path_of(volumes.find(DEVICES, VOLUME, "")) == "/dev/nvme2n1"


def test_no_other_device_is_taken_for_the_volume() -> None:
    assert volumes.find(DEVICES[:2], VOLUME, "") is None


def test_named_device_is_taken_where_serial_numbers_are_not_shown(tmp_path: Path) -> None:
    link = tmp_path / "sdf"
    link.symlink_to("/dev/nvme2n1")
    listed: Any = [{**each, "serial": None} for each in DEVICES]
    assert path_of(volumes.find(listed, VOLUME, str(link))) == "/dev/nvme2n1"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Make an image of 16 MiB that is empty, as a new volume is."""
    path = tmp_path / "image"
    with path.open("wb") as stream:
        stream.truncate(16 * MIB)
    return path


def decision(image: Path, *, may_format: bool = True, **device: Any) -> str:
    """Return what would be done with a device that holds what an image holds."""
    content = volumes.signature(str(image))
    empty = volumes.is_empty(str(image), image.stat().st_size)
    about = nvme("nvme2n1", None) | device
    return volumes.decide(VOLUME, about, content, empty, may_format, MOUNTPOINT)


@needs_tools
def test_empty_volume_is_formatted_only_when_allowed(image: Path) -> None:
    assert decision(image) == "format"
    with pytest.raises(volumes.VolumeError, match="is empty"):
        decision(image, may_format=False)


@needs_tools
def test_volume_with_a_file_system_is_mounted_and_never_formatted(image: Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    assert decision(image) == "mount"


@needs_tools
@pytest.mark.parametrize("offset", [0, 5 * MIB + 17, 16 * MIB - 1])
def test_volume_with_data_that_blkid_does_not_know_is_left_alone(image: Path, offset: int) -> None:
    with image.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"x")
    with pytest.raises(volumes.VolumeError, match="holds data"):
        decision(image)


@needs_tools
def test_swap_is_left_alone(image: Path) -> None:
    subprocess.run(["mkswap", str(image)], check=True, capture_output=True)
    with pytest.raises(volumes.VolumeError, match="holds swap"):
        decision(image)


@needs_tools
def test_partition_table_is_left_alone(image: Path) -> None:
    with image.open("r+b") as stream:
        stream.seek(446)
        # One entry of a DOS partition table: Linux, from sector 2048 on, 4096 sectors.
        stream.write(bytes([0, 0, 0, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") + (4096).to_bytes(4, "little"))
        stream.seek(510)
        stream.write(b"\x55\xaa")
    with pytest.raises(volumes.VolumeError, match="is partitioned"):
        decision(image)


@needs_tools
def test_partitions_and_other_mount_points_are_refused(image: Path) -> None:
    with pytest.raises(volumes.VolumeError, match="is partitioned"):
        decision(image, children=[nvme("nvme2n1p1", None)])
    with pytest.raises(volumes.VolumeError, match="is mounted on /srv already"):
        decision(image, mountpoint="/srv")


def test_mounted_volume_is_left_as_it_is() -> None:
    device = nvme("nvme2n1", None, mountpoint=MOUNTPOINT)
    assert volumes.decide(VOLUME, device, {}, False, True, MOUNTPOINT) == "nothing"
