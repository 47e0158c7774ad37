"""Extraction of many texts: several at once, with a progress bar; what one of them fails by stops no other."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from tqdm import tqdm

from gateway.client.client import Client, ClientError
from gateway.client.items import Item
from gateway.client.results import Results

_NOT_VALID = 422


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the text of a line has no result, and whether the same request may have one later."""

    line: int
    reason: str
    may_heal: bool


@dataclass(slots=True)
class Summary:
    """How many texts were done before this run and by it, and which failed."""

    before: int
    done: int = 0
    failures: list[Failure] = field(default_factory=list)


async def run(
    client: Client, items: Sequence[Item], results: Results, *, jobs: int, progress: TextIO, **choices: Any
) -> Summary:
    """Extract the texts whose results the output does not hold yet.

    Args:
        client: an open client.
        items: the input.
        results: where the results go.
        jobs: how many texts are at the gateway at once.
        progress: where the progress bar goes.
        choices: as for `Client.extract`.

    Raises:
        OSError: the output cannot be written.
    """
    left = [item for item in items if item.index not in results.done]
    summary = Summary(len(items) - len(left))
    remaining = iter(left)
    with tqdm(total=len(left), unit="text", file=progress) as bar:

        async def work() -> None:
            for item in remaining:
                try:
                    outcome = {"status": 200, "result": await _extract(client, item, choices)}
                    summary.done += 1
                except ClientError as error:
                    outcome = {"status": error.status, "error": str(error)}
                    summary.failures.append(Failure(item.line, str(error), error.may_heal))
                    bar.set_postfix(failed=len(summary.failures))
                results.write(item, outcome)
                bar.update()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(jobs, len(left))):
                    group.create_task(work())
        except ExceptionGroup as errors:
            # The first one ended the others.
            raise errors.exceptions[0] from None
    results.sync()
    return summary


async def _extract(client: Client, item: Item, choices: dict[str, Any]) -> dict[str, Any]:
    if item.text is None:
        raise ClientError(_NOT_VALID, f"line {item.line}: {item.problem}")
    return await client.extract(item.text, **choices)
