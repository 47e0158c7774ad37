"""A bound on the calls at the engine at once, with a bounded queue before it."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.errors import GatewayError


class RefusedError(GatewayError):
    """There is no room at the engine now."""

    status = 503

    def __init__(self, reason: str, detail: str, retry_after: int) -> None:
        """Make the error.

        Args:
            reason: a fixed word, for metrics.
            detail: a sentence for the client.
            retry_after: whole seconds until there may be room.
        """
        super().__init__(detail)
        self.reason = reason
        self.retry_after = retry_after


class Gate:
    """Slots for requests, given out in the order of arrival, and a queue of those that wait for one."""

    def __init__(
        self, *, concurrency: int, queue: int, queue_timeout: float, on_wait: Callable[[float], None] | None = None
    ) -> None:
        """Make a gate.

        Args:
            concurrency: slots, that is, requests that run at once.
            queue: requests that may wait for a slot.
            queue_timeout: longest wait, in seconds.
            on_wait: called with the seconds of each wait that ended with a slot.
        """
        self._concurrency = concurrency
        self._max_queue = queue
        self._queue_timeout = queue_timeout
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._service_seconds = 1.0
        self._on_wait = on_wait
        self.running = 0

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot while the context lasts.

        Raises:
            RefusedError: the queue is full, or no slot became free in time.
        """
        if self.running < self._concurrency and not self._waiting:
            self.running += 1
        else:
            await self._wait()
        began = time.monotonic()
        try:
            yield
        finally:
            self._service_seconds += 0.1 * (time.monotonic() - began - self._service_seconds)
            self._leave()

    async def _wait(self) -> None:
        if len(self._waiting) >= self._max_queue:
            raise RefusedError("queue_full", "all slots are taken and the queue is full", self._estimate())
        began = time.monotonic()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._queue_timeout):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                # The slot was given in the same moment; it goes to the next in the queue.
                self._leave()
            else:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise RefusedError("queue_timeout", "no slot became free in time", self._estimate()) from None
            raise
        if self._on_wait is not None:
            self._on_wait(time.monotonic() - began)

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1

    def _estimate(self) -> int:
        """Estimate the seconds until the present queue has passed, from how long requests took lately."""
        rounds = (len(self._waiting) + 1) / self._concurrency
        return min(60, max(1, math.ceil(rounds * self._service_seconds)))
