"""The command `extract`; its arguments stand in `gateway.cli.main`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from gateway.cli.key import KeyUnusableError, key_path, read_key
from gateway.client import bulk
from gateway.client.client import Client, ClientError
from gateway.client.items import Item, read_items
from gateway.client.results import OutputError, Results, open_results
from gateway.files.reading import STANDARD_INPUT, ReadError, read_standard_input, read_text

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130
# What the answer to a text depends on. It stands in each line of results, and a run that differs does not go on there.
_OPTIONS = ("task", "grounding", "model", "temperature", "max_tokens", "resolve_times")
_SHOWN_FAILURES = 5


def run_extract(args: argparse.Namespace) -> int:
    """Extract as the arguments say.

    Returns:
        0 when all was extracted, 1 when something failed, 2 when arguments or files cannot be used, 130 after Ctrl-C.
    """
    if (args.jsonl is None) != (args.output is None):
        return _end("--jsonl and --output go together", EXIT_USAGE)
    choices = {name: getattr(args, name) for name in _OPTIONS}
    if args.resolve_times is not None:
        choices["resolve_times"] = dict(zip(("now", "timezone"), args.resolve_times, strict=True))
    try:
        key = read_key(args.key_file)
        if args.jsonl is None:
            return asyncio.run(_extract_one(args, key, _text(args), choices))
        items = read_items(args.jsonl, args.text_field, args.id_field)
        inputs = [args.jsonl, *filter(None, [key_path(args.key_file)])]
        with open_results(args.output, inputs, items, choices) as results:
            return _extract_many(args, key, items, results, choices)
    except (ReadError, KeyUnusableError, OutputError) as error:
        return _end(str(error), EXIT_USAGE)


def _text(args: argparse.Namespace) -> str:
    if args.text == "-" or args.file == STANDARD_INPUT:
        return read_standard_input(None if sys.stdin is None else sys.stdin.buffer)
    return str(args.text) if args.file is None else read_text(args.file)


def _client(args: argparse.Namespace, key: str | None) -> Client:
    return Client(args.url, key, timeout=args.timeout, retries=args.retries)


async def _extract_one(args: argparse.Namespace, key: str | None, text: str, choices: dict[str, Any]) -> int:
    try:
        async with _client(args, key) as client:
            answer = await client.extract(text, **choices)
    except ClientError as error:
        return _end(str(error), EXIT_FAILED)
    # JSON is UTF-8, whatever the terminal's encoding.
    sys.stdout.buffer.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return EXIT_OK


def _extract_many(
    args: argparse.Namespace, key: str | None, items: Sequence[Item], results: Results, choices: dict[str, Any]
) -> int:
    for notice in results.notices:
        sys.stderr.write(f"{notice}\n")

    async def run() -> bulk.Summary:
        async with _client(args, key) as client:
            return await bulk.run(client, items, results, jobs=args.jobs, progress=sys.stderr, **choices)

    again = "; what is done is kept: run the same command again to go on" if args.output.is_file() else ""
    try:
        summary = asyncio.run(run())
    except KeyboardInterrupt:
        return _end(f"\ninterrupted{again}", EXIT_INTERRUPTED)
    except OSError as error:
        return _end(f"--output {args.output}: cannot be written: {error.strerror}{again}", EXIT_FAILED)
    sys.stderr.write(_summary(args.output, summary))
    return EXIT_FAILED if summary.failures else EXIT_OK


def _summary(output: Path, summary: bulk.Summary) -> str:
    failures = sorted(summary.failures, key=lambda failure: failure.line)
    lines = [f"line {failure.line}: {failure.reason.removeprefix(f'line {failure.line}: ')}" for failure in failures]
    if len(lines) > _SHOWN_FAILURES:
        lines[_SHOWN_FAILURES:] = [f"... and {len(lines) - _SHOWN_FAILURES} more, each with its reason in {output}"]
    before = f", {summary.before} were done before" if summary.before else ""
    lines.append(f"{summary.done} extracted{before}{_advice(failures)}")
    return "".join(f"{line}\n" for line in lines)


def _advice(failures: Sequence[bulk.Failure]) -> str:
    if not failures:
        return ""
    healing = sum(failure.may_heal for failure in failures)
    lasting = len(failures) - healing
    if not lasting:
        return f", {len(failures)} failed: run the same command again to try them again"
    if not healing:
        return f", {len(failures)} failed and will fail again as they are: see the reasons"
    return (
        f", {len(failures)} failed: run the same command again to try {healing} of them again; "
        f"the other {lasting} will fail again as they are: see the reasons"
    )


def _end(reason: str, code: int) -> int:
    sys.stderr.write(f"{reason}\n")
    return code
