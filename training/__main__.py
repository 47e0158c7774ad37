"""The command line of the training package: `python -m training --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loguru import logger

from training.config import ConfigError, load_config
from training.dataset import DatasetError, Note, check_no_leak, load_notes
from training.notes import make_notes
from training.prompt import Prompt, TaskFileError, load_prompt
from training.scoring import report

_CONFIG = Path(__file__).resolve().parent / "small.yaml"
_NO_CANCER_SEED = 99  # no seed of a training run: other notes, though of the same grammar


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train the small extraction model on the CPU: a base, a LoRA adapter on it, and their figures.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("run", "pretrain, adapter and evaluate, one after the other"),
        ("pretrain", "train the base from nothing into OUT/base"),
        ("adapter", "train the adapter of OUT/base into OUT/adapter"),
        ("evaluate", "answer the validation notes with OUT/base and OUT/adapter, and say how right the answers are"),
    ):
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        command.add_argument("--config", type=Path, default=_CONFIG, help="configuration file (default: %(default)s)")
        command.add_argument(
            "--data", type=Path, required=True, help="folder with train.jsonl and validation.jsonl of the data set"
        )
        command.add_argument("--out", type=Path, required=True, help="folder of the model: base/ and adapter/ in it")
        command.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
        if name in ("run", "evaluate"):
            command.add_argument(
                "--answers", type=Path, help="write every validation note with its answer to this JSONL file"
            )
            command.add_argument("--base-only", action="store_true", help="leave the adapter out: shows what it adds")
            command.add_argument("--limit", type=int, help="use the first LIMIT validation notes only")
            command.add_argument(
                "--no-cancer",
                type=int,
                default=200,
                metavar="NOTES",
                help="generated notes without cancer (%(default)s)",
            )
    return parser


def _load_data(folder: Path, prompt: Prompt) -> tuple[list[Note], list[Note]]:
    training = load_notes(folder / "train.jsonl", prompt.instruction)
    validation = load_notes(folder / "validation.jsonl", prompt.instruction)
    check_no_leak(training, validation)
    logger.info(f"{len(training)} training notes, {len(validation)} validation notes")
    return training, validation


def _run(options: argparse.Namespace) -> None:
    config = load_config(options.config)
    prompt = load_prompt()
    training, validation = _load_data(options.data, prompt)
    # Torch takes seconds to import: after the inputs have been checked.
    import torch

    from training.adapter import train_adapter
    from training.pretrain import pretrain

    torch.set_num_threads(options.threads)
    base, adapter = options.out / "base", options.out / "adapter"
    if options.command in ("run", "pretrain"):
        pretrain(training, config, prompt, base)
    if options.command in ("run", "adapter"):
        train_adapter(training, config, prompt, base, adapter)
    if options.command in ("run", "evaluate"):
        _evaluate(options, validation[: options.limit], prompt)


def _evaluate(options: argparse.Namespace, notes: list[Note], prompt: Prompt) -> None:
    from training.evaluate import count_all_null, evaluate

    base, adapter = options.out / "base", None if options.base_only else options.out / "adapter"
    sys.stdout.write(report(evaluate(base, adapter, notes, prompt, options.answers)))
    healthy = [note.text for note in make_notes(options.no_cancer, 1.0, _NO_CANCER_SEED)]
    if healthy:
        null = count_all_null(base, adapter, healthy, prompt)
        sys.stdout.write(f"{len(healthy)} generated notes without cancer, {null} answered with null in every field\n")


def main() -> int:
    """Run one command; gives the exit status: 0, or 1 with the reason on the error stream."""
    options = _parser().parse_args()
    try:
        _run(options)
    except (ConfigError, DatasetError, TaskFileError, FileNotFoundError) as error:
        sys.stderr.write(f"training: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("training: stopped; the same command goes on from the last checkpoint\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
