"""What the gateway costs: a fake engine directly, through this gateway, and through two peers, in one run.

    python -m tests.benchmarks.gateway

One worker each, notes of 2 KB, 1 to 64 clients. The gateway runs with its defaults and with keys; every answer is
validated and has evidence and confidence, for which it asks the engine for probabilities. Its /v1 passes chat
completions on, and so do vllm-router and LiteLLM's proxy: without probabilities, which is much less to do, and LiteLLM
with them as well. Each peer gets an environment of its own from PyPI, made at the first run with the hashes of
tests/benchmarks/peers. Prints Markdown tables.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.access.keys import create_key
from gateway.tasks import load_task
from gateway.tasks.prompting import build_messages
from tests.support import environments
from tests.support.ports import free_port
from tests.support.tables import BENCHMARKS, add_write_option, publish

CLIENTS = (1, 2, 4, 8, 16, 32, 64)
# Milliseconds within which 99 of 100 requests are answered.
P99_LIMITS = (5, 10, 50)
PEERS = Path(__file__).parent / "peers"
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
    parser.add_argument("--without-peers", action="store_true", help="measure this gateway alone")
    parser.add_argument("--peers", type=Path, default=environments.CACHE / "peers", help="their environments")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        targets = start(stack, folder, None if args.without_peers else args.peers)
        measured = measure(targets, args.clients, args.seconds)
        publish(f"{table(measured)}\n{limits_table(measured)}", args.write, parser.prog)


@dataclass(frozen=True)
class Serving:
    """A gateway with its defaults before a fake engine that answers at once: ports, process ids, and a key."""

    port: int
    process: int
    key: str
    engine_port: int
    engine_process: int


def start_gateway(stack: contextlib.ExitStack, folder: Path) -> Serving:
    """Start a gateway and its engine, with their logs in `folder`; they need a moment until they answer."""
    engine_port, port = free_port(), free_port()
    engine = stack.enter_context(
        running([sys.executable, "-m", "tests.fakes.engine.instant", str(engine_port)], folder / "engine.log")
    )
    key, line = create_key("benchmark")
    (folder / "keys").write_text(line)
    process = stack.enter_context(
        running(
            [sys.executable, "-m", "gateway", "serve"],
            folder / "gateway.log",
            GATEWAY_PORT=str(port),
            GATEWAY_ENGINE_URL=f"http://127.0.0.1:{engine_port}",
            GATEWAY_API_KEYS_FILE=str(folder / "keys"),
        )
    )
    return Serving(port, process, key, engine_port, engine)


def start(stack: contextlib.ExitStack, folder: Path, peers: Path | None) -> list[Target]:
    """Start all that is measured."""
    bodies = write_bodies(folder)
    serving = start_gateway(stack, folder)
    engine_url, address = f"http://127.0.0.1:{serving.engine_port}", f"http://127.0.0.1:{serving.port}"
    extract = f"{address}/api/v1/extract"
    own_key = [f"X-API-Key: {serving.key}"]
    targets = [
        Target("engine alone", f"{engine_url}/v1/chat/completions", bodies.chat, [serving.engine_process]),
        Target("this gateway", extract, bodies.extract, [serving.process], own_key),
        Target("this gateway, no evidence", extract, bodies.without_evidence, [serving.process], own_key),
        Target("this gateway, passing on", f"{address}/v1/chat/completions", bodies.chat, [serving.process], own_key),
    ]
    if peers is not None:
        targets += [start_router(stack, folder, peers, engine_url, bodies)]
        targets += start_litellm(stack, folder, peers, engine_url, bodies)
    for target in targets:
        try:
            wait_for(target, 120)
        except TimeoutError as error:
            logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in folder.glob("*.log"))
            raise SystemExit(f"{error}\n{logs}") from None
    return targets


def start_router(stack: contextlib.ExitStack, folder: Path, peers: Path, engine_url: str, bodies: Bodies) -> Target:
    """Start vllm-router before the engine."""
    port = free_port()
    programs = environments.programs(PEERS / "router.txt", peers / "router")
    command = [str(programs / "vllm-router"), "--worker-urls", engine_url, "--port", str(port)]
    command += ["--host", "127.0.0.1", "--prometheus-port", str(free_port()), "--log-level", "warning"]
    router = stack.enter_context(running(command, folder / "router.log"))
    return Target("vllm-router", f"http://127.0.0.1:{port}/v1/chat/completions", bodies.chat, [router])


def start_litellm(
    stack: contextlib.ExitStack, folder: Path, peers: Path, engine_url: str, bodies: Bodies
) -> list[Target]:
    """Start LiteLLM's proxy before the engine."""
    port = free_port()
    configuration = folder / "litellm.yaml"
    configuration.write_text(
        "model_list:\n  - model_name: medical-ie\n    litellm_params:\n      model: hosted_vllm/medical-ie\n"
        f"      api_base: {engine_url}/v1\n      api_key: none\n"
    )
    programs = environments.programs(PEERS / "litellm.txt", peers / "litellm")
    command = [str(programs / "litellm"), "--config", str(configuration), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "1"]
    # Its proxy does not start without a master key otherwise.
    environment = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
    proxy = stack.enter_context(running(command, folder / "litellm.log", **environment))
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    return [
        Target("LiteLLM", url, bodies.chat, [proxy]),
        Target("LiteLLM, with probabilities", url, bodies.chat_with_probabilities, [proxy]),
    ]


@dataclass(frozen=True)
class Measurement:
    """What one target did with one number of clients."""

    target: str
    clients: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    mib: float
    failed: dict[str, int]


def measure(targets: list[Target], clients: list[int], seconds: float) -> list[Measurement]:
    """Measure every target with every number of clients; say on standard error how far it is."""
    measured = []
    for number, count in enumerate(clients, 1):
        sys.stderr.write(f"{count} clients ({number} of {len(clients)})\n")
        for target in targets:
            result = load(target, count, seconds)
            statuses = result["statuses"]
            assert isinstance(statuses, dict)
            failed = {status: times for status, times in statuses.items() if status != "200"}
            rate, p50, p99 = (float(str(result[name])) for name in ("requests_per_second", "p50_ms", "p99_ms"))
            measured.append(Measurement(target.name, count, rate, p50, p99, memory(target.processes), failed))
    return measured


def table(measured: list[Measurement]) -> str:
    """Return the Markdown table of all measurements."""
    now = datetime.datetime.now(datetime.UTC)
    lines = [
        f"{now:%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"load average at the end: {os.getloadavg()[0]:.1f}",
        "",
        "| clients | | requests/s | p50 ms | p99 ms | MiB |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for one in measured:
        failed = f" (failed: {one.failed})" if one.failed else ""
        lines.append(
            f"| {one.clients} | {one.target}{failed} | {one.requests_per_second:,.0f} | {one.p50_ms:.2f} "
            f"| {one.p99_ms:.2f} | {one.mib:.0f} |"
        )
    return "\n".join(lines) + "\n"


def limits_table(measured: list[Measurement]) -> str:
    """Return the Markdown table of the most requests a second within each limit of p99, of the measured points."""
    heads = " | ".join(f"p99 <= {limit} ms" for limit in P99_LIMITS)
    lines = [f"| requests/s with | {heads} |", "|---|" + "---:|" * len(P99_LIMITS)]
    for target in dict.fromkeys(one.target for one in measured):
        most = [
            max(
                (
                    one.requests_per_second
                    for one in measured
                    if one.target == target and one.p99_ms <= limit and not one.failed
                ),
                default=None,
            )
            for limit in P99_LIMITS
        ]
        cells = " | ".join("none" if rate is None else f"{rate:,.0f}" for rate in most)
        lines.append(f"| {target} | {cells} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
