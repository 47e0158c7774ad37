"""Which container stands for which instance of EC2."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Machines[M]:
    """Machines by their number, from 1: an instance has the lowest that is free, until it is terminated."""

    def __init__(self, make: Callable[[int], M]) -> None:
        """Begin with no instance.

        Args:
            make: Returns the machine of a number; nothing runs by that.
        """
        self._make = make
        self._machines: dict[int, M] = {}
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()

    def of(self, instance_id: str) -> M:
        """Return an instance's machine, given to it now where it has none yet."""
        number = self.number_of(instance_id)
        with self._lock:
            return self._machines.setdefault(number, self._make(number))

    def number_of(self, instance_id: str) -> int:
        """Return the number of an instance's machine."""
        with self._lock:
            if instance_id not in self._numbers:
                taken = set(self._numbers.values())
                self._numbers[instance_id] = next(n for n in range(1, len(taken) + 2) if n not in taken)
            return self._numbers[instance_id]

    def give_back(self, instance_id: str) -> None:
        """Let the next instance have the machine of one that is terminated."""
        with self._lock:
            self._numbers.pop(instance_id, None)
