"""A salt of the engine's prefix cache for each client.

vLLM answers faster where its cache already holds the beginning of a prompt. Without a salt one client could measure
whether another has sent a certain text lately.
"""

import base64
import hmac
import secrets


class CacheSalts:
    """Makes the salts: 256 bits each, that only this process can compute.

    They change when the process starts again. That costs one reading of each prompt's common beginning, and leaves
    nothing to store or to steal.
    """

    def __init__(self) -> None:
        """Choose the secret."""
        self._secret = secrets.token_bytes(32)

    def of(self, client: str) -> str:
        """Return a client's salt, the same at each call."""
        return base64.urlsafe_b64encode(hmac.digest(self._secret, client.encode(), "sha256")).decode().rstrip("=")
