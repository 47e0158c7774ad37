"""Work on texts that would hold up the event loop, in a few threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_THREADS = 2
"""Work in Python runs one thread at a time; a second lets a short piece of work pass a long one."""


class Workers:
    """A few threads for work that ends by itself at its deadline.

    Nothing can end a thread from outside, so what is given up goes on until its own deadline. The number of threads is
    what bounds it; what waits for one and is given up is never begun.
    """

    def __init__(self) -> None:
        """Make the workers; a thread starts with the first work."""
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="text")

    async def run[R](self, work: Callable[[], R], *, seconds: float) -> R:
        """Run `work` in a thread.

        Args:
            work: a function that ends by itself within about `seconds` of this call.
            seconds: how long to wait for it, also for a thread to be free.

        Raises:
            TimeoutError: it has not ended in time.
        """
        return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(self._executor, work), seconds)
