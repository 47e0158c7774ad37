"""The command line: `python -m gateway serve | keys`."""

import argparse
import sys
from collections.abc import Sequence

from gateway import __version__, settings
from gateway.keys import KeysFileError, create_key
from gateway.services import DefaultTaskError
from gateway.tasks import TaskFileError

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 when it worked, 1 when it failed, 2 when it was called or configured wrongly.
    """
    chosen = _parser().parse_args(arguments)
    result: int = chosen.run(chosen)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway", description="Serve structured extraction from a fine-tuned language model over HTTP."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        help="start the HTTP service",
        description="Start the HTTP service. GATEWAY_* environment variables alone configure it:\n\n" + _variables(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.set_defaults(run=_serve)

    keys = commands.add_parser("keys", help="make API keys", description="Make API keys.")
    actions = keys.add_subparsers(title="actions", required=True, metavar="ACTION")
    create = actions.add_parser(
        "create",
        help="make a key for a client",
        description="Make a new random key. The line for the keys file goes to standard output, the key itself, which\n"
        "is shown only this once, to standard error:\n\n    python -m gateway keys create ward-7 >> api-keys\n\n"
        "A running gateway takes the new line within a second or two, without a restart.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    create.add_argument("name", metavar="NAME", help="the client's name, as the log will show it")
    create.set_defaults(run=_create_key)
    return parser


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
    from gateway.telemetry import configure_logging

    try:
        chosen = settings.load()
        configure_logging(chosen.log_level)
        app = create_app(chosen)
    except (settings.SettingsError, TaskFileError, KeysFileError, DefaultTaskError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    return EXIT_OK if serve(app, chosen) else EXIT_FAILED


def _create_key(chosen: argparse.Namespace) -> int:
    try:
        key, line = create_key(chosen.name)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_USAGE
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    sys.stderr.write(f"The key, shown only this once: {key}\n")
    return EXIT_OK
