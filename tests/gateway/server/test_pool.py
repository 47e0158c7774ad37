"""Which connection makes room for another one."""

from gateway.server.limits import RESERVE
from gateway.server.pool import Pool


class Fake:
    """A connection."""

    evicted = False

    def evict(self) -> None:
        """Note that it was closed."""
        self.evicted = True


def test_the_connection_that_is_idle_for_longest_makes_room() -> None:
    pool = Pool(3)
    first, second, third, fourth = (Fake() for _ in range(4))
    for connection in (first, second, third):
        assert pool.add(connection)
    pool.mark(first, idle=False)
    pool.mark(first, idle=True)  # later than the second
    assert pool.add(fourth)
    assert [connection.evicted for connection in (first, second, third, fourth)] == [False, True, False, False]
    assert len(pool) == 3


def test_busy_connections_are_kept_and_further_ones_are_in_the_reserve() -> None:
    pool = Pool(1)
    busy = Fake()
    pool.add(busy)
    pool.mark(busy, idle=False)
    assert not pool.add(Fake())
    assert not pool.is_full
    assert not busy.evicted


def test_there_are_never_more_than_limit_and_reserve() -> None:
    pool = Pool(1)
    for _ in range(1 + RESERVE):
        connection = Fake()
        pool.add(connection)
        pool.mark(connection, idle=False)
    assert not pool.is_full
    pool.add(Fake())
    assert pool.is_full


def test_silent_connections_never_use_up_the_limit() -> None:
    pool = Pool(2)
    assert all(pool.add(Fake()) for _ in range(1000))
    assert len(pool) == 2


def test_a_connection_that_is_gone_counts_no_more_and_is_not_closed_again() -> None:
    pool = Pool(1)
    gone = Fake()
    pool.add(gone)
    pool.remove(gone)
    pool.mark(gone, idle=True)
    assert pool.add(Fake())
    assert not gone.evicted
