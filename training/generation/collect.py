"""The collection of examples: asks until there are enough or the budget is spent, and goes on where it ended."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loguru import logger

from gateway.tasks import Task
from training.data.dataset import DatasetError, Note, read_notes
from training.data.prompt import render_record
from training.generation.examples import Checker, NoExamplesError, messages_for, read_examples, response_format
from training.generation.service import Reply, Service, ServiceError
from training.run.files import write_json
from training.run.interruption import Interrupted, stop_requested
from training.run.progress import Progress

_MOST_USELESS = 8  # answers in a row without one new example


@dataclass(frozen=True)
class Budget:
    """What may be spent in all, over every call of the command for one file; None is no limit."""

    requests: int | None
    tokens: int | None


class GenerationError(Exception):
    """The examples are not all there; the message says why, and what to do."""


class Collection:
    """The file of examples, and beside it what they have cost: `FILE.usage.json`."""

    def __init__(self, path: Path, task: Task) -> None:
        """Read what there is.

        Raises:
            DatasetError: the file holds something else.
        """
        self.path, self.task = path, task
        self._usage_path = path.with_name(f"{path.name}.usage.json")
        self.notes: list[Note] = []
        if path.exists():
            _drop_torn_line(path)
            content = read_notes(path, task)
            if content.problems:
                raise DatasetError(
                    f"{path} holds something else than examples of {task.name} ({content.problems[0]}): "
                    "give another --out"
                )
            self.notes = list(content.notes.values())
        usage: dict[str, Any] = {}
        if self._usage_path.exists():
            usage = json.loads(self._usage_path.read_text(encoding="utf-8"))
        self.requests: int = usage.get("requests", 0)
        self.tokens: int = usage.get("tokens", 0)
        self.refused: Counter[str] = Counter(usage.get("refused", {}))

    def add(self, notes: list[Note], tokens: int | None, refused: Counter[str]) -> None:
        """Keep the examples of one answer, and what it cost."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(render_record(note, self.task) for note in notes)
            file.flush()
            os.fsync(file.fileno())
        self.notes += notes
        self.requests += 1
        self.tokens += tokens or 0
        self.refused += refused
        write_json(
            self._usage_path,
            {"requests": self.requests, "tokens": self.tokens, "kept": len(self.notes), "refused": dict(self.refused)},
        )


def _drop_torn_line(path: Path) -> None:
    """Remove the end of a line that an earlier process was killed in."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        whole = content.rfind(b"\n") + 1
        with path.open("r+b") as file:
            file.truncate(whole)


def collect(
    service: Service, collection: Collection, count: int, budget: Budget, *, at_once: int, format_: str,
    known: list[str], seed: int,
) -> None:  # fmt: skip
    """Ask for examples until there are `count`.

    Args:
        service: who is asked.
        collection: gets the examples; those that it holds count.
        count: number of examples.
        budget: what may be spent.
        at_once: examples in one answer.
        format_: `json_schema`, `json_object` or `text`.
        known: texts that must not be among the examples.
        seed: of the random numbers that vary the questions.

    Raises:
        GenerationError: the budget is spent, or the service's answers are of no use.
        ServiceError: the service gives no answers.
        Interrupted: the process was asked to stop; what there is, is kept.
    """
    task = collection.task
    checker = Checker(task, [*known, *(note.text for note in collection.notes)])
    progress = Progress("examples", count, done=len(collection.notes))
    useless = 0
    while len(collection.notes) < count:
        if stop_requested():
            raise Interrupted
        _check_budget(collection, count, budget)
        rng = random.Random(seed * 1_000_003 + collection.requests)  # a resumed run does not repeat its questions
        choice = _rarest_choice(task, collection.notes)
        wanted = min(at_once, count - len(collection.notes))
        made = [note.text for note in collection.notes if choice is None or choice in note.answer.values()]
        reply = service.ask(messages_for(task, choice, wanted, made, rng), extra=response_format(format_, task, choice))
        if budget.tokens is not None and reply.tokens is None:
            raise ServiceError("the service does not say how many tokens an answer took: limit --requests instead")
        notes, refused = _kept(reply, checker, choice, wanted)
        collection.add(notes, reply.tokens, refused)
        progress.report(len(collection.notes), requests=collection.requests)
        useless = 0 if notes else useless + 1
        if useless == _MOST_USELESS:
            raise GenerationError(
                f"{useless} answers in a row had no new example ({_listed(refused)}): ask another model, or for fewer "
                f"(--at-once); {len(collection.notes)} of {count} examples are in {collection.path}"
            )
    logger.info(
        f"{collection.path}: {len(collection.notes)} examples from {collection.requests} answers of "
        f"{collection.tokens} tokens; not kept: {_listed(collection.refused)}"
    )


def _check_budget(collection: Collection, count: int, budget: Budget) -> None:
    spent = []
    if budget.requests is not None and collection.requests >= budget.requests:
        spent.append(f"{collection.requests} requests")
    if budget.tokens is not None and collection.tokens >= budget.tokens:
        spent.append(f"{collection.tokens} tokens")
    if spent:
        raise GenerationError(
            f"the budget is spent ({', '.join(spent)}): {len(collection.notes)} of {count} examples are in "
            f"{collection.path}; the same command with a larger budget goes on"
        )


def _rarest_choice(task: Task, notes: list[Note]) -> str | None:
    """Return the choice with the fewest examples where other fields depend on it, so that all have as many."""
    choices = [choice for choice in task.variants if choice is not None]
    counts = Counter(note.answer[task.fields[0].name] for note in notes)
    return min(choices, key=lambda choice: counts[choice]) if choices else None


def _kept(reply: Reply, checker: Checker, choice: str | None, most: int) -> tuple[list[Note], Counter[str]]:
    try:
        examples = read_examples(reply.text)
    except NoExamplesError as error:
        return [], Counter(["cut_off" if reply.was_cut else str(error)])
    notes: list[Note] = []
    refused: Counter[str] = Counter()
    for example in examples:
        if len(notes) == most:
            break
        checked = checker.check(example, choice)
        if isinstance(checked, Note):
            notes.append(checked)
        else:
            refused[checked] += 1
    return notes, refused


def _listed(refused: Counter[str]) -> str:
    return ", ".join(f"{reason} {number}" for reason, number in refused.most_common()) or "none"
