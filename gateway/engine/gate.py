"""A bound on the work at the engine at once, with a bounded queue before it, and a bound on what one client takes."""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

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


@dataclass(slots=True, eq=False)
class _Turn:
    """A request that waits for its slots."""

    number: int
    client: str
    count: int
    given: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    queued: bool = False


class Gate:
    """Slots for requests, given out in the order of arrival, and a queue of those that wait for theirs.

    A slot stands for one answer that the engine generates; a request for several answers takes several at once. One
    client holds a share of the slots and of the queue at most: its further requests wait while those of others pass
    them.
    """

    def __init__(
        self,
        *,
        concurrency: int,
        queue: int,
        queue_timeout: float,
        share: Callable[[], float] = lambda: 1.0,
        on_wait: Callable[[float], None] | None = None,
    ) -> None:
        """Make a gate.

        Args:
            concurrency: slots, that is, answers that are generated at once.
            queue: requests that may wait for slots.
            queue_timeout: longest wait, in seconds.
            share: returns the part of the slots and of the queue that one client may take now, above 0 up to 1; it may
                always take one of each.
            on_wait: called with the seconds of each wait that ended with a slot.
        """
        self._concurrency = concurrency
        self._max_queue = queue
        self._queue_timeout = queue_timeout
        self._share = share
        self._held: Counter[str] = Counter()
        self._queues: dict[str, deque[_Turn]] = {}
        self._arrivals = 0
        self._service_seconds = 1.0
        self._on_wait = on_wait
        self.running = 0
        self.waiting = 0

    @property
    def most_slots(self) -> int:
        """Slots that one client may hold at once."""
        return self._part(self._concurrency)

    @asynccontextmanager
    async def slot(self, client: str = "", count: int = 1) -> AsyncIterator[None]:
        """Hold slots while the context lasts.

        Args:
            client: who asks; its slots and waiting requests are counted together.
            count: slots, `most_slots` at most, or none will ever be given.

        Raises:
            RefusedError: the queue is full, or the slots did not become free in time.
        """
        self._arrivals += 1
        turn = _Turn(self._arrivals, client, count)
        if client not in self._queues and self._fits(turn) and self._next() is None:
            self._take(turn)
        else:
            await self._wait(turn)
        began = time.monotonic()
        try:
            yield
        finally:
            self._service_seconds += 0.1 * (time.monotonic() - began - self._service_seconds)
            self._leave(turn)

    async def _wait(self, turn: _Turn) -> None:
        self._enqueue(turn)
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._queue_timeout):
                await turn.given
        except BaseException as error:
            if turn.given.done() and not turn.given.cancelled():
                # The slots were given in the same moment; they go to the next in the queue.
                self._leave(turn)
            else:
                self._dequeue(turn)
                # It may have been what kept the next one waiting.
                self._give()
            if isinstance(error, TimeoutError):
                raise RefusedError("queue_timeout", "no slot became free in time", self._estimate()) from None
            raise
        if self._on_wait is not None:
            self._on_wait(time.monotonic() - began)

    def _enqueue(self, turn: _Turn) -> None:
        """Put a request into the queue.

        Raises:
            RefusedError: there is no room for it.
        """
        if self.waiting >= self._max_queue:
            raise RefusedError("queue_full", "all slots are taken and the queue is full", self._estimate())
        if len(self._queues.get(turn.client, ())) >= self._part(self._max_queue):
            detail = "this key has taken its share of the slots and of the queue"
            raise RefusedError("share_taken", detail, self._estimate())
        self._queues.setdefault(turn.client, deque()).append(turn)
        turn.queued = True
        self.waiting += 1

    def _dequeue(self, turn: _Turn) -> None:
        if not turn.queued:
            return
        turn.queued = False
        queue = self._queues[turn.client]
        queue.remove(turn)
        self.waiting -= 1
        if not queue:
            del self._queues[turn.client]

    def _take(self, turn: _Turn) -> None:
        self.running += turn.count
        self._held[turn.client] += turn.count

    def _leave(self, turn: _Turn) -> None:
        self.running -= turn.count
        self._held[turn.client] -= turn.count
        if not self._held[turn.client]:
            del self._held[turn.client]
        self._give()

    def _give(self) -> None:
        """Give free slots to those whose turn it is."""
        while (turn := self._next()) is not None and self._fits(turn):
            self._dequeue(turn)
            # One that was cancelled a moment ago has not left the queue yet.
            if not turn.given.done():
                self._take(turn)
                turn.given.set_result(None)

    def _next(self) -> _Turn | None:
        """Return the first in the queue of those whose clients have not taken their share.

        It comes before all later ones even if it needs more slots than are free, so that it is not passed for ever.
        """
        heads = [queue[0] for queue in self._queues.values() if self._within_share(queue[0])]
        return min(heads, key=lambda turn: turn.number, default=None)

    def _fits(self, turn: _Turn) -> bool:
        return self.running + turn.count <= self._concurrency and self._within_share(turn)

    def _within_share(self, turn: _Turn) -> bool:
        return self._held[turn.client] + turn.count <= self.most_slots

    def _part(self, whole: int) -> int:
        return min(whole, max(1, int(whole * self._share())))

    def _estimate(self) -> int:
        """Estimate the seconds until the present queue has passed, from how long requests took lately."""
        rounds = (self.waiting + 1) / self._concurrency
        return min(60, max(1, math.ceil(rounds * self._service_seconds)))
