"""A circuit breaker: while the engine is down, requests fail at once and do not pile up against it."""

import math
import time

from gateway.errors import GatewayError


class CircuitOpenError(GatewayError):
    """The engine was down a moment ago."""

    status = 503

    def __init__(self, retry_after: int) -> None:
        """Make the error.

        Args:
            retry_after: whole seconds until a request is let through again.
        """
        super().__init__("the engine was not reachable a moment ago")
        self.retry_after = retry_after


class Circuit:
    """Opens after some failures in a row, lets one trial through after a pause, and closes when that succeeds."""

    def __init__(self, *, threshold: int = 5, pause: float = 2.0) -> None:
        """Make a closed circuit.

        Args:
            threshold: failures in a row that open it.
            pause: seconds until the first trial.
        """
        self._threshold = threshold
        self._pause = pause
        self._failures = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether requests are refused now."""
        return self.is_tripped and time.monotonic() < self._open_until

    @property
    def is_tripped(self) -> bool:
        """Whether it has opened and no trial has succeeded since."""
        return self._failures >= self._threshold

    def check(self) -> None:
        """Let a request pass.

        Raises:
            CircuitOpenError: while it is open; of the requests after the pause one passes, as the trial.
        """
        if not self.is_tripped:
            return
        now = time.monotonic()
        if now < self._open_until:
            raise CircuitOpenError(max(1, math.ceil(self._open_until - now)))
        self._open_until = now + self._pause

    def succeeded(self) -> None:
        """Note that the engine answered."""
        self._failures = 0

    def failed(self) -> None:
        """Note that the engine could not be reached."""
        self._failures += 1
        if self.is_tripped:
            self._open_until = time.monotonic() + self._pause
