"""The command line: `python -m gateway serve | extract | keys`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from gateway import __version__, settings
from gateway.keys import KeysFileError, create_key

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
_KEY, _KEY_FILE = "GATEWAY_API_KEY", "GATEWAY_API_KEY_FILE"

_EXTRACT = f"""\
Send texts to a running gateway and print what it answers.

    python -m gateway extract "Stage IV lung adenocarcinoma, treated with osimertinib."
    python -m gateway extract --file note.txt --grounding strict
    cat note.txt | python -m gateway extract -
    python -m gateway extract --jsonl notes.jsonl --output results.jsonl --jobs 8

A JSONL input has an object with "text" (and "id") on each line. Run the same command again after an interruption: what
is in the output stays, what failed is tried again. The key comes from the variable {_KEY} or from the file
that {_KEY_FILE} or --key-file names, never from an argument, which other users of the machine could read.

Exit codes: 0 all extracted, 1 something failed, 2 called wrongly."""

_CREATE = """\
Make a new random key. The line for the keys file goes to standard output, the key itself, which is shown only this
once, to standard error:

    python -m gateway keys create ward-7 >> api-keys

A running gateway takes the new line within a second or two, without a restart."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 when it worked, 1 when it failed, 2 when it was called or configured wrongly.
    """
    chosen = _parser().parse_args(arguments)
    try:
        result: int = chosen.run(chosen)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return 130
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway", description="Structured extraction from a fine-tuned language model over HTTP."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    raw = argparse.RawDescriptionHelpFormatter

    about = "Start the HTTP service. GATEWAY_* environment variables alone configure it:\n\n" + _variables()
    serve = commands.add_parser("serve", help="start the HTTP service", description=about, formatter_class=raw)
    serve.set_defaults(run=_serve)

    extract = commands.add_parser(
        "extract", help="send texts to a running gateway", description=_EXTRACT, formatter_class=raw
    )
    _add_extract_arguments(extract)
    extract.set_defaults(run=_extract)

    keys = commands.add_parser("keys", help="make API keys", description="Make API keys.")
    actions = keys.add_subparsers(title="actions", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key for a client", description=_CREATE, formatter_class=raw)
    create.add_argument("name", metavar="NAME", help="the client's name, as the log will show it")
    create.set_defaults(run=_create_key)
    return parser


def _add_extract_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("text", nargs="?", metavar="TEXT", help="the text; - reads standard input")
    source.add_argument("--file", type=Path, help="a text file")
    source.add_argument("--jsonl", type=Path, help="a file of many texts; needs --output")
    parser.add_argument("--output", type=Path, help="where the results of --jsonl go")
    parser.add_argument("--jobs", type=_positive, default=4, help="texts at the gateway at once [4]")
    parser.add_argument("--text-field", default="text", metavar="NAME", help="the member with the text [text]")
    parser.add_argument("--id-field", default="id", metavar="NAME", help="the member with the id [id]")
    parser.add_argument(
        "--url",
        default=os.environ.get("GATEWAY_URL", "http://127.0.0.1:8080"),
        help="the gateway's address [GATEWAY_URL, or http://127.0.0.1:8080]",
    )
    parser.add_argument("--key-file", type=Path, help="a file that holds the key")
    parser.add_argument("--task", help="another task than the gateway's default")
    parser.add_argument("--grounding", choices=("off", "report", "strict"), help="what to do with ungrounded values")
    parser.add_argument("--model", help="another model or adapter of the engine")
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--max-tokens", type=_positive)
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for one text [120]")
    parser.add_argument("--retries", type=int, default=5, help="tries more where the gateway is busy or away [5]")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _variables() -> str:
    lines = []
    for name, field in settings.Settings.model_fields.items():
        default = settings.shown_default(name)
        lines.append(f"  {settings.PREFIX}{name.upper():<22} {field.description} [{default}]")
    return "\n".join(lines)


def _serve(_: argparse.Namespace) -> int:
    # Imported here so that the other commands start quickly.
    from gateway.app import create_app
    from gateway.server import serve
    from gateway.services import DefaultTaskError
    from gateway.tasks import TaskFileError
    from gateway.telemetry import configure_logging

    try:
        chosen = settings.load()
        configure_logging(chosen.log_level)
        app = create_app(chosen)
    except (settings.SettingsError, TaskFileError, KeysFileError, DefaultTaskError) as error:
        return _usage(str(error))
    return EXIT_OK if serve(app, chosen) else EXIT_FAILED


def _extract(chosen: argparse.Namespace) -> int:
    if (chosen.jsonl is None) != (chosen.output is None):
        return _usage("--jsonl and --output go together")
    try:
        key = _key(chosen.key_file)
        text = _one_text(chosen)
    except (OSError, UnicodeDecodeError) as error:
        return _usage(str(error))
    return asyncio.run(_send(chosen, key, text))


def _one_text(chosen: argparse.Namespace) -> str | None:
    if chosen.file is not None:
        return str(chosen.file.read_text("utf-8"))
    if chosen.text == "-":
        return sys.stdin.read()
    return None if chosen.text is None else str(chosen.text)


def _key(key_file: Path | None) -> str | None:
    named = key_file or os.environ.get(_KEY_FILE)
    if named:
        return Path(named).read_text("utf-8").strip()
    return os.environ.get(_KEY)


async def _send(chosen: argparse.Namespace, key: str | None, text: str | None) -> int:
    from gateway import bulk
    from gateway.client import Client, ClientError

    choices: dict[str, Any] = {
        name: getattr(chosen, name) for name in ("task", "grounding", "model", "temperature", "max_tokens")
    }
    try:
        async with Client(chosen.url, key, timeout=chosen.timeout, retries=chosen.retries) as client:
            if text is not None:
                answer = await client.extract(text, **choices)
                sys.stdout.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
                return EXIT_OK
            items = bulk.read_items(chosen.jsonl, chosen.text_field, chosen.id_field)
            summary = await bulk.run(client, items, chosen.output, jobs=chosen.jobs, progress=sys.stderr, **choices)
    except ClientError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_FAILED
    except (bulk.InputError, OSError) as error:
        return _usage(str(error))
    before = f", {summary.before} were done before" if summary.before else ""
    failed = f", {summary.failed} failed: run the same command again to try them again" if summary.failed else ""
    sys.stderr.write(f"{summary.done} extracted{before}{failed}\n")
    return EXIT_FAILED if summary.failed else EXIT_OK


def _create_key(chosen: argparse.Namespace) -> int:
    try:
        key, line = create_key(chosen.name)
    except ValueError as error:
        return _usage(str(error))
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    sys.stderr.write(f"The key, shown only this once: {key}\n")
    return EXIT_OK


def _usage(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return EXIT_USAGE
