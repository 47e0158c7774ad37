"""How fast engines answer generated notes with the gateway's own requests, and how often they answer the same.

    python -m training gguf --base models/small/base --adapter models/small/adapter --out build/f16.gguf
    .llamacpp-venv/bin/python docker/llamacpp/serve.py --config build/engine.json
    python -m tests.benchmarks.engines f16=llamacpp=http://127.0.0.1:8000 vllm=vllm=http://127.0.0.1:8001

Each engine is a name, its kind and its address; all are asked in turn, in one run, without a cached prompt. The first
is what the others' answers are compared with. The machine's load average stands beside every figure: other work on the
machine makes an engine slower, and nothing here takes that out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from gateway.engine.dialect import dialect_of
from gateway.extraction.decoding import grammar
from gateway.settings import EngineKind
from gateway.tasks import Task, load_task
from gateway.tasks.prompting import build_messages
from training.notes.generator import make_notes

TASK_FILE = Path("gateway/tasks/medical_ie.yaml")
MOST_TOKENS = 256
WARM_UP = 2


@dataclass(frozen=True)
class Target:
    """An engine to be measured."""

    name: str
    kind: EngineKind
    url: str


@dataclass(frozen=True)
class Run:
    """The answers to all notes, and the time that they took, in seconds."""

    answers: list[str]
    seconds: list[float]
    whole: float

    def line(self, target: Target, clients: int) -> str:
        """Return the figures as a row of a table."""
        rate, load = len(self.answers) / self.whole, os.getloadavg()[0]
        p50 = statistics.median(self.seconds)
        return f"| {target.name} | {clients} | {len(self.answers)} | {rate:.2f} | {p50:.2f} | {load:.1f} |"


def target(text: str) -> Target:
    """Read NAME=KIND=URL.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    name, _, rest = text.partition("=")
    kind, _, url = rest.partition("=")
    for known in get_args(EngineKind):
        if kind == known and url.startswith(("http://", "https://")):
            return Target(name, known, url.rstrip("/"))
    raise argparse.ArgumentTypeError(f"{text} is not NAME=KIND=URL with the kind {' or '.join(get_args(EngineKind))}")


def ask(engine: Target, task: Task, text: str) -> tuple[str, float]:
    """Return an answer and the seconds that it took."""
    dialect = dialect_of(engine.kind)
    body = {
        "model": task.adapter,
        "messages": build_messages(task, text),
        "temperature": 0,
        "max_tokens": MOST_TOKENS,
        **dialect.constrained(grammar(task)),
        **dialect.probabilities,
        **dialect.private(os.urandom(8).hex()),
    }
    request = urllib.request.Request(
        f"{engine.url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    began = time.monotonic()
    with urllib.request.urlopen(request, timeout=600) as response:
        reply = json.load(response)
    return str(reply["choices"][0]["message"]["content"]), time.monotonic() - began


def measure(engine: Target, task: Task, texts: Sequence[str], clients: int) -> Run:
    """Have all texts answered, some at once."""
    for text in texts[:WARM_UP]:
        ask(engine, task, text)
    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        results = list(pool.map(lambda text: ask(engine, task, text), texts))
    answers, seconds = zip(*results, strict=True)
    return Run(list(answers), list(seconds), time.monotonic() - began)


def same(left: Sequence[str], right: Sequence[str]) -> int:
    """Return how many answers are the same, character by character."""
    return sum(one == other for one, other in zip(left, right, strict=True))


def main() -> int:
    """Measure, compare and print; return the exit code."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.engines", description=__doc__, formatter_class=shape
    )
    parser.add_argument("engines", nargs="+", type=target, metavar="NAME=KIND=URL", help="an engine")
    parser.add_argument("--notes", type=int, default=250, help="generated notes (default: %(default)s)")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8], help="at once (default: 1 8)")
    parser.add_argument("--seed", type=int, default=77, help="of the notes (default: %(default)s)")
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="JSON list of answers to compare with, instead of the first's"
    )
    options = parser.parse_args()
    task = load_task(TASK_FILE)
    texts = [note.text for note in make_notes(options.notes, 0.2, options.seed, "both")]
    expected: list[str] | None = json.loads(options.answers.read_text("utf-8")) if options.answers else None
    comparisons = []
    # Row by row, for a run may take long.
    print("| engine | at once | notes | notes/s | p50, s | load average |\n|---|---|---|---|---|---|", flush=True)  # noqa: T201
    for engine in options.engines:
        for clients in options.clients:
            run = measure(engine, task, texts, clients)
            print(run.line(engine, clients), flush=True)  # noqa: T201
            expected = expected or run.answers
            agreed = same(expected[: len(texts)], run.answers)
            comparisons.append(f"{engine.name}, {clients} at once: {agreed} of {len(texts)} answers are the same\n")
    sys.stdout.write("\n" + "".join(comparisons))
    return 0


if __name__ == "__main__":
    sys.exit(main())
