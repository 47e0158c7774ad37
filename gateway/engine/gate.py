"""Who may come in now: a bound on concurrency with a bounded queue before it, and a rate limit for each key."""

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_MAX_BUCKETS = 10_000


class RefusedError(Exception):
    """No room now. `retry_after` is in whole seconds, `reason` a fixed word."""

    def __init__(self, reason: str, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.reason = reason
        self.retry_after = retry_after


class Gate:
    """Lets a number of requests run at once, in the order of their coming, and a number wait."""

    def __init__(
        self, *, concurrency: int, queue: int, queue_timeout: float, on_wait: Callable[[float], None] | None = None
    ) -> None:
        """Take how many run at once, how many may wait, the longest wait in seconds, and whom to tell of each wait."""
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
    async def place(self) -> AsyncIterator[None]:
        """Hold a place while the context lasts.

        Raises:
            RefusedError: the queue is full, or no place came free in time.
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
            raise RefusedError("queue_full", "all places are taken and the queue is full", self._estimate())
        began = time.monotonic()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._queue_timeout):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                # The place was given in the same moment; it goes to the next.
                self._leave()
            else:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise RefusedError("queue_timeout", "no place came free in time", self._estimate()) from None
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
        """Seconds until the queue as it stands will have passed, from how long requests took of late."""
        rounds = (len(self._waiting) + 1) / self._concurrency
        return min(60, max(1, math.ceil(rounds * self._service_seconds)))


class RateLimiter:
    """A token bucket for each client: `count` requests in `period` seconds, which may come in one burst."""

    def __init__(self, count: int, period: float) -> None:
        """Take the requests and the seconds they are for."""
        self._capacity = float(count)
        self._per_second = count / period
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Count one request.

        Raises:
            RefusedError: the client has used up its rate; `retry_after` is when its next request will pass.
        """
        now = time.monotonic()
        level, at = self._buckets.pop(client, (self._capacity, now))
        level = min(self._capacity, level + (now - at) * self._per_second)
        if level < 1.0:
            self._buckets[client] = (level, now)
            wait = max(1, math.ceil((1.0 - level) / self._per_second))
            raise RefusedError("rate_limit", "this key has used up its rate of requests", wait)
        self._buckets[client] = (level - 1.0, now)
        self._forget()

    def charge(self, client: str, requests: int) -> None:
        """Count `requests` more of a client that was let in; what they take beyond its rate, it waits for next time."""
        level, at = self._buckets.get(client, (self._capacity, time.monotonic()))
        self._buckets[client] = (level - requests, at)
        self._forget()

    def _forget(self) -> None:
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
