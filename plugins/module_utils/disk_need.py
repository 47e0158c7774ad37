"""How much disk images and models take: one arithmetic for provisioning, before anything is uploaded, and preflight.

Runs on the instance too.
"""

from __future__ import annotations

GIB = 1024**3
# An image unpacked, with the compressed layers beside it while they come; Docker 29 keeps those for good.
UNPACKED = 3.5
# Bytes that have to stay free.
RESERVE = 2 * GIB


def image_bytes(compressed: float, factor: float = UNPACKED) -> int:
    """Return the bytes that images take.

    Args:
        compressed: bytes of their compressed layers.
        factor: how many times that they take on the disk.
    """
    return int(compressed * factor)


def needed_bytes(compressed: float, models: float, *, reserve: int = RESERVE, factor: float = UNPACKED) -> int:
    """Return the bytes that have to be free before a deployment.

    Args:
        compressed: bytes of the images' compressed layers.
        models: bytes of the models.
        reserve: bytes that have to stay free.
        factor: how many times their compressed bytes images take.
    """
    return image_bytes(compressed, factor) + int(models) + reserve


def volume_gib(snapshot_gib: int, needed: int) -> int:
    """Return the GiB that a volume has to have at least.

    Args:
        snapshot_gib: size of the machine image's snapshot, which the image may fill.
        needed: bytes that come to it.
    """
    return snapshot_gib + -(-needed // GIB)
