"""The commands `evaluate` and `compare`; their arguments stand in `gateway.cli`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from gateway.client.client import Client
from gateway.evaluation.answers import Answer, AnswersError, load_answers
from gateway.evaluation.collect import CollectError, collect, find_task
from gateway.evaluation.comparison import ComparisonError, compare
from gateway.evaluation.dataset import Dataset, DatasetError, load_dataset
from gateway.evaluation.document import DocumentError, as_document, as_json, load_run
from gateway.evaluation.evaluation import evaluate
from gateway.evaluation.files import write_whole
from gateway.evaluation.page import as_page
from gateway.evaluation.schema import Schema
from gateway.evaluation.table import comparison_table, table

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_WORSE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130
JSON_NAME, PAGE_NAME = "evaluation.json", "evaluation.html"


def run_evaluate(args: argparse.Namespace, key: str | None) -> int:
    """Evaluate as the arguments say; `key` is the gateway's.

    Returns:
        0 when it was done, 1 when the gateway gave no answers or the result cannot be written, 2 when arguments or
        files cannot be used, 130 after Ctrl-C. Nothing is written unless it is 0.
    """
    try:
        if args.out is not None:
            _refuse_unwritable(args.out)
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
    sys.stdout.write(table(evaluation))
    sys.stdout.flush()
    try:
        if args.out is not None:
            _write(args.out, as_json(document), page, with_texts=not args.no_texts)
    except OSError as error:
        return _end(f"cannot write the result: {error}", EXIT_FAILED)
    return EXIT_OK


class _ArgumentError(Exception):
    pass


def _refuse_unwritable(out: Path) -> None:
    """Refuse an output folder before hours of work, not after them."""
    folder = out.absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise _ArgumentError(f"--out {out}: {folder} is no folder that can be written to")


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
    async with Client(args.url, key, timeout=args.timeout, retries=args.retries) as client:
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
    write_whole(out / PAGE_NAME, page, private=with_texts)
    write_whole(out / JSON_NAME, document)
    content = "holds notes and values; keep it where they may be kept" if with_texts else "without notes and values"
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
