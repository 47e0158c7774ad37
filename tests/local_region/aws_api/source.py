"""How a running API server is known again: by its status page, and by the source that it runs.

A module of its own, so that a caller who only asks need not load moto.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

SOURCES = (
    "aws_api/*.py",
    "docker/machine.py",
    "docker/containers.py",
    "docker/images.py",
    "docker/instance_container.py",
    "docker/load_balancer_container.py",
    "faults.py",
    "names.py",
    "environment.py",
    "operator_documents.py",
    "recorded_calls.py",
)


def source_digest() -> str:
    """Return a digest of the server's own source, by which `up` sees that a running server is an older one."""
    folder = Path(__file__).parents[1]
    joined = b"".join(path.read_bytes() for pattern in SOURCES for path in sorted(folder.glob(pattern)))
    return hashlib.sha256(joined).hexdigest()[:16]
