"""Processes that train one model together: each takes its share of every batch, and their gradients are added up.

Two processes of one thread each do twice the work of one; two threads in one process, a model as small as this, half
as much again on two idle cores and less than one thread on busy ones.
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

_TIMEOUT = timedelta(minutes=10)  # for one step of the slowest member

Item = TypeVar("Item")


class Team:
    """The members that train together; member 0 is the process that was started, and writes the files.

    Args:
        member: number of this process, from 0.
        size: how many there are.
    """

    def __init__(self, member: int = 0, size: int = 1) -> None:
        self.member, self.size = member, size

    def share(self, batch: Sequence[Item]) -> Sequence[Item]:
        """This member's part of a batch; empty where the batch is too small for all."""
        return batch[self.member :: self.size]

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Every member's gradients become the sum over all."""
        if self.size == 1:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)


@contextmanager
def gather(size: int, work: Callable[..., object], *arguments: Any) -> Iterator[Team]:
    """Start the other members, each of which calls `work(team, *arguments)`, and give this process its team.

    The others end when this process does; when one of them fails, the next step fails here with a RuntimeError.

    Args:
        size: members, this process included.
        work: a function of a module, so that a new process finds it.
        arguments: what can be pickled.
    """
    if size == 1:
        yield Team()
        return
    with tempfile.TemporaryDirectory() as folder:
        meeting_place = str(Path(folder) / "store")
        context = torch.multiprocessing.get_context("spawn")
        others = [
            context.Process(target=_join, args=(meeting_place, member, size, work, arguments), daemon=True)
            for member in range(1, size)
        ]
        for other in others:
            other.start()
        _meet(meeting_place, 0, size)
        try:
            yield Team(0, size)
        finally:
            for other in others:
                other.terminate()
                other.join()
            distributed.destroy_process_group()


def _join(meeting_place: str, member: int, size: int, work: Callable[..., object], arguments: Sequence[Any]) -> None:
    os.setsid()  # Ctrl-C is for member 0, which saves a checkpoint first
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    _meet(meeting_place, member, size)
    work(Team(member, size), *arguments)


def _meet(meeting_place: str, member: int, size: int) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all members are on this machine
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting_place}", rank=member, world_size=size, timeout=_TIMEOUT
    )
