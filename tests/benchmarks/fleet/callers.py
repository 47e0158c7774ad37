"""Sends extractions from a number of callers, tries again what never began to be answered, and counts what is lost.

    python -m tests.benchmarks.fleet.callers URL BODIES.jsonl --callers 30 --seconds 10 --tries 2 --pause 0

Each caller sends its next request when its last one is answered or lost, and ends what it has begun when the time is
over or SIGTERM comes, so that every request that was sent is counted. Prints a line at its beginning, and JSON at its
end.
"""

import argparse
import asyncio
import itertools
import json
import signal
import statistics
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import aiohttp

# What a balancer answers in the place of a gateway that it does not reach, or a gateway that takes no requests: nothing
# of an answer has come.
UNANSWERED = frozenset({502, 503, 504})
# The first part of a measurement does not count for rate and latency; for what is lost it does.
WARM_UP = 0.2
BEGUN = "begun"
_TRY_SECONDS = 120.0


@dataclass
class Outcome:
    """What callers saw.

    Attributes:
        sent: requests, each counted once however often it was tried.
        first: those answered with 200 at the first try.
        retried: those answered with 200 at a later one.
        lost: those that were not, by what the last try ended with.
        causes: what all tries but the good ones ended with.
        rate: answers with 200 a second after the warm-up, until the time was over.
        p50_ms: from the first try to the answer, after the warm-up; the other likewise.
        p99_ms: of them.
        longest_ms: of all.
    """

    sent: int = 0
    first: int = 0
    retried: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)
    rate: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    longest_ms: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what another process printed.

        Raises:
            ValueError: its numbers do not agree: a request that was sent ended in no way, or in two.
        """
        outcome = cls(**json.loads(text))
        if outcome.sent != outcome.first + outcome.retried + sum(outcome.lost.values()):
            raise ValueError(f"{outcome.sent} requests were sent, and another number ended: {text.strip()}")
        return outcome


@dataclass
class Callers:
    """Callers of one address.

    Attributes:
        url: where to.
        bodies: sent in turn.
        tries: of one request at most.
        pause: seconds before the second try; before each further one half as much more.
    """

    url: str
    bodies: list[bytes]
    tries: int = 1
    pause: float = 0.0

    async def run(self, callers: int, seconds: float, over: asyncio.Event | None = None) -> Outcome:
        """Have some callers send for a time.

        Args:
            callers: how many.
            seconds: how long, the warm-up included.
            over: ends the time earlier.
        """
        outcome, lost, causes = Outcome(), Counter[str](), Counter[str]()
        answered: list[tuple[float, float]] = []
        turns = itertools.cycle(self.bodies)
        over = over or asyncio.Event()
        begin = time.perf_counter()
        asyncio.get_running_loop().call_later(seconds, over.set)
        limits = aiohttp.ClientTimeout(total=_TRY_SECONDS)
        connector = aiohttp.TCPConnector(limit=0)

        async def call(session: aiohttp.ClientSession) -> None:
            while not over.is_set():
                outcome.sent += 1
                began = time.perf_counter()
                body = next(turns)
                for number in range(self.tries):
                    if number:
                        await asyncio.sleep(self.pause * 1.5 ** (number - 1))
                    ended = await _try(session, self.url, body)
                    if ended == "200":
                        break
                    causes[ended] += 1
                    if not may_be_tried_again(ended):
                        break
                if ended == "200":
                    outcome.first += number == 0
                    outcome.retried += number > 0
                    now = time.perf_counter()
                    answered.append((now, now - began))
                else:
                    lost[ended] += 1

        async with aiohttp.ClientSession(timeout=limits, connector=connector) as session:
            running = [asyncio.create_task(call(session)) for _ in range(callers)]
            await over.wait()
            took_in_all = time.perf_counter() - begin
            await asyncio.gather(*running)
        warm, until = begin + WARM_UP * took_in_all, begin + took_in_all
        counted = sorted(took for at, took in answered if warm <= at <= until)
        if len(counted) > 1:
            hundredths = statistics.quantiles(counted, n=100)
            outcome.p50_ms, outcome.p99_ms = 1000 * hundredths[49], 1000 * hundredths[98]
        outcome.rate = len(counted) / (until - warm)
        outcome.longest_ms = 1000 * max((took for _, took in answered), default=0.0)
        outcome.lost, outcome.causes = dict(lost), dict(causes)
        return outcome


def may_be_tried_again(ended: str) -> bool:
    """Return whether a try ended before the first byte of an answer, by what `_try` says."""
    return ended == "no answer" or (ended.isdecimal() and int(ended) in UNANSWERED)


async def _try(session: aiohttp.ClientSession, url: str, body: bytes) -> str:
    """Send a request once, and return the status, or in words how it ended without one."""
    headers = {"Content-Type": "application/json"}
    begun = False
    try:
        async with session.post(url, data=body, headers=headers) as response:
            begun = True
            await response.read()
            return str(response.status)
    except TimeoutError:
        return "no answer in time"
    except aiohttp.ClientError:
        # An answer that breaks off was accepted, so it is lost and not sent again.
        return "broken off" if begun else "no answer"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path, help="a file with one body a line")
    parser.add_argument("--callers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--tries", type=int, default=1, help="of one request, the first included")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds before the second try")
    args = parser.parse_args()
    callers = Callers(args.url, args.bodies.read_bytes().splitlines(), args.tries, args.pause)

    async def run() -> Outcome:
        over = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
        sys.stdout.write(f"{BEGUN}\n")
        sys.stdout.flush()
        return await callers.run(args.callers, args.seconds, over=over)

    sys.stdout.write(json.dumps(asdict(asyncio.run(run()))) + "\n")


if __name__ == "__main__":
    main()
