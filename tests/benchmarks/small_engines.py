"""Both engines with the small model on this machine's processors: started, measured and ended one after the other.

    python -m tests.benchmarks.small_engines --write

Each engine is configured as the deployment configures it on a CPU, and asked as the gateway asks it, by itself: no
gateway, no container. The notes are generated ones with held-out phrasings and values; no prompt is cached. The first
run fetches vLLM's CPU build (about 1 GB) and llama.cpp's server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.engine.dialect import dialect_of
from gateway.extraction.decoding import grammar
from gateway.tasks import Task, load_task
from gateway.tasks.prompting import build_messages
from tests.benchmarks.engines import MOST_TOKENS, TASK_FILE, Target, ask, measure, same
from tests.benchmarks.fleet import small_engine
from tests.benchmarks.fleet.footprint import footprint, tree
from tests.benchmarks.fleet.report import machine
from tests.benchmarks.gateway import ROOT
from tests.local_region.names import REPOSITORY_ROOT
from tests.support import llamacpp, ray
from tests.support.ports import free_port
from tests.support.tables import add_write_option, publish
from training.notes.generator import make_notes

PAGE = REPOSITORY_ROOT / "docs/engines.md"
CLIENTS = (1, 8)
STREAMS = 30
SEED = 77
START_SECONDS = 300
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Engine:
    """A running engine.

    Attributes:
        target: where it is.
        pid: its first process.
        log: what it says.
    """

    target: Target
    pid: int
    log: Path


@dataclass(frozen=True)
class Streamed:
    """Medians of streamed answers, one at a time.

    Attributes:
        first: milliseconds to the first piece of the answer.
        rate: tokens a second after it.
    """

    first: float
    rate: float


Start = Callable[[contextlib.ExitStack, Path], Engine]


def start_vllm(stack: contextlib.ExitStack, folder: Path) -> Engine:
    """Start vLLM as its image does."""
    engine = small_engine.vllm(stack, folder, 1)
    return Engine(Target("vLLM", "vllm", engine.url), engine.pid, engine.log)


def llamacpp_of(kind: str) -> Start:
    """Return what starts llama.cpp with a file of a type."""

    def start(stack: contextlib.ExitStack, folder: Path) -> Engine:
        """Start llama.cpp's server as its image does."""
        file, port, log = folder / f"{kind}.gguf", free_port(), folder / f"{kind}.log"
        if not file.exists():
            llamacpp.write_gguf(file, kind)
        settings = folder / f"{kind}.json"
        settings.write_text(json.dumps({"model": str(file), "name": small_engine.ADAPTER, "port": port}))
        command: list[str | Path] = [llamacpp.PYTHON, ROOT / "docker/llamacpp/serve.py", "--config", settings]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        stack.callback(process.wait, 60)
        stack.callback(process.terminate)
        return Engine(Target(f"llama.cpp, {kind}", "llamacpp", f"http://127.0.0.1:{port}"), process.pid, log)

    return start


def wait_for_an_answer(engine: Engine, task: Task, text: str) -> None:
    """Wait until an engine answers a note.

    Raises:
        TimeoutError: it does not; the message has the end of its log.
    """
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            ask(engine.target, task, text)
        except OSError as error:
            if time.monotonic() > end:
                said = engine.log.read_text(errors="replace")[-2000:]
                raise TimeoutError(f"{engine.target.name} does not answer: {error}\n{said}") from None
            time.sleep(POLL_SECONDS)
        else:
            return


def stream(target: Target, task: Task, text: str) -> Streamed | None:
    """Have an answer streamed; None where it has a single token."""
    dialect = dialect_of(target.kind)
    body = {
        "model": task.adapter,
        "messages": build_messages(task, text),
        "temperature": 0,
        "max_tokens": MOST_TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True},
        **dialect.constrained(grammar(task)),
        **dialect.private(os.urandom(8).hex()),
    }
    request = urllib.request.Request(
        f"{target.url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    began, first, last, tokens = time.monotonic(), 0.0, 0.0, 0
    with urllib.request.urlopen(request, timeout=600) as response:
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if event.get("usage"):
                tokens = event["usage"]["completion_tokens"]
            if any(choice["delta"].get("content") for choice in event["choices"]):
                last = time.monotonic()
                first = first or last
    return Streamed(1000 * (first - began), (tokens - 1) / (last - first)) if last > first else None


def rows(
    start: Start, task: Task, texts: Sequence[str], folder: Path, expected: list[str]
) -> tuple[list[str], str, list[str]]:
    """Measure one engine.

    Args:
        start: starts it.
        task: what is asked.
        texts: notes.
        folder: for its files.
        expected: answers that its own are compared with; its own where there are none.

    Returns:
        The rows of the first table, the row of the second, and its answers.
    """
    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        engine = start(stack, folder)
        wait_for_an_answer(engine, task, texts[0])
        started = time.monotonic() - began
        name, speed, answers = engine.target.name, list[str](), list[str]()
        for clients in CLIENTS:
            run = measure(engine.target, task, texts, clients)
            answers = answers or run.answers
            agreed = same(expected or answers, run.answers)
            p50 = statistics.median(run.seconds)
            speed.append(
                f"| {name} | {clients} | {len(texts) / run.whole:.2f} | {p50:.2f} | {agreed} of {len(texts)} |"
            )
            _say(speed[-1])
        held = footprint(tree([engine.pid])).mebibytes
        streams = [one for text in texts[:STREAMS] if (one := stream(engine.target, task, text))]
    first = statistics.median(one.first for one in streams)
    rate = statistics.median(one.rate for one in streams)
    row = f"| {name} | {first:.0f} | {rate:.0f} | {started:.1f} | {held:,.0f} |"
    _say(row)
    return speed, row, answers


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.small_engines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_write_option(parser, PAGE)
    parser.add_argument("--notes", type=int, default=250, help="generated notes (default: %(default)s)")
    args = parser.parse_args()
    ray.environment()
    llamacpp.environment()
    task = load_task(TASK_FILE)
    texts = [note.text for note in make_notes(args.notes, 0.2, SEED, "both")]
    speed, others, expected = list[str](), list[str](), list[str]()
    with tempfile.TemporaryDirectory(prefix="slm-") as name:
        for start in (llamacpp_of("f16"), llamacpp_of("q8_0"), start_vllm):
            more, row, answers = rows(start, task, texts, Path(name), expected)
            expected = expected or answers
            speed += more
            others.append(row)
    text = "\n".join(
        [
            machine(),
            "| engine | at once | notes/s | p50, s | same answer as f16, one at a time |",
            "|---|---:|---:|---:|---:|",
            *speed,
            "",
            "| engine | ms to first token | tokens/s after it | s from start to an answer | MiB after the notes |",
            "|---|---:|---:|---:|---:|",
            *others,
        ]
    )
    publish(text, args.write, parser.prog)


if __name__ == "__main__":
    main()
