"""An engine that cannot be reached, as while a release makes it anew: requests are held for it, within a budget."""

import asyncio
import time
from http import HTTPStatus

from gateway.engine.circuit import CircuitOpenError
from gateway.engine.errors import EngineError, EngineUnavailableError

# Seconds after which a held request asks again. Through an open circuit one of them passes, as the trial.
_LOOK_SECONDS = 0.25
# Failures before the engine had any of the request.
_NEVER_REACHED = frozenset({"refused", "dns", "unreachable", "connect_timeout"})
# An engine that ends answers 500 meanwhile: vLLM for two seconds, and its `/health` says 200 as long. One that fails on
# is not waited for.
_ENDING_SECONDS = 4.0


class Outage:
    """Says how long requests are held. The budget is the outage's, so that in a long one they fail at once.

    Attributes:
        held: requests that are held now.
    """

    def __init__(self, budget: float) -> None:
        """Begin with an engine that is up.

        Args:
            budget: seconds from the first failure in which requests are held.
        """
        self._budget = budget
        self._since: float | None = None
        self._failing_since: float | None = None
        self.held = 0

    def began(self) -> None:
        """Note that the engine could not be reached."""
        if self._since is None:
            self._since = time.monotonic()

    def failed(self) -> None:
        """Note that the engine answered with a failure of its own."""
        if self._failing_since is None:
            self._failing_since = time.monotonic()

    def ended(self) -> None:
        """Note that the engine answered."""
        self._since = self._failing_since = None

    async def hold(self, error: EngineError | CircuitOpenError, deadline: float) -> bool:
        """Wait a moment, and return whether the request may be sent again.

        Args:
            error: why it was not answered. Only a request that never reached the engine is sent again, or one that the
                engine failed for when it may be about to end.
            deadline: when the request's own time is over, by the event loop's clock.
        """
        since, budget = self._since, self._budget
        if isinstance(error, EngineError):
            if not isinstance(error, EngineUnavailableError):
                return False
            if (error.engine_status or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR:
                since, budget = self._failing_since, min(budget, _ENDING_SECONDS)
            elif error.reason not in _NEVER_REACHED:
                return False
        if since is None or time.monotonic() - since + _LOOK_SECONDS > budget:
            return False
        if asyncio.get_running_loop().time() + _LOOK_SECONDS > deadline:
            return False
        self.held += 1
        try:
            await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self.held -= 1
        return True
