"""Take secrets out of texts before anybody sees them."""

from __future__ import annotations

import re
from pathlib import Path

SECRETS = Path("/run/slm-ft-serving/secrets")
# Shapes of credentials that must not be shown even if they come from elsewhere than our own files.
CREDENTIALS = re.compile(r"hf_[A-Za-z0-9]{8,}|AKIA[A-Z0-9]{12,}|(?i:bearer)\s+\S+")
SHORTEST_SECRET = 6


def secret_values() -> list[str]:
    """Return every secret text that lies on the instance, the longest first."""
    values: set[str] = set()
    if SECRETS.is_dir():
        for path in SECRETS.rglob("*"):
            if path.is_file():
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                    values.update([line.strip(), line.strip().rpartition(":")[2]])
    return sorted((value for value in values if len(value) >= SHORTEST_SECRET), key=len, reverse=True)


def redact(text: str) -> str:
    """Return the text without the instance's secrets and without anything that looks like a credential."""
    for value in secret_values():
        text = text.replace(value, "[secret]")
    return CREDENTIALS.sub("[secret]", text)
