"""Whether the engine produces tokens. A port that is open, or an engine's own /health, does not say so (vllm#39863)."""

import asyncio
import time

from gateway.engine.engine import Engine

_FRESH_SECONDS = 2.0
_RECHECK_DOWN_SECONDS = 1.0
_PROBE_TIMEOUT = 5.0


class Readiness:
    """Answers from the tokens of the last seconds; when there were none, has the engine make one."""

    def __init__(self, engine: Engine, model: str) -> None:
        """Take the engine and the model that the probe asks for."""
        self._engine = engine
        self._model = model
        self._down_until = 0.0
        self._probe: asyncio.Task[bool] | None = None

    async def check(self) -> bool:
        """Whether the engine made a token in the last seconds or makes one now.

        However many ask at once, one probe runs, and after a failed one none for a second.
        """
        now = time.monotonic()
        if now - self._engine.last_token_at < _FRESH_SECONDS:
            return True
        if now < self._down_until:
            return False
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._engine.produces_tokens(self._model, within=_PROBE_TIMEOUT))
        # Shielded: one asker that goes away must not fail the others.
        alive = await asyncio.shield(self._probe)
        if not alive:
            self._down_until = time.monotonic() + _RECHECK_DOWN_SECONDS
        return alive
