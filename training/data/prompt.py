"""The conversation that the adapter is trained on: the gateway's own messages, in Llama 3's chat format."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from gateway import tasks
from gateway.tasks.prompting import build_messages
from training.data.chat import BEGIN, TURN_END, header, turn
from training.data.dataset import FIELDS, Answer, Note

_TASKS = Path(__file__).resolve().parents[2] / "gateway" / "tasks"
MEDICAL = "medical_ie"
TASK_FILE = _TASKS / f"{MEDICAL}.yaml"


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


def render_record(note: Note, task: tasks.Task) -> str:
    """Render a note as a line of a data set."""
    record = {"instruction": task.prompt.instruction, "input": note.text, "output": note.answer}
    return json.dumps(record, ensure_ascii=False) + "\n"


def load_prompt(source: str | Path = TASK_FILE) -> Prompt:
    """Read the prompt from a task file of the gateway.

    Args:
        source: a file, or the name of one of the gateway's own tasks.

    Raises:
        TaskFileError: there is no such file, it is not valid for the gateway, or the fields of `medical_ie` are not
            those of the public data set.
    """
    path = Path(source)
    if path.suffix not in (".yaml", ".yml"):
        path = _TASKS / f"{source}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in _TASKS.glob("*.yaml")))
            raise TaskFileError(f"there is no task {source}: name one of {known}, or the path of a task file (.yaml)")
    try:
        task = tasks.load_task(path)
    except tasks.TaskFileError as error:
        raise TaskFileError(str(error)) from error
    fields = tuple(field.name for field in task.fields)
    if task.name == MEDICAL and fields != FIELDS:
        raise TaskFileError(f"{path} has the fields {', '.join(fields)}; the data set has {', '.join(FIELDS)}")
    return Prompt(task)
