"""The digest in the lines of a results file of `extract --jsonl`, for who writes them and who reads them.

It says which text a result is of. It is keyed by a salt that is made for each file and stands before it, so that equal
notes do not show in two files, and known notes have to be tried for each file anew.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

_DIGITS = 32


def new_salt() -> str:
    """Return a salt for a new file."""
    return secrets.token_hex(8)


def salt_of(digest: str) -> str | None:
    """Return the salt that a digest was made with; None where it has none, as in versions up to 0.2.0."""
    salt, separator, _ = digest.partition(":")
    return salt if separator else None


def text_digest(text: str, salt: str | None) -> str:
    """Return a text's digest, with its salt before it."""
    raw = text.encode("utf-8", "surrogatepass")
    if salt is None:
        return hashlib.sha256(raw).hexdigest()[:16]
    return f"{salt}:{hmac.new(salt.encode(), raw, hashlib.sha256).hexdigest()[:_DIGITS]}"
