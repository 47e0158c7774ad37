"""The certificate that the members of pooled engines share, made as preflight says."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from ansible_collections.slm.serving.plugins.filter.engine_pool import COMMAND

NAME = "engine-pool.slm-ft-serving.internal"


def make(folder: Path, name: str = NAME) -> str:
    """Return certificate and key in PEM.

    Args:
        folder: Where the command leaves them.
        name: That the certificate is of.
    """
    command = shlex.split(COMMAND.format(name=name))
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return "".join((folder / file).read_text(encoding="ascii") for file in ("certificate.pem", "key.pem"))
