"""A rate limit for each client, as a token bucket."""

import math
import time
from collections import OrderedDict

from gateway.errors import GatewayError

_MAX_BUCKETS = 10_000


class RateLimitedError(GatewayError):
    """The client has used up its rate; `retry_after` is when its next request will pass."""

    status = 429

    def __init__(self, retry_after: int) -> None:
        """Make the error.

        Args:
            retry_after: whole seconds until the client's next request will pass.
        """
        super().__init__("this key has used up its rate of requests")
        self.retry_after = retry_after


class RateLimiter:
    """A token bucket for each client: `count` requests in `period` seconds, which may come in one burst."""

    def __init__(self, count: int, period: float) -> None:
        """Make a limiter.

        Args:
            count: requests that a client may send in a period.
            period: seconds.
        """
        self._capacity = float(count)
        self._per_second = count / period
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Count one request.

        Raises:
            RateLimitedError: the client has used up its rate.
        """
        now = time.monotonic()
        level, at = self._buckets.pop(client, (self._capacity, now))
        level = min(self._capacity, level + (now - at) * self._per_second)
        if level < 1.0:
            self._buckets[client] = (level, now)
            raise RateLimitedError(max(1, math.ceil((1.0 - level) / self._per_second)))
        self._buckets[client] = (level - 1.0, now)
        self._forget()

    def charge(self, client: str, requests: int) -> None:
        """Count `requests` more of a client that was admitted; the excess over its rate delays its next request."""
        level, at = self._buckets.get(client, (self._capacity, time.monotonic()))
        self._buckets[client] = (level - requests, at)
        self._forget()

    def _forget(self) -> None:
        if len(self._buckets) > _MAX_BUCKETS:
            self._buckets.popitem(last=False)
