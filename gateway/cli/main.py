"""The command line: `python -m gateway serve | extract | evaluate | compare | keys`."""

import argparse
import contextlib
import io
import math
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from gateway import __version__, settings
from gateway.access.keys import KeysFileError, create_key
from gateway.cli.key import KEY, KEY_FILE, KeyUnusableError, key_path, read_key
from gateway.files.reading import ReadError, check_argument

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130
# The extra of the project's `evaluation`.
_EVALUATION_PACKAGES = ("jinja2", "jsonschema", "numpy")

_EXTRACT = f"""\
Send texts to a running gateway and print what it answers.

    python -m gateway extract - < note.txt
    python -m gateway extract --file note.txt --grounding strict
    python -m gateway extract --jsonl notes.jsonl --output results.jsonl --jobs 8
    zcat notes.jsonl.gz | python -m gateway extract --jsonl - --output results.jsonl

A note as an argument (TEXT) is for made-up ones: other users of the machine can read arguments, and the shell keeps
them. A text is UTF-8. The offsets of the evidence count its characters as they stand in the file, line ends included
and a byte order mark not.

A JSONL input has an object with "text" (and "id") on each line. A line that cannot be used, or whose text fails, gets
an error in the output, and the others go on. The output is JSON Lines too, as texts are done: each one's index (from
0), id, status and result or error. It holds clinical text: a new file is readable by you alone. --output - or a pipe
takes the lines as they come.

Run the same command again after an interruption: what is in the output stays, failures are tried again, and only texts
that it does not hold are asked, wherever they stand in the input now. Another --task, --model, --grounding,
--temperature, --max-tokens or --resolve-times needs another output. A file that holds anything else is never written
to.

The key comes from the variable {KEY} or from the file that {KEY_FILE} or --key-file names, never
from an argument.

Exit codes: 0 all extracted, 1 something failed, 2 called wrongly or a file that cannot be used, 130 after Ctrl-C."""

_EVALUATE = f"""\
Ask a running gateway for every note of a data set and score its answers: precision, recall and F1 of each field by
three rules, invented values, validity, calibration, latency, all with intervals. docs/evaluation.md explains the
figures.

    python -m gateway evaluate validation.jsonl --url http://127.0.0.1:8080 --out results
    python -m gateway evaluate validation.jsonl --answers answers.jsonl --out results

The data set has an object with "input" (or "text") and "output" (or "expected") on each line; a line that cannot be
used stops everything before anything is asked. A note that the gateway cannot answer counts as invalid and is reported
with its line; the others go on. --out DIR writes evaluation.json, which holds no text, and evaluation.html, which shows
the notes where answer and expectation differ: keep it where the notes may be kept, or leave the texts out with
--no-texts. Earlier ones of the same names are replaced, other files never. The key comes from {KEY} or
the file that {KEY_FILE} or --key-file names. Clinical text goes to the gateway and to evaluation.html,
nowhere else.

For runs of hours: `extract --jsonl` can be resumed, and --answers takes its output.

Exit codes: 0 evaluated, 1 the gateway gave no answers, 2 called wrongly or a file that cannot be used, 130 after
Ctrl-C. Nothing is written unless it is 0."""

_COMPARE = """\
Report which differences between two evaluations of the same notes are significant, and which may be due to the choice
of notes:

    python -m gateway compare before/evaluation.json after/evaluation.json

Standard output has a table, or with --json the verdict and every difference for programs.

Exit codes: 0 compared, 3 with --fail-if-worse when the second is significantly worse in micro-F1, in any field or in
validity, 2 called wrongly, a file that cannot be read or is no evaluation, or two that are not over the same notes and
fields; standard error then has the reason."""

_CREATE = """\
Make a new random key. The line for the keys file goes to standard output, the key itself, which is shown only this
once, to standard error:

    python -m gateway keys create ward-7 >> api-keys

A running gateway takes the new line within a second or two, without a restart."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 when it succeeded, 1 when it failed, 2 when it was called or configured wrongly, 130 after Ctrl-C.
    """
    _stand_in_for_closed_streams()
    args = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # of a file's name, what the terminal's encoding has not
    try:
        for name, value in vars(args).items():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, str):
                    check_argument(each, f"the argument {name.replace('_', '-')}")
        result: int = args.run(args)
        sys.stdout.flush()
    except ReadError as error:
        return _usage(str(error))
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return EXIT_INTERRUPTED
    except OSError as error:
        # Each command tells of its own files.
        _give_up_output()
        if not isinstance(error, BrokenPipeError):  # as when `head` has seen enough
            sys.stderr.write(f"standard output cannot be written: {error.strerror or error}\n")
        return EXIT_FAILED
    return result


def _stand_in_for_closed_streams() -> None:
    """Replace a standard stream that the caller closed (`>&-`), which is None in Python.

    What goes to standard output then fails, as elsewhere; messages have nowhere to go. Without this a file that is
    opened later would get the stream's descriptor, too.
    """
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def _give_up_output() -> None:
    """Let the interpreter's last flush, at its end, go nowhere instead of failing once more."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


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

    evaluate = commands.add_parser(
        "evaluate", help="score a gateway's answers", description=_EVALUATE, formatter_class=raw
    )
    _add_evaluate_arguments(evaluate)
    evaluate.set_defaults(run=_evaluate)

    compare = commands.add_parser("compare", help="compare two evaluations", description=_COMPARE, formatter_class=raw)
    _add_compare_arguments(compare)
    compare.set_defaults(run=_compare)

    keys = commands.add_parser("keys", help="make API keys", description="Make API keys.")
    actions = keys.add_subparsers(title="actions", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key for a client", description=_CREATE, formatter_class=raw)
    create.add_argument("name", metavar="NAME", help="the client's name, as the log will show it")
    create.set_defaults(run=_create_key)
    return parser


def _add_extract_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "text", nargs="?", metavar="TEXT", help="the text, for made-up ones; - reads it from standard input"
    )
    source.add_argument("--file", type=Path, help="a text file, UTF-8; - is standard input")
    source.add_argument("--jsonl", type=Path, help="a file of many texts, - is standard input; needs --output")
    parser.add_argument("--output", type=Path, help="where the results of --jsonl go; - is standard output")
    parser.add_argument("--jobs", type=_positive, default=4, help="texts at the gateway at once [4]")
    parser.add_argument("--text-field", default="text", metavar="NAME", help="the member with the text [text]")
    parser.add_argument("--id-field", default="id", metavar="NAME", help="the member with the id [id]")
    _add_gateway_arguments(parser)
    parser.add_argument("--temperature", type=_number, help="of the model's choice of tokens, 0 to 2 [the task's]")
    parser.add_argument("--max-tokens", type=_positive, help="the most tokens of one answer [the task's]")
    parser.add_argument(
        "--resolve-times",
        nargs=2,
        metavar=("NOW", "ZONE"),
        help="resolve the times of a text that was said then and there, such as 2026-11-28T09:00:00 Europe/Berlin",
    )


def _add_gateway_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which gateway to ask, and how."""
    parser.add_argument(
        "--url",
        default=os.environ.get("GATEWAY_URL", "").strip() or "http://127.0.0.1:8080",
        help="the gateway's address [GATEWAY_URL, or http://127.0.0.1:8080]",
    )
    parser.add_argument("--key-file", type=Path, help=f"a file that holds the key [{KEY_FILE}, or the key in {KEY}]")
    parser.add_argument("--task", help="another task than the gateway's default")
    parser.add_argument(
        "--grounding",
        choices=("off", "report", "strict"),
        help="what to do with values that the text does not support [report]",
    )
    parser.add_argument("--model", help="another model or adapter of the engine [the task's]")
    parser.add_argument("--timeout", type=_seconds, default=120.0, help="seconds for one text [120]")
    parser.add_argument("--retries", type=_whole, default=5, help="more attempts where the gateway is busy or away [5]")


def _add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dataset", type=Path, metavar="DATASET", help="a JSONL file of notes and expected answers; - is standard input"
    )
    _add_gateway_arguments(parser)
    parser.add_argument("--answers", type=Path, metavar="FILE", help="take the answers from this file, ask no gateway")
    parser.add_argument("--limit", type=_positive, metavar="N", help="the first N notes only")
    parser.add_argument(
        "--concurrency", type=_positive, default=4, metavar="N", help="notes at the gateway at once [4]"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write evaluation.json and evaluation.html there")
    parser.add_argument("--no-texts", action="store_true", help="keep notes and values out of evaluation.html")
    _add_bootstrap_arguments(parser, 2000)


def _add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", type=Path, metavar="A.json", help="the evaluation to compare with")
    parser.add_argument("second", type=Path, metavar="B.json", help="the evaluation to judge")
    parser.add_argument(
        "--rule", choices=("exact", "normalised", "items"), default="exact", help="when a value is right [exact]"
    )
    parser.add_argument("--fail-if-worse", action="store_true", help="exit with 3 when B is significantly worse than A")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    _add_bootstrap_arguments(parser, 10_000)


def _add_bootstrap_arguments(parser: argparse.ArgumentParser, resamples: int) -> None:
    parser.add_argument(
        "--resamples", type=_positive, default=resamples, metavar="N", help=f"draws of the bootstrap [{resamples}]"
    )
    parser.add_argument("--seed", type=_whole, default=0, metavar="N", help="of those draws [0]")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must be 0 or more")
    return number


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError("must be a number")
    return number


def _seconds(text: str) -> float:
    number = _number(text)
    if number <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
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
    from gateway.observability.logs import configure_logging
    from gateway.server.run import serve
    from gateway.services import DefaultTaskError
    from gateway.tasks import TaskFileError

    try:
        configuration = settings.load()
        configure_logging(configuration.log_level)
        app = create_app(configuration)
    except (settings.SettingsError, TaskFileError, KeysFileError, DefaultTaskError) as error:
        return _usage(str(error))
    return EXIT_OK if serve(app, configuration) else EXIT_FAILED


def _extract(args: argparse.Namespace) -> int:
    from gateway.cli.extract import run_extract

    return run_extract(args)


def _evaluate(args: argparse.Namespace) -> int:
    if missing := _missing_for_evaluation():
        return _usage(missing)
    from gateway.evaluation.command import run_evaluate

    try:
        key = read_key(args.key_file)
    except KeyUnusableError as error:
        return _usage(str(error))
    return run_evaluate(args, key, key_path(args.key_file))


def _compare(args: argparse.Namespace) -> int:
    if missing := _missing_for_evaluation():
        return _usage(missing)
    from gateway.evaluation.command import run_compare

    return run_compare(args)


def _missing_for_evaluation() -> str | None:
    """Return what to do where the extra `evaluation` is not installed, None where it is."""
    if find_spec("gateway.evaluation") is None:
        return "the gateway's image has no evaluation: run evaluate and compare from a checkout of the repository"
    if missing := [name for name in _EVALUATION_PACKAGES if find_spec(name) is None]:
        return (
            f"evaluate and compare need {', '.join(missing)}: "
            f"install the extra with `poetry install --extras evaluation` "
            f"or `pip install {' '.join(_EVALUATION_PACKAGES)}`"
        )
    return None


def _create_key(args: argparse.Namespace) -> int:
    try:
        key, line = create_key(args.name)
    except ValueError as error:
        return _usage(str(error))
    # The line first: without it in the keys file the key would be of no use.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    sys.stderr.write(f"The key, shown only this once: {key}\n")
    return EXIT_OK


def _usage(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return EXIT_USAGE
