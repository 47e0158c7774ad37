"""Whether the served engine answers as PyTorch does, greedily, note by note.

    python -m training evaluate --data FOLDER --out models/small --answers answers.jsonl     # in .training-venv
    python -m tests.benchmarks.same_answers answers.jsonl --key-file FILE

Asks the gateway's OpenAI-compatible path, which adds nothing to a request: temperature 0, no grammar. For an answer
that differs it prints where, and how likely the two likeliest tokens were there: between near ones, rounding decides.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from gateway.tasks import Task, load_task
from gateway.tasks.prompting import build_messages

TASK_FILE = Path("gateway/tasks/medical_ie.yaml")
MOST_TOKENS = 256


@dataclass(frozen=True)
class Difference:
    """Where two answers part: the text before, how each goes on, and the likeliest tokens' probabilities there."""

    before: str
    expected: str
    served: str
    likeliest: tuple[float, float]


def ask(client: openai.OpenAI, task: Task, model: str, text: str) -> tuple[str, list[Any]]:
    """Return the engine's answer, and each of its tokens with the two likeliest ones."""
    messages: Any = build_messages(task, text)
    reply = client.chat.completions.create(
        model=model, messages=messages, temperature=0, max_tokens=MOST_TOKENS, logprobs=True, top_logprobs=2
    )
    choice = reply.choices[0]
    tokens = choice.logprobs.content if choice.logprobs and choice.logprobs.content else []
    return choice.message.content or "", tokens


def difference(expected: str, served: str, tokens: list[Any]) -> Difference | None:
    """Return where an answer parts from the expected one; None where it does not."""
    if expected == served:
        return None
    at = next((i for i, pair in enumerate(zip(expected, served, strict=False)) if len(set(pair)) > 1), None)
    at = min(len(expected), len(served)) if at is None else at
    end = 0
    for token in tokens:
        end += len(token.token)
        if end > at:
            break
    first, second = sorted((math.exp(each.logprob) for each in token.top_logprobs), reverse=True)
    return Difference(served[:at], expected[at : at + 40], served[at : at + 40], (first, second))


def main() -> int:
    """Compare and print.

    Returns:
        The exit code: 0 when all are the same, 1 when some differ.
    """
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.same_answers", description=__doc__, formatter_class=shape
    )
    parser.add_argument("answers", type=Path, help="what `training evaluate --answers` wrote")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the gateway (default: %(default)s)")
    parser.add_argument("--key-file", type=Path, help="file with a key of the gateway")
    parser.add_argument("--model", default="medical-ie", help="the adapter's name (default: %(default)s)")
    parser.add_argument("--notes", type=int, default=50, help="how many notes (default: %(default)s)")
    options = parser.parse_args()
    task = load_task(TASK_FILE)
    lines = options.answers.read_text(encoding="utf-8").splitlines()[: options.notes]
    key = options.key_file.read_text(encoding="utf-8").strip() if options.key_file else "none"
    with openai.OpenAI(base_url=f"{options.url}/v1", api_key=key) as client:
        differing = 0
        for number, record in enumerate(map(json.loads, lines), 1):
            served, tokens = ask(client, task, options.model, record["input"])
            if found := difference(record["raw_output"], served, tokens):
                differing += 1
                first, second = found.likeliest
                sys.stdout.write(
                    f"note {number}: after {found.before[-40:]!r} PyTorch {found.expected!r}, served {found.served!r}; "
                    f"the likeliest tokens there: {first:.3f} and {second:.3f}\n"
                )
    sys.stdout.write(f"{len(lines) - differing} of {len(lines)} answers are the same\n")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
