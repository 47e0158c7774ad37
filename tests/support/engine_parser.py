"""Reads files of the engine's options as the engine itself does, and says what it has against each.

Runs where vLLM is installed, and with nothing of this repository: `python engine_parser.py FILE...`, where a file's
`model` is a folder with the model's config.json; weights are not needed. Prints, by file, what the engine understood
and every problem: what its parser or its configuration refuses, a name that it does not have word for word (its parser
would take an abbreviation), a value that it would drop, and whatever it calls deprecated. With it comes what the engine
has at all, `engine`, which roles/inference_stack/files/vllm_options.json keeps for a check without one.
"""

# mypy: disable-error-code="import-not-found"

import contextlib
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from vllm import __version__
from vllm.config.load import LoadConfig
from vllm.config.quantization import ONLINE_QUANT_SHORTHAND_NAMES
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.model_executor.model_loader.weight_utils import get_quant_config
from vllm.platforms import current_platform
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.kv_cache_interface import FullAttentionSpec


class Collected(logging.Handler):
    """What the engine logs as a warning, or worse."""

    def __init__(self) -> None:
        """Take warnings and errors."""
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record's message."""
        self.messages.append(record.getMessage())


@contextlib.contextmanager
def listening(problems: list[str]) -> Iterator[None]:
    """Add every deprecation that the engine speaks of meanwhile, in its log or as a warning of Python's."""
    collected = Collected()
    logger = logging.getLogger("vllm")
    logger.addHandler(collected)
    try:
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always")
            yield
    finally:
        logger.removeHandler(collected)
        messages = [*collected.messages, *(str(each.message) for each in raised)]
        problems += [message for message in messages if "deprecat" in message.lower()]


def names_problems(parser: FlexibleArgumentParser, options: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with names and values before the parser sees them."""
    known = parser._option_string_actions
    for name, value in options.items():
        if f"--{name.partition('.')[0]}" not in known:
            yield f"{name} is no option"
        if value is None:
            yield f"{name} would be read as the word None"
        if value is False and f"--no-{name}" not in known:
            yield f"{name}: false would be dropped"


def read(path: str) -> dict[str, Any]:
    """Return the problems of a file, and what the engine understood."""
    parser = make_arg_parser(FlexibleArgumentParser())
    problems = list(names_problems(parser, yaml.safe_load(Path(path).read_text(encoding="utf-8"))))
    understood: dict[str, Any] = {}
    with listening(problems):
        try:
            arguments = parser.parse_args(["--config", path])
            validate_parsed_serve_args(arguments)
            config = AsyncEngineArgs.from_cli_args(arguments).create_engine_config()
            model = config.model_config
            quantised = get_quant_config(model, LoadConfig()) if model.quantization else None
            cache = FullAttentionSpec(
                block_size=16,
                num_kv_heads=model.get_total_num_kv_heads(),
                head_size=model.get_head_size(),
                dtype=model.dtype,
            )
            understood = {
                "dtype": str(model.dtype),
                "quantization": model.quantization,
                "weights": str(quantised.args.linear) if quantised else "",
                "lora": bool(config.lora_config),
                "max_model_len": model.max_model_len,
                "max_num_seqs": config.scheduler_config.max_num_seqs,
                "kv_bytes_a_token": cache.page_size_bytes // cache.block_size * model.get_total_num_hidden_layers(),
            }
        except SystemExit as error:
            problems.append(f"the parser ended with {error.code}")
        except Exception as error:  # Whatever it has against the file is what is asked for.
            problems.append(f"{type(error).__name__}: {error}")
    return {"problems": problems, "understood": understood}


def options() -> dict[str, Any]:
    """Return the engine's version, its options, those that it deprecates, and how it can quantise while it loads."""
    parser = make_arg_parser(FlexibleArgumentParser())
    actions = {action for action in parser._actions if any(name.startswith("--") for name in action.option_strings)}
    old = {action for action in actions if action in parser._deprecated or "deprecated" in (action.help or "").lower()}
    old |= {action for action in actions if type(action).__name__.startswith("Deprecated")}

    def names(chosen: set[Any]) -> list[str]:
        found = {name for action in chosen for name in action.option_strings if name.startswith("--")}
        return sorted(name.removeprefix("--") for name in found)

    return {
        "version": __version__.partition("+")[0],
        "options": names(actions),
        "deprecated_options": names(old),
        "quantizations_while_loading": sorted(ONLINE_QUANT_SHORTHAND_NAMES),
    }


def main() -> None:
    """Run from the command line."""
    # A GPU quantises in any way; a CPU knows few, and would refuse by the machine, not by the file.
    current_platform.supported_quantization = []
    said = {"engine": options(), "files": {path: read(path) for path in sys.argv[1:]}}
    sys.stdout.write(f"{json.dumps(said, indent=1)}\n")


if __name__ == "__main__":
    main()
