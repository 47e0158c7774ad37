"""The rate limit of each client."""

import pytest

from gateway.access.rate_limit import RateLimitedError, RateLimiter
from tests.gateway.conftest import StartGateway


def test_a_client_may_send_a_burst_and_then_at_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("gateway.access.rate_limit.time.monotonic", lambda: now)
    limiter = RateLimiter(2, 60.0)
    limiter.take("a")
    limiter.take("a")
    limiter.take("b")
    with pytest.raises(RateLimitedError) as caught:
        limiter.take("a")
    assert caught.value.retry_after == 30
    now += caught.value.retry_after
    limiter.take("a")
    with pytest.raises(RateLimitedError):
        limiter.take("a")


async def test_a_request_over_the_rate_is_a_429(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(rate_limit="2/hour")
    replies = [await gateway.extract() for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert 1700 < int(replies[2].headers["Retry-After"]) <= 1800
    assert (await gateway.call("GET", "/health")).status == 200  # is not limited
