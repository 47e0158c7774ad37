"""The conversation that the adapter is trained on: the gateway's own messages, in Llama 3's chat format."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from gateway import tasks
from gateway.tasks.prompting import build_messages
from training.data.chat import BEGIN, TURN_END, header, turn
from training.data.dataset import FIELDS, Answer

TASK_FILE = Path(__file__).resolve().parents[2] / "gateway" / "tasks" / "medical_ie.yaml"


class TaskFileError(ValueError):
    """The task file cannot be used for training; the message says why."""


@dataclass(frozen=True)
class Prompt:
    """The prompt of a task of the gateway, to be rendered with a note."""

    task: tasks.Task

    @property
    def instruction(self) -> str:
        """The instruction that every record of the data set carries."""
        return self.task.prompt.instruction

    def render(self, text: str) -> str:
        """Render the conversation up to the start of the assistant's answer, with one BOS token.

        The messages are built by the gateway's code, which also neutralises chat-control tokens in the text.
        """
        turns = (turn(message["role"], message["content"]) for message in build_messages(self.task, text))
        return BEGIN + "".join(turns) + header("assistant")


def render_answer(answer: Answer) -> str:
    """Render the assistant's turn: json.dumps with its defaults, then the end of the turn."""
    return json.dumps(answer) + TURN_END


def load_prompt(path: Path = TASK_FILE) -> Prompt:
    """Read the prompt from a task file of the gateway.

    Raises:
        TaskFileError: the file is not valid for the gateway, or its fields are not those of the data set.
    """
    try:
        task = tasks.load_task(path)
    except tasks.TaskFileError as error:
        raise TaskFileError(str(error)) from error
    fields = tuple(field.name for field in task.fields)
    if fields != FIELDS:
        raise TaskFileError(f"{path} has the fields {', '.join(fields)}; the data set has {', '.join(FIELDS)}")
    return Prompt(task)
