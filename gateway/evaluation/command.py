"""The commands `evaluate` and `compare`; their arguments stand in `gateway.cli`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from gateway.client.client import Client
from gateway.evaluation.answers import Answer, AnswersError, load_answers
from gateway.evaluation.collect import CollectError, collect, find_task
from gateway.evaluation.comparison import ComparisonError, compare
from gateway.evaluation.dataset import Dataset, DatasetError, load_dataset
from gateway.evaluation.document import DocumentError, as_document, as_json, is_evaluation, load_run
from gateway.evaluation.evaluation import evaluate
from gateway.evaluation.page import as_page, is_page
from gateway.evaluation.schema import Schema
from gateway.evaluation.table import comparison_table, table
from gateway.files.reading import ReadError, read_text
from gateway.files.writing import is_stream, others_can_read, same_as_any, status_of, write_whole

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_WORSE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130
JSON_NAME, PAGE_NAME = "evaluation.json", "evaluation.html"
_SHOWN_NOTES = 10


def run_evaluate(args: argparse.Namespace, key: str | None, key_file: Path | None = None) -> int:
    """Evaluate as the arguments say.

    Args:
        args: of the command line.
        key: the gateway's, or None.
        key_file: where the key was read from, if it was a file; the result must not replace it.

    Returns:
        0 when it was done, 1 when the gateway gave no answers or the result cannot be written, 2 when arguments or
        files cannot be used, 130 after Ctrl-C. Nothing is written unless it is 0.
    """
    try:
        if args.out is not None:
            _refuse_unwritable(args.out)
            _refuse_other_content(args.out, [path for path in (args.dataset, args.answers, key_file) if path])
        if args.answers is not None:
            dataset, answers, fields, about = _from_file(args)
        else:
            dataset, answers, fields, about = asyncio.run(_from_gateway(args, key))
        evaluation = evaluate(dataset, answers, fields, resamples=args.resamples, seed=args.seed)
        document = as_document(evaluation, about=about)
        page = as_page(evaluation, document, with_texts=not args.no_texts)
    except (DatasetError, AnswersError, _ArgumentError, OSError) as error:
        return _end(str(error), EXIT_USAGE)
    except CollectError as error:
        return _end(f"{error}\nnothing was written", EXIT_FAILED)
    except KeyboardInterrupt:
        return _end("\ninterrupted: nothing was written", EXIT_INTERRUPTED)
    sys.stderr.write(_without_answer(dataset, answers))
    problem = None
    try:
        if args.out is not None:
            _write(args.out, as_json(document), page, with_texts=not args.no_texts)
    except OSError as error:
        problem = f"cannot write the result: {error}"
    # After the files, which have to be there also where nobody takes the table.
    sys.stdout.write(table(evaluation))
    sys.stdout.flush()
    return EXIT_OK if problem is None else _end(problem, EXIT_FAILED)


class _ArgumentError(Exception):
    pass


def _refuse_unwritable(out: Path) -> None:
    """Refuse an output folder before hours of work, not after them."""
    folder = out.absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise _ArgumentError(f"--out {out}: {folder} is no folder that can be written to")


def _refuse_other_content(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse to replace what is no evaluation, or what the command reads."""
    forms: dict[str, Callable[[str], bool]] = {JSON_NAME: _is_document, PAGE_NAME: is_page}
    for name, is_own in forms.items():
        path = out / name
        folder = Path(os.path.realpath(path)).parent
        if path.is_symlink() and not os.access(folder, os.W_OK):
            raise _ArgumentError(f"--out {out}: {path} leads to {folder}, which cannot be written to")
        status = status_of(path)
        if status is None or is_stream(status):
            continue
        if same := same_as_any(status, inputs):
            raise _ArgumentError(f"--out {out}: {path} is {same}, which the command reads; give another folder")
        if not stat.S_ISREG(status.st_mode) or (status.st_size and not _has_form(path, is_own)):
            raise _ArgumentError(f"--out {out}: {path} is no evaluation, and is not replaced; give another folder")


def _has_form(path: Path, is_own: Callable[[str], bool]) -> bool:
    try:
        return is_own(read_text(path))
    except ReadError:
        return False


def _is_document(text: str) -> bool:
    try:
        return is_evaluation(json.loads(text))
    except (ValueError, RecursionError):
        return False


def _without_answer(dataset: Dataset, answers: Sequence[Answer]) -> str:
    """Return a line about the notes that have no fields at all, empty where there are none."""
    failed = [
        f"line {example.line} ({answer.error})"
        for example, answer in zip(dataset.examples, answers, strict=True)
        if answer.fields is None
    ]
    if not failed:
        return ""
    shown = ", ".join(failed[:_SHOWN_NOTES]) + (", ..." if len(failed) > _SHOWN_NOTES else "")
    return f"{len(failed)} of {len(answers)} note(s) without a usable answer, counted as invalid: {shown}\n"


_Collected = tuple[Dataset, Sequence[Answer], tuple[str, ...], dict[str, Any]]


def _from_file(args: argparse.Namespace) -> _Collected:
    from gateway import settings, tasks

    fields = settings.Settings.model_fields
    try:
        by_name = tasks.load_tasks(Path(os.environ.get("GATEWAY_TASKS_DIR") or fields["tasks_dir"].default))
    except tasks.TaskFileError as error:
        raise _ArgumentError(str(error)) from None
    name = args.task or os.environ.get("GATEWAY_DEFAULT_TASK") or fields["default_task"].default
    if name not in by_name:
        raise _ArgumentError(f"there is no task {name}; there are {', '.join(by_name)}")
    schema = Schema(by_name[name].json_schema)
    dataset = load_dataset(args.dataset, schema, limit=args.limit)
    answers = load_answers(args.answers, dataset, schema)
    return dataset, answers, schema.fields, {"task": name, "answers": args.answers.name}


async def _from_gateway(args: argparse.Namespace, key: str | None) -> _Collected:
    async with Client(args.url, key, timeout=args.timeout, retries=args.retries, second_try=False) as client:
        task, schema = await find_task(client, args.task)
        dataset = load_dataset(args.dataset, schema, limit=args.limit)
        choices = {"model": args.model, "grounding": args.grounding}
        answers = await collect(
            client, task, schema, dataset.examples, concurrency=args.concurrency, progress=sys.stderr, **choices
        )
    about = {"task": task, "url": _without_credentials(args.url), "concurrency": args.concurrency}
    return dataset, answers, schema.fields, about | {name: value for name, value in choices.items() if value}


def _write(out: Path, document: str, page: str, *, with_texts: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    # Private without texts too, as the next run may replace it with texts and leave it its mode.
    write_whole(out / PAGE_NAME, page, private=True)
    write_whole(out / JSON_NAME, document)
    content = "holds notes and values; keep it where they may be kept" if with_texts else "without notes and values"
    if with_texts and others_can_read((out / PAGE_NAME).stat()):
        content += "; other users can read it: chmod 600 takes that from them"
    sys.stderr.write(f"{out / JSON_NAME}: figures only, no text of a note\n{out / PAGE_NAME}: {content}\n")


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def run_compare(args: argparse.Namespace) -> int:
    """Compare as the arguments say.

    Returns:
        0, or 3 when the second run is significantly worse and --fail-if-worse was given; 2 when the runs cannot be
        compared.
    """
    try:
        comparison = compare(
            load_run(args.first),
            load_run(args.second),
            rule=args.rule,
            resamples=args.resamples,
            seed=args.seed,
        )
    except (DocumentError, ComparisonError) as error:
        return _end(str(error), EXIT_USAGE)
    if args.json:
        document = asdict(comparison) | {"verdict": comparison.verdict, "worse": comparison.is_worse}
        for entry, difference in zip(document["differences"], comparison.differences, strict=True):
            entry["real"] = difference.is_significant
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(comparison_table(comparison))
    return EXIT_WORSE if args.fail_if_worse and comparison.is_worse else EXIT_OK


def _end(reason: str, code: int) -> int:
    sys.stderr.write(f"{reason}\n")
    return code
