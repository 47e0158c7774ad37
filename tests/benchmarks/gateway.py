"""What the gateway costs: a fake engine directly, through this gateway, and through LiteLLM's proxy, in one run.

    python -m tests.benchmarks.gateway

One worker each, notes of 2 KB, 1 to 64 clients. The gateway runs with its defaults and with keys; every answer is
validated and has evidence and confidence, for which it asks the engine for probabilities. LiteLLM passes the same chat
completions on, once without probabilities, which is much less to do, and once with them. It gets an environment of its
own from PyPI, made at the first run. Prints a Markdown table.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.access.keys import create_key
from gateway.tasks import load_task
from gateway.tasks.prompting import build_messages
from tests.support.tables import BENCHMARKS, add_write_option, publish

LITELLM = "litellm[proxy]==1.106.*"
CLIENTS = (1, 8, 32, 64)
ROOT = Path(__file__).resolve().parents[2]
TASK = ROOT / "gateway" / "tasks" / "medical_ie.yaml"
NOTES = 64
NOTE_BYTES = 2048


def note(number: int) -> str:
    """Return a synthetic note of 2 KB that says what the fake engine answers, somewhere in it."""
    findings = (
        "64-year-old woman with stage IV lung adenocarcinoma. Molecular testing identified EGFR L858R and PD-L1 "
        "expression of 40%. She received first-line osimertinib. Restaging CT showed a partial response. Brain "
        "metastases were noted. "
    )
    filler = (
        f"Visit {number}: vital signs were stable, the examination without new findings. Haemoglobin was "
        f"{9 + number % 5} g/dl. The patient walks without help, sleeps well and has no pain. Medication was reviewed "
        "with her family. "
    )
    text = filler * 4 + findings + filler * 9
    return text.encode()[:NOTE_BYTES].decode()


@dataclass
class Target:
    """Something to measure."""

    name: str
    url: str
    bodies: Path
    processes: list[int]
    headers: list[str] = field(default_factory=list)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], log: Path, **environment: str) -> Iterator[int]:
    """Run a process for as long as the context lasts and yield its id."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_for(target: Target, seconds: float) -> None:
    """Wait until one request is answered with 200.

    Raises:
        TimeoutError: it is not.
    """
    end = time.monotonic() + seconds
    headers = dict(header.split(": ", 1) for header in target.headers) | {"Content-Type": "application/json"}
    body = target.bodies.read_bytes().splitlines()[0]
    while time.monotonic() < end:
        with contextlib.suppress(urllib.error.URLError, OSError):
            request = urllib.request.Request(target.url, body, headers)
            with urllib.request.urlopen(request, timeout=5) as response:
                if response.status == 200:
                    return
        time.sleep(0.2)
    raise TimeoutError(f"{target.name} did not answer within {seconds:.0f} s")


def memory(processes: list[int]) -> float:
    """MiB that processes and their children hold now."""
    total = 0
    wanted = set(processes)
    for status in sorted(Path("/proc").glob("[0-9]*/status"), key=lambda path: int(path.parent.name)):
        with contextlib.suppress(OSError):
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            if int(lines["PPid"]) in wanted or int(lines["Pid"]) in wanted:
                wanted.add(int(lines["Pid"]))
                total += int(lines.get("VmRSS", "0 kB").split()[0])
    return total / 1024


def load(target: Target, clients: int, seconds: float) -> dict[str, float | dict[str, int]]:
    """Measure a target from a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.load", target.url, str(target.bodies)]
    command += ["--clients", str(clients), "--seconds", str(seconds)]
    for header in target.headers:
        command += ["--header", header]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    result: dict[str, float | dict[str, int]] = json.loads(output)
    return result


def litellm_python(folder: Path) -> Path:
    """Return the Python of LiteLLM's own environment, which is made where it is missing."""
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        sys.stderr.write(f"installing {LITELLM} into {folder}\n")
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", LITELLM], check=True)
        (folder / "ready").touch()
    return python


@dataclass
class Bodies:
    """Files with a request's body a line."""

    extract: Path
    without_evidence: Path
    chat: Path
    chat_with_probabilities: Path


def write_bodies(folder: Path) -> Bodies:
    """Return the bodies for the gateway and for those that take chat completions."""
    task = load_task(TASK)
    texts = [note(number) for number in range(NOTES)]
    chats = [
        {"model": "medical-ie", "max_tokens": 384, "temperature": 0, "messages": build_messages(task, text)}
        for text in texts
    ]

    def written(name: str, documents: Iterable[object]) -> Path:
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(document) + "\n" for document in documents))
        return path

    return Bodies(
        written("extract", ({"text": text} for text in texts)),
        written("without-evidence", ({"text": text, "grounding": "off"} for text in texts)),
        written("chat", chats),
        written("chat-with-probabilities", ({**chat, "logprobs": True} for chat in chats)),
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.gateway",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_write_option(parser, BENCHMARKS)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement, after a warm-up of a fifth")
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS))
    parser.add_argument("--without-litellm", action="store_true")
    parser.add_argument(
        "--litellm", type=Path, default=Path.home() / ".cache" / "slm-ft-serving" / "litellm", help="its environment"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        targets = start(stack, folder, None if args.without_litellm else args.litellm)
        publish(table(targets, args.clients, args.seconds), args.write, parser.prog)


def start(stack: contextlib.ExitStack, folder: Path, litellm: Path | None) -> list[Target]:
    """Start all that is measured."""
    bodies = write_bodies(folder)
    engine_port, gateway_port, litellm_port = free_port(), free_port(), free_port()
    engine = stack.enter_context(
        running([sys.executable, "-m", "tests.fakes.engine.instant", str(engine_port)], folder / "engine.log")
    )
    key, line = create_key("benchmark")
    (folder / "keys").write_text(line)
    serving = stack.enter_context(
        running(
            [sys.executable, "-m", "gateway", "serve"],
            folder / "gateway.log",
            GATEWAY_PORT=str(gateway_port),
            GATEWAY_ENGINE_URL=f"http://127.0.0.1:{engine_port}",
            GATEWAY_API_KEYS_FILE=str(folder / "keys"),
        )
    )
    extract = f"http://127.0.0.1:{gateway_port}/api/v1/extract"
    own_key = [f"X-API-Key: {key}"]
    targets = [
        Target("engine alone", f"http://127.0.0.1:{engine_port}/v1/chat/completions", bodies.chat, [engine]),
        Target("this gateway", extract, bodies.extract, [serving], own_key),
        Target("this gateway, no evidence", extract, bodies.without_evidence, [serving], own_key),
    ]
    if litellm is not None:
        python = litellm_python(litellm)
        configuration = folder / "litellm.yaml"
        configuration.write_text(
            "model_list:\n  - model_name: medical-ie\n    litellm_params:\n      model: hosted_vllm/medical-ie\n"
            f"      api_base: http://127.0.0.1:{engine_port}/v1\n      api_key: none\n"
        )
        proxy = stack.enter_context(
            running(
                [
                    *(str(python.parent / "litellm"), "--config", str(configuration), "--host", "127.0.0.1"),
                    *("--port", str(litellm_port), "--num_workers", "1"),
                ],
                folder / "litellm.log",
                # Its proxy does not start without a master key otherwise.
                LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY="true",
            )
        )
        url = f"http://127.0.0.1:{litellm_port}/v1/chat/completions"
        targets.append(Target("LiteLLM", url, bodies.chat, [proxy]))
        targets.append(Target("LiteLLM, with probabilities", url, bodies.chat_with_probabilities, [proxy]))
    for target in targets:
        try:
            wait_for(target, 120)
        except TimeoutError as error:
            logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in folder.glob("*.log"))
            raise SystemExit(f"{error}\n{logs}") from None
    return targets


def table(targets: list[Target], clients: list[int], seconds: float) -> str:
    """Measure everything and give the Markdown table."""
    now = datetime.datetime.now(datetime.UTC)
    lines = [
        f"{now:%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"{seconds:g} s each, load average before: {os.getloadavg()[0]:.1f}",
        "",
        "| clients | | requests/s | p50 ms | p99 ms | MiB |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for count in clients:
        for target in targets:
            result = load(target, count, seconds)
            statuses = result["statuses"]
            assert isinstance(statuses, dict)
            failed = {status: number for status, number in statuses.items() if status != "200"}
            note_of = f" (failed: {failed})" if failed else ""
            lines.append(
                f"| {count} | {target.name}{note_of} | {result['requests_per_second']:,.0f} | {result['p50_ms']:.2f} "
                f"| {result['p99_ms']:.2f} | {memory(target.processes):.0f} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
