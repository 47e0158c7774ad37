"""Has the gateway extract the golden notes of its default task, as the verification of a deployment on EC2 does.

Runs in the gateway's image, whose task files hold the notes. Values are right when their items are those that were
expected.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from ansible_collections.slm.serving.plugins.module_utils.field_values import is_same

from gateway.cli.key import read_key
from gateway.client.client import Client, ClientError
from gateway.settings import Settings
from gateway.tasks import Task, load_tasks

TIMEOUT_SECONDS = 120.0
# A gateway that begins to serve, or whose engine loads, says when to come again.
RETRIES = 5


async def verify(task: Task, url: str, key: str | None) -> tuple[int, list[str]]:
    """Extract a task's golden notes.

    Args:
        task: The task.
        url: The gateway's address.
        key: A client's, or None where none is asked for.

    Returns:
        How many values there are, and a line for each that is wrong.

    Raises:
        ClientError: a note gets no answer.
    """
    total, wrong = 0, []
    async with Client(url, key, timeout=TIMEOUT_SECONDS, retries=RETRIES) as client:
        for note in task.golden:
            answer: dict[str, Any] = await client.extract(note.text, task=task.name)
            total += len(note.expected)
            wrong += [
                f"{note.name} {field}: expected {value!r}, got {answer.get(field)!r}"
                for field, value in note.expected.items()
                if field not in answer or not is_same(value, answer[field])
            ]
    return total, wrong


def main() -> int:
    """Verify what GATEWAY_URL serves.

    Returns:
        0 when enough values are right, else 1.
    """
    folder = os.environ.get("GATEWAY_TASKS_DIR")
    tasks = load_tasks(Path(folder) if folder else Settings.model_fields["tasks_dir"].default)
    task = tasks[os.environ["GATEWAY_DEFAULT_TASK"]]
    try:
        total, wrong = asyncio.run(verify(task, os.environ["GATEWAY_URL"], read_key(None)))
    except ClientError as error:
        sys.stderr.write(f"a golden note of {task.name} got no answer: {error}\n")
        return 1
    right = total - len(wrong)
    needed = min(int(os.environ["GOLDEN_MINIMUM"]) or total, total)
    sys.stdout.write("".join(f"{line}\n" for line in wrong))
    sys.stdout.write(f"{right} of {total} values of the golden notes are right, and {needed} have to be\n")
    return 0 if total and right >= needed else 1


if __name__ == "__main__":
    sys.exit(main())
