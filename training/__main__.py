"""The command line of the training package: `python -m training --help`."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Callable
from pathlib import Path

from training.config import ConfigError
from training.data.dataset import DatasetError
from training.data.prompt import MEDICAL, TaskFileError
from training.evaluation.bars import BelowBarsError
from training.export.errors import ExportError
from training.generation.collect import GenerationError
from training.generation.service import ServiceError
from training.run.interruption import Interrupted, exit_status, signals_as_requests

EXIT_BELOW_BARS = 3
_FOLDER = Path(__file__).resolve().parent
_OUT_OF_DISK = {errno.ENOSPC, errno.EDQUOT}
# From the messages of safetensors, and of PyTorch, whose writer does not pass the reason on.
_OUT_OF_DISK_WORDS = ("No space left on device", "os error 28", "PytorchStreamWriter failed", "inline_container.cc")

_EXIT_STATUS = """
exit status:
  0   done
  1   the configuration, the data or the machine cannot be used; the reason is on the error stream
  2   the command line is wrong
  3   the model is below a bar of its configuration: its files and figures are written, and it is not to be used
  75  stopped by SIGTERM, with a checkpoint saved: the same command resumes from it (130 after Ctrl-C)
"""
_TASK = "name of a task of gateway/tasks, or path of a task file (default: %(default)s)"
_DATA = "folder with train.jsonl and validation.jsonl"
_OUT = "folder of the run: base/, adapter/, checkpoints/, metrics.jsonl, evaluation.json, README.md (the model card)"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train an extraction model, small on a CPU or Llama 3.1 8B on a GPU; the configuration says which, "
        "and for which task.",
        epilog=_EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, action: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", epilog=_EXIT_STATUS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        command.set_defaults(action=action)
        return command

    from training import stages

    for name, action, text in (
        (
            "run",
            stages.run,
            "do pretrain (where the configuration has one), adapter, evaluate and card in turn; "
            "complete stages are skipped",
        ),
        ("pretrain", stages.pretrain, "train the small model's base from scratch into OUT/base"),
        ("adapter", stages.adapter, "train the adapter of a base into OUT/adapter"),
        ("evaluate", stages.evaluate, "answer the validation notes, score the answers, write the card"),
    ):
        _add_stage_arguments(add(name, action, text), name)
    command = add(
        "check-data",
        stages.check_data,
        "list every problem of the data, leaks between its files and inconsistent labels",
    )
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help=_DATA)
    command.add_argument("--task", default=MEDICAL, help=_TASK)
    command.add_argument(
        "--groups",
        type=int,
        default=3,
        help="show so many groups of inconsistent labels of a kind (default: %(default)s)",
    )
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="also write the report, with all groups, to this JSON file"
    )
    command = add(
        "make-data",
        stages.make_data,
        "make the data of a task from its grammar, the validation texts with held-out phrasings and values",
    )
    command.add_argument("--task", required=True, help="name of a task that has a grammar")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets train.jsonl and validation.jsonl")
    command.add_argument("--training", type=_positive, default=4000, help="training texts (default: %(default)s)")
    command.add_argument("--validation", type=_positive, default=500, help="validation texts (default: %(default)s)")
    command.add_argument(
        "--off-topic", type=_share, default=0.25, metavar="SHARE",
        help="share, 0 to 1, of texts with nothing of the task in them (default: %(default)s)",
    )  # fmt: skip
    command.add_argument("--seed", type=int, default=1, help="of the random numbers (default: %(default)s)")
    _add_generate_arguments(
        add(
            "generate",
            stages.generate,
            "ask an OpenAI-compatible service for examples of a task, and keep those that are valid, have evidence for "
            "every value and are new; the same command goes on where it ended",
        )
    )
    command = add("gguf", stages.gguf, "write a base with its adapter merged as one GGUF file, which llama.cpp serves")
    command.add_argument("--base", type=Path, required=True, metavar="DIR", help="folder of the base")
    command.add_argument("--adapter", type=Path, metavar="DIR", help="folder of the adapter (default: the base alone)")
    command.add_argument(
        "--type", default="f16", help="of the weights: f16 or q8_0, which is half as large (default: %(default)s)"
    )
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file, such as OUT/model.gguf")
    command = add("card", stages.card, "write the model card and the curves again from the files in OUT")
    command.add_argument("--out", type=Path, required=True, metavar="OUT", help=_OUT)
    return parser


def _add_stage_arguments(command: argparse.ArgumentParser, name: str) -> None:
    command.add_argument(
        "--config", type=Path, default=_FOLDER / "small.yaml", help="configuration file (default: small.yaml)"
    )
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help=_DATA)
    command.add_argument("--out", type=Path, required=True, metavar="OUT", help=_OUT)
    command.add_argument(
        "--threads",
        type=_positive,
        default=1,
        help="CPU threads; the base trains in as many processes (default: %(default)s)",
    )
    if name in ("adapter", "evaluate"):
        command.add_argument(
            "--base",
            help="the base: a folder, or hf://owner/repository@commit on the Hugging Face Hub, read with the token "
            "in HF_TOKEN if it is set (default: the configuration's, else OUT/base)",
        )
    if name in ("adapter", "run"):
        command.add_argument(
            "--max-steps",
            type=_positive,
            metavar="STEPS",
            help="end the training of the adapter after so many steps",
        )
    if name in ("run", "evaluate"):
        command.add_argument(
            "--answers", type=Path, help="write every validation note with its answer to this JSONL file"
        )
        command.add_argument(
            "--base-only", action="store_true", help="evaluate the base without the adapter, for comparison"
        )
        command.add_argument("--limit", type=_positive, help="use the first LIMIT validation notes only")
        command.add_argument(
            "--generated", type=int, default=200, metavar="NOTES",
            help="generated notes of each kind, such as held-out phrasings (default: %(default)s)",
        )  # fmt: skip


def _add_generate_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--task", required=True,
        help="name of a task of gateway/tasks, or path of a task file: fields, limits, and golden notes as seeds",
    )  # fmt: skip
    command.add_argument(
        "--url", required=True, help="address before /chat/completions, such as http://127.0.0.1:8000/v1"
    )
    command.add_argument("--model", required=True, help="name of the model at the service")
    command.add_argument(
        "--key-file", type=Path, metavar="FILE", help="file of the service's key (default: the variable OPENAI_API_KEY)"
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="FILE",
        help="JSON lines, such as DIR/train.jsonl; examples that it holds count. FILE.usage.json has what was spent",
    )  # fmt: skip
    command.add_argument("--count", type=_positive, required=True, help="examples that the file is to hold")
    command.add_argument(
        "--distinct-from", type=Path, action="append", default=[], metavar="FILE",
        help="data set whose texts must not come again, such as DIR/train.jsonl; may be given several times",
    )  # fmt: skip
    command.add_argument(
        "--requests", type=_positive, default=1000,
        help="most answers in all, over every call for this file (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--tokens", type=_positive, help="most tokens in all, as the service counts them (default: no limit)"
    )
    command.add_argument("--at-once", type=_positive, default=10, help="examples in one answer (default: %(default)s)")
    command.add_argument(
        "--answer-tokens", type=_positive, default=4096, help="most tokens of one answer (default: %(default)s)"
    )
    command.add_argument("--temperature", type=float, default=1.0, help="of the model (default: %(default)s)")
    command.add_argument(
        "--response-format", choices=("json_schema", "json_object", "text"), default="json_object",
        help="how the service is asked for JSON; text for one that has no JSON mode (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--retries", type=_count, default=6,
        help="times that a question is asked again after a failure that may pass, such as a rate limit (default: "
        "%(default)s)",
    )  # fmt: skip
    command.add_argument("--seed", type=int, default=1, help="of what varies the questions (default: %(default)s)")


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return number


def main() -> int:
    """Run one command and return the exit status, which `--help` explains."""
    args = _parser().parse_args()
    try:
        with signals_as_requests():
            args.action(args)
    except (ConfigError, DatasetError, TaskFileError, GenerationError, ServiceError, ExportError) as error:
        return _fail(str(error))
    except BelowBarsError as error:
        _fail(str(error))
        return EXIT_BELOW_BARS
    except Interrupted:
        sys.stderr.write("training: stopped; the same command resumes from the checkpoint\n")
        return exit_status()
    except ModuleNotFoundError as error:
        return _fail(
            f"the Python package {error.name} is not installed here. `.ci/training-env` makes an environment for "
            "training: `.training-venv/bin/python -m training ...`; the images of docker/trainer have one too "
            "(bitsandbytes, for 4-bit weights, is in the GPU image only)"
        )
    except Exception as error:
        if _is_out_of_disk(error):
            return _fail(
                f"the disk is full ({error}): free some space, and the same command resumes from its last checkpoint"
            )
        if isinstance(error, OSError) and error.filename is not None:
            return _fail(f"{error.filename}: {error.strerror}")
        raise
    return 0


def _fail(reason: str) -> int:
    sys.stderr.write(f"training: {reason}\n")
    return 1


def _is_out_of_disk(error: BaseException | None) -> bool:
    """Tell whether an error is due to a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _OUT_OF_DISK:
            return True
        if any(words in str(error) for words in _OUT_OF_DISK_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


if __name__ == "__main__":
    sys.exit(main())
