"""The collection of examples: asks until there are enough or the budget is spent, and goes on where it ended."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from loguru import logger

from gateway.files.locking import LockedError, open_locked
from gateway.tasks import Task
from training.data.dataset import DatasetError, Note, parse_notes
from training.data.prompt import render_record
from training.generation.examples import Checker, NoExamplesError, messages_for, read_examples, response_format
from training.generation.service import Reply, Service, ServiceError
from training.run.files import write_json
from training.run.interruption import Interrupted, stop_requested
from training.run.progress import Progress

# How a line begins, which an interruption may have cut off.
_BEGINNING = b'{"instruction": '
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
        """Read what there is, and keep other processes from adding to it.

        Raises:
            DatasetError: the file, or the one beside it, holds something else, or another process adds to it.
        """
        self.path, self.task = path, task
        self._usage_path = path.with_name(f"{path.name}.usage.json")
        self._file: BinaryIO | None = None
        self.notes: list[Note] = []
        usage = _read_usage(self._usage_path)
        if path.exists():
            self._file = _opened(path)
            try:
                self.notes = _take_up(path, self._file, task)
            except BaseException:
                self.close()
                raise
        self.requests: int = usage["requests"]
        self.tokens: int = usage["tokens"]
        self.refused: Counter[str] = Counter(usage["refused"])

    def close(self) -> None:
        """Let other processes add to the file."""
        if self._file is not None:
            self._file.close()

    def add(self, notes: list[Note], tokens: int | None, refused: Counter[str]) -> None:
        """Keep the examples of one answer, and what it cost.

        Raises:
            DatasetError: another process has begun the file meanwhile.
        """
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _opened(self.path)
            if self._file.read(1):
                raise DatasetError(f"another process has written to {self.path} meanwhile: run the command again")
        self._file.write("".join(render_record(note, self.task) for note in notes).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.notes += notes
        self.requests += 1
        self.tokens += tokens or 0
        self.refused += refused
        write_json(
            self._usage_path,
            {"requests": self.requests, "tokens": self.tokens, "kept": len(self.notes), "refused": dict(self.refused)},
        )


def _read_usage(path: Path) -> dict[str, Any]:
    """Return what was spent so far.

    Raises:
        DatasetError: the file is none of this command, or cannot be read.
    """
    try:
        usage = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"requests": 0, "tokens": 0, "refused": {}}
    except (OSError, ValueError, RecursionError):
        usage = None
    if not (
        isinstance(usage, dict)
        and all(type(usage.get(name)) is int for name in ("requests", "tokens"))
        and isinstance(refused := usage.get("refused"), dict)
        and all(type(number) is int for number in refused.values())
    ):
        raise DatasetError(f"{path} does not say what examples have cost, so nothing was written: give another --out")
    return usage


def _opened(path: Path) -> BinaryIO:
    """Open the file of examples for this process alone.

    Raises:
        DatasetError: it is no file, or another process has it.
    """
    if path.exists() and not path.is_file():
        raise DatasetError(f"--out {path} is no file")
    try:
        return open_locked(path)
    except LockedError:
        raise DatasetError(f"another process adds examples to {path}: wait for its end") from None


def _take_up(path: Path, file: BinaryIO, task: Task) -> list[Note]:
    """Return the examples of the file, and remove the end of a line that an earlier process was killed in.

    Raises:
        DatasetError: it holds something else; it is as it was.
    """
    raw = file.read()
    whole = raw.rfind(b"\n") + 1
    rest = raw[whole:].rstrip(b"\0") if whole else raw  # NULs, which a power cut may leave
    content, last = parse_notes(raw[:whole], task), parse_notes(rest, task)
    problems = [*content.problems]
    if last.problems and not rest.startswith(_BEGINNING[: len(rest)]):
        problems += [f"the last line, without an end, {problem.partition(': ')[2]}" for problem in last.problems]
    if problems:
        raise DatasetError(
            f"{path} holds something else than examples of {task.name} ({problems[0]}): give another --out"
        )
    if not last.notes:
        file.truncate(whole)
    else:  # as an editor leaves it
        file.write(b"\n")
        file.flush()
    return [*content.notes.values(), *last.notes.values()]


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
