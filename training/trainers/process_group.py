"""Data-parallel training on a CPU: each process computes a share of every batch, and the gradients are summed.

Two processes of one thread each do twice the work of one. Two threads in one process do, for so small a model, one and
a half times as much on two idle cores, and less than one thread on busy ones.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed, nn

_TIMEOUT = timedelta(minutes=10)  # for one step of the slowest process

Item = TypeVar("Item")


class ProcessGroup:
    """The processes that train one model together; that of rank 0 was started first, and writes the files."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        """Take the number of this process, from 0, and the number of processes."""
        self.rank, self.size = rank, size

    def share(self, batch: Sequence[Item]) -> Sequence[Item]:
        """Return this process's part of a batch; it is empty where the batch is smaller than the group."""
        return batch[self.rank :: self.size]

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace every gradient by its sum over all processes."""
        if self.size == 1:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)


@contextmanager
def process_group(size: int, work: Callable[..., object], *arguments: Any) -> Iterator[ProcessGroup]:
    """Start the other processes, each of which calls `work(group, *arguments)`, and yield this process's group.

    The others end when this process does; when one of them fails, the next step fails here with a RuntimeError.

    Args:
        size: number of processes, this one included.
        work: a function of a module, so that a new process finds it.
        arguments: arguments of `work`, which are pickled.
    """
    if size == 1:
        yield ProcessGroup()
        return
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        context = torch.multiprocessing.get_context("spawn")
        others = [
            context.Process(target=_run, args=(store, rank, size, work, arguments), daemon=True)
            for rank in range(1, size)
        ]
        for other in others:
            other.start()
        _join(store, 0, size)
        try:
            yield ProcessGroup(0, size)
        finally:
            for other in others:
                other.terminate()
                other.join()
            distributed.destroy_process_group()


def _run(store: str, rank: int, size: int, work: Callable[..., object], arguments: Sequence[Any]) -> None:
    os.setsid()  # Ctrl-C is for rank 0, which saves a checkpoint first
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    _join(store, rank, size)
    work(ProcessGroup(rank, size), *arguments)


def _join(store: str, rank: int, size: int) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all processes are on this machine
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=_TIMEOUT)
