"""How a running API server is known again: by its status page, and by the source that it runs.

A module of its own, so that who only asks need not load moto.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

STATUS_PATH = "/_local-region"
SOURCES = (
    *("machine", "faults", "api_calls", "api_ec2", "api_ssm", "api_metadata", "api_policy", "api_server", "names"),
    *("containers", "instance_container"),
)


def source_digest() -> str:
    """Gives a digest of the server's own source, by which `up` sees that a running server is an older one."""
    folder = Path(__file__).parent
    joined = b"".join((folder / f"{module}.py").read_bytes() for module in SOURCES)
    return hashlib.sha256(joined).hexdigest()[:16]
