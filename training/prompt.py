"""The conversation that the adapter is trained on, built from the task file that the gateway serves with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from training.chat import BEGIN, TURN_END, header, turn
from training.dataset import FIELDS, Answer

TASK_FILE = Path(__file__).resolve().parent.parent / "gateway" / "tasks" / "medical_ie.yaml"


class TaskFileError(ValueError):
    """The task file cannot be used for training; the message says why."""


@dataclass(frozen=True)
class Prompt:
    """The fixed words around a note."""

    system: str
    instruction: str
    template: str

    def user(self, text: str) -> str:
        """The user's message for a note."""
        return self.template.replace("{instruction}", self.instruction).replace("{text}", text)

    def render(self, text: str) -> str:
        """The conversation up to the place where the assistant answers, in Llama 3's chat format, with one BOS."""
        return BEGIN + turn("system", self.system) + turn("user", self.user(text)) + header("assistant")


def render_answer(answer: Answer) -> str:
    """The assistant's turn: json.dumps as it is by default, then the end of the turn."""
    return json.dumps(answer) + TURN_END


def load_prompt(path: Path = TASK_FILE) -> Prompt:
    """Read the prompt from a task file of the gateway.

    Raises:
        TaskFileError: the file cannot be read, lacks the prompt, or lists other fields than the data set.
    """
    try:
        task = yaml.safe_load(path.read_text(encoding="utf-8"))
        prompt = Prompt(**{key: task["prompt"][key] for key in ("system", "instruction", "template")})
        fields = tuple(field["name"] for field in task["fields"])
    except OSError as error:
        raise TaskFileError(f"cannot read the task file {path}: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise TaskFileError(f"{path} is not a task file with a prompt and fields: {error!r}") from error
    if fields != FIELDS:
        raise TaskFileError(f"{path} lists the fields {', '.join(fields)}; the data set has {', '.join(FIELDS)}")
    return prompt
