"""What the service is asked for, and which of its examples are kept."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.evaluation.schema import Schema, UnreadableError
from gateway.grounding.grounder import find_evidence
from gateway.tasks import Task
from training.data.dataset import Note

_SYSTEM = (
    "You write examples from which a small model learns to extract data from texts. Answer with one JSON object and "
    "nothing else."
)
_STYLES = (
    "short and casual",
    "polite, in whole sentences",
    "with a typing error or two, also within the values",
    "with details around it that do not matter",
    "as somebody speaks, with fillers",
    "in lower case, without punctuation",
    "formal",
    "in an unusual order, with the details first",
)
_MOST_SEEDS = 4
_MOST_SHOWN = 6
_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
_NO_LETTER_OR_DIGIT = re.compile(r"[\W_]+")


class NoExamplesError(Exception):
    """An answer of the service holds no examples; the text is a code for the reason."""


def messages_for(
    task: Task, choice: str | None, count: int, made: Sequence[str], rng: random.Random
) -> list[dict[str, str]]:
    """Build the question for `count` examples.

    Args:
        task: whose fields, limits and golden notes the question has.
        choice: the value of the first field in all of them, where other fields depend on it.
        count: number of examples.
        made: texts that there are; some are shown, so that the new ones differ.
        rng: chooses the style, the seeds and the texts that are shown.
    """
    fields = task.variant(choice)
    lines = [
        f"Task: {task.title}. {task.description}",
        "The fields of an answer, in this order:",
        *(f"- {field.name}: {field.description}{_limits(field.name, task, choice)}" for field in fields),
        f'Write {count} examples as {{"examples": [{{"text": "...", "answer": {{...}}}}, ...]}}.',
        "Rules: every value is copied from its text, character by character, except where there are choices; a field "
        "that the text says nothing of is null; texts differ in words, names, numbers and length; nobody of them "
        "exists.",
        f"Style of the texts this time: {rng.choice(_STYLES)}.",
    ]
    seeds = [note for note in task.golden if choice is None or note.expected.get(fields[0].name) == choice]
    if seeds:
        shown = rng.sample(seeds, min(len(seeds), _MOST_SEEDS))
        examples = [{"text": note.text, "answer": dict(note.expected)} for note in shown]
        lines.append(f"For example: {json.dumps({'examples': examples}, ensure_ascii=False)}")
    if made:
        shown_texts = rng.sample(list(made), min(len(made), _MOST_SHOWN))
        lines.append(f"There are these already, write others: {json.dumps(shown_texts, ensure_ascii=False)}")
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": "\n".join(lines)}]


def _limits(name: str, task: Task, choice: str | None) -> str:
    field = task.by_name[name]
    if field is task.fields[0] and choice is not None:
        return f" Always {json.dumps(choice)}."
    if field.choices:
        return f" One of {', '.join(map(json.dumps, field.choices))}{', or null' if field.nullable else ''}."
    return f" At most {field.max_chars} characters{', or null' if field.nullable else ', never null'}."


def response_format(kind: str, task: Task, choice: str | None) -> dict[str, Any]:
    """Return the members of a request that ask for JSON; none for `text`."""
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"response_format": {"type": "json_object"}}
    shapes: Sequence[Mapping[str, Any]] = task.json_schema.get("oneOf", [task.json_schema])
    first = task.fields[0].name
    answer = next(shape for shape in shapes if choice is None or shape["properties"][first].get("const") == choice)
    example = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "answer": {k: v for k, v in answer.items() if k[0] != "$"}},
        "required": ["text", "answer"],
        "additionalProperties": False,
    }
    whole = {
        "type": "object",
        "properties": {"examples": {"type": "array", "items": example}},
        "required": ["examples"],
        "additionalProperties": False,
    }
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "examples", "schema": whole}}}


def read_examples(text: str) -> list[Any]:
    """Return the examples of an answer, unchecked.

    Raises:
        NoExamplesError: the answer is no JSON, or JSON of another form.
    """
    fenced = _FENCE.match(text)
    try:
        document = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        raise NoExamplesError("not_json") from None
    examples = document.get("examples") if isinstance(document, dict) else document
    if not isinstance(examples, list):
        raise NoExamplesError("no_list_of_examples")
    return examples


class Checker:
    """Tells which examples are kept: valid, with evidence for every value, and unlike all others."""

    def __init__(self, task: Task, known: Iterable[str]) -> None:
        """Take the task and the texts that must not come again; those of the golden notes are among them."""
        self._task = task
        self._schema = Schema(task.json_schema)
        self._seen = {plain(text) for text in (*known, *(note.text for note in task.golden))}

    def check(self, example: object, choice: str | None) -> Note | str:
        """Return the example as a note, or a code for the reason why it is not kept."""
        if not isinstance(example, dict):
            return "not_an_object"
        text, answer = example.get("text"), example.get("answer")
        if not isinstance(text, str) or not text.strip() or not isinstance(answer, dict):
            return "no_text_or_answer"
        first = self._task.fields[0].name
        if choice is not None and answer.get(first) != choice:
            return "another_choice"
        try:
            fields, problem = self._schema.read(answer)
        except UnreadableError as error:
            return error.kind
        if problem is not None:
            return problem
        for field in self._task.fields:
            value = fields.get(field.name)
            if value is not None and not field.choices and not find_evidence(text, value):
                return f"no_evidence_for_{field.name}"
        key = plain(text)
        if not key or key in self._seen:
            return "duplicate"
        self._seen.add(key)
        names = [field.name for field in self._task.variant(fields.get(first))]
        return Note(text.strip(), {name: fields[name] for name in names})


def plain(text: str) -> str:
    """Return a text as it is compared: letters and digits, whatever the case, the signs and the spaces."""
    return _NO_LETTER_OR_DIGIT.sub(" ", text.casefold()).strip()
