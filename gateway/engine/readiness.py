"""Whether the engine produces tokens: an open port or the engine's own /health does not prove it (vllm#39863)."""

import asyncio
import time

from gateway.engine.engine import Engine

_RECHECK_DOWN_SECONDS = 1.0
_PROBE_TIMEOUT = 5.0
_LOOK_SECONDS = 0.1


class Readiness:
    """A readiness check that trusts the tokens of the traffic, and without any has the engine make one."""

    def __init__(self, engine: Engine, model: str) -> None:
        """Make a check.

        Args:
            engine: the engine.
            model: the model that the probe asks for a token.
        """
        self._engine = engine
        self._model = model
        self._down_until = 0.0
        self._probe: asyncio.Task[bool] | None = None

    async def check(self) -> bool:
        """Return whether the engine made a token in the last seconds or makes one now.

        Concurrent callers share one probe, and after a failed one none runs for a second. Where requests stand before
        the probe, their tokens answer for it.
        """
        if self._engine.makes_tokens():
            return True
        if time.monotonic() < self._down_until:
            return False
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._engine.produces_tokens(self._model, within=_PROBE_TIMEOUT))
        # `wait` leaves the probe to the other callers when this one is cancelled.
        while not (await asyncio.wait({self._probe}, timeout=_LOOK_SECONDS))[0]:
            if self._engine.makes_tokens():
                return True
        alive = self._probe.result() or self._engine.makes_tokens()
        if not alive:
            self._down_until = time.monotonic() + _RECHECK_DOWN_SECONDS
        return alive
