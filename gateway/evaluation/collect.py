"""Collecting the answers to a data set from a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TextIO

from tqdm import tqdm

from gateway.client.client import Client, ClientError, TooLateError
from gateway.evaluation.answers import Answer, error_kind, from_document
from gateway.evaluation.dataset import Example
from gateway.evaluation.schema import Schema, SchemaError

# These say something about one note and its answer. All others say that the gateway, the key or the names are not as
# they should be, and figures from such a run would mislead.
_OF_THE_NOTE = frozenset({413, 422, 500, 502, 504})


class CollectError(Exception):
    """The gateway cannot be evaluated as it is. The text says what to do in one line."""


async def find_task(client: Client, name: str | None) -> tuple[str, Schema]:
    """Return a task's name and the schema of its answers, as the gateway has them.

    Args:
        client: an open client.
        name: the task's, or None for the gateway's default.

    Raises:
        CollectError: the gateway cannot be reached, refuses the key, or has no such task.
    """
    try:
        listed = await client.tasks()
    except ClientError as error:
        raise CollectError(_advice(error)) from None
    try:
        name = name or str(listed["default"])
        schemas = {str(task["name"]): task["json_schema"] for task in listed["tasks"]}
        if name not in schemas:
            raise CollectError(f"the gateway has no task {name}; it has {', '.join(schemas)}")
        return name, Schema(schemas[name])
    except (KeyError, TypeError, SchemaError) as error:
        raise CollectError(f"what answers there is no gateway of this version: {error!r}") from None


async def collect(
    client: Client,
    task: str,
    schema: Schema,
    examples: Sequence[Example],
    *,
    concurrency: int,
    progress: TextIO,
    **choices: Any,
) -> list[Answer]:
    """Ask for the answer to every example.

    Args:
        client: an open client.
        task: the task's name.
        schema: of its answers.
        examples: what to ask.
        concurrency: how many at the gateway at once.
        progress: where the progress bar goes.
        choices: as for `Client.extract`.

    Returns:
        The answers in the examples' order. A note that the gateway could not answer has an error; see
        `answers.error_kind`.

    Raises:
        CollectError: the gateway went away, is too busy for longer than the client waits, or refuses the key or a name.
    """
    answers: list[Answer | None] = [None] * len(examples)
    left = iter(list(enumerate(examples)))
    failed = 0
    with tqdm(total=len(examples), unit="note", file=progress) as bar:

        async def work() -> None:
            nonlocal failed
            for at, example in left:
                answer = await _one(client, task, schema, example, choices)
                answers[at] = answer
                failed += answer.error is not None
                bar.set_postfix({"invalid": failed}, refresh=False)
                bar.update()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, len(examples))):
                    group.create_task(work())
        except ExceptionGroup as errors:
            # The first one ended the others.
            raise errors.exceptions[0] from None
    return [answer for answer in answers if answer is not None]


async def _one(client: Client, task: str, schema: Schema, example: Example, choices: dict[str, Any]) -> Answer:
    try:
        document, seconds = await client.extract_timed(example.text, task=task, **choices)
    except TooLateError:
        return Answer(error="no_response")
    except ClientError as error:
        if error.status not in _OF_THE_NOTE:
            raise CollectError(_advice(error)) from None
        return Answer(error=error_kind(error.status))
    return from_document(document, schema, seconds=seconds)


def _advice(error: ClientError) -> str:
    hint = {
        0: "is the gateway running, and is --url right?",
        401: "give the key in GATEWAY_API_KEY or with --key-file",
        429: "the key's rate is used up; lower --concurrency or raise --retries",
        503: "wait until GET /health says healthy, or raise --retries",
    }.get(error.status)
    return f"{error}; {hint}" if hint else str(error)
