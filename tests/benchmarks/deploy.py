"""What a deployment costs: sessions, seconds, and seconds in which the gateway did not answer, by playbook and by role.

    python -m tests.benchmarks.deploy

Runs every playbook of a release's life in a local region of its own, in the order of the tables: once where a session
costs next to nothing and once where each takes two seconds more, which is about what AWS needs to open one. To compare
with, as many files as a release has are copied by a task each. Meanwhile /health is asked five times a second; the
table of the time out is the first round's. Prints Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import http
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.local_region import names
from tests.local_region.region import ENGINES, LocalRegion
from tests.support.prober import NO_ANSWER, Prober, seconds_by_status
from tests.support.runner import run_playbook
from tests.support.tables import BENCHMARKS, add_write_option, publish

SECONDS_BETWEEN_PROBES = 0.2
CALLBACKS = names.REPOSITORY_ROOT / "tests/benchmarks/callbacks"
GATEWAY = {"inference_stack_gateway_environment": {"GATEWAY_MAX_QUEUE": "129"}}
ENGINE = {**GATEWAY, "inference_stack_engine_max_model_len": 1024}
# As many files as a release has; what they hold makes no difference.
NAIVE_FILES = ("compose.yml", "engine.yaml", "chat_template.jinja", "verification.json", "release.yml")
NAIVE_PLAYBOOK = """\
- name: Read the settings
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Check this machine and read the settings
      ansible.builtin.import_role:
        name: controller
      vars:
        controller_required_settings:
          - {parameter: s3/transfer-bucket, variable: ansible_aws_ssm_bucket_name}

- name: Copy the files of a release as is usual, by a task each
  hosts: inference
  gather_facts: false
  tasks:
"""
NAIVE_TASK = """\
    - name: Copy {name}
      ansible.builtin.copy:
        content: "{name}"
        dest: /var/tmp/{name}
        mode: "0644"
"""


@dataclass(frozen=True)
class Step:
    """One run of a playbook.

    Attributes:
        name: As the tables have it.
        playbook: The file's name without its ending.
        variables: Given by `-e`.
        release: Whether it is a kind of release, of which the seconds without an answer are of interest.
    """

    name: str
    playbook: str
    variables: Mapping[str, object] = dataclasses.field(default_factory=dict)
    release: bool = False


STEPS = (
    Step("`deploy.yml`, first deployment", "deploy"),
    Step("`deploy.yml`, nothing changed", "deploy", release=True),
    Step("`deploy.yml`, only the gateway changed", "deploy", GATEWAY, release=True),
    Step("`deploy.yml`, the engine changed", "deploy", ENGINE, release=True),
    Step("`rollback.yml`, to the release before", "rollback", release=True),
    Step("`verify.yml`", "verify"),
    Step("`status.yml`", "status"),
    Step("`stop.yml`", "stop"),
    Step("`start.yml`", "start"),
)


@dataclass(frozen=True)
class Cost:
    """What one run took.

    Attributes:
        sessions: Opened by it.
        seconds: From its start to its end.
        roles: Sessions and seconds by role.
        without_answer: Seconds by HTTP status other than 200.
    """

    sessions: int
    seconds: float
    roles: dict[str, tuple[int, float]]
    without_answer: dict[int, float]


def run(region: LocalRegion, step: Step) -> Cost:
    """Run a step and return what it took.

    Raises:
        AssertionError: It fails; the message holds the playbook's output.
    """
    with tempfile.TemporaryDirectory() as folder:
        costs = Path(folder, "costs.json")
        environment = {
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_CALLBACKS_ENABLED": "session_costs",
            "SESSION_COUNTER": str(region.state.sessions / "count"),
            "SESSION_COSTS": str(costs),
        }
        with Prober(region, interval=SECONDS_BETWEEN_PROBES) as prober:
            variables = ["-e", json.dumps(step.variables)]
            result = run_playbook(region, step.playbook, *variables, environment=environment).must_succeed()
        roles = {role: (int(sessions), seconds) for role, (sessions, seconds) in json.loads(costs.read_text()).items()}
    return Cost(result.sessions, result.seconds, roles, seconds_by_status(prober.probes))


def naive(region: LocalRegion) -> Cost:
    """Copy as many files as a release has by a task each, and return what the copies alone took."""
    with tempfile.TemporaryDirectory() as folder:
        playbook = Path(folder, "naive.yml")
        playbook.write_text(NAIVE_PLAYBOOK + "".join(NAIVE_TASK.format(name=name) for name in NAIVE_FILES))
        cost = run(
            region, Step("naive", os.path.relpath(playbook.with_suffix(""), names.REPOSITORY_ROOT / "playbooks"))
        )
    _, seconds = cost.roles["(no role)"]
    return dataclasses.replace(cost, seconds=seconds)


def measure(engine: str, latency: float) -> tuple[dict[str, Cost], Cost]:
    """Run all steps in a fresh region.

    Args:
        engine: The region's.
        latency: Seconds that a session takes more.

    Returns:
        The steps' costs, and those of the naive copies.
    """
    with LocalRegion(names.of_this_copy("benchmark"), engine=engine).fresh() as region:
        if latency:
            region.faults.switch_on("session-latency", str(latency))
        costs = {}
        for step in STEPS:
            say(f"{step.name}, {latency:g} s a session more")
            costs[step.name] = run(region, step)
        say(f"naive copies, {latency:g} s a session more")
        return costs, naive(region)


def say(line: str) -> None:
    """Report progress."""
    sys.stderr.write(f"== {line}\n")


def by_playbook(near: dict[str, Cost], far: dict[str, Cost], latency: float) -> Iterator[str]:
    """Yield the lines of the table by playbook."""
    yield f"| | sessions | seconds | seconds at {latency:g} s a session |"
    yield "|---|---:|---:|---:|"
    for name, cost in near.items():
        yield f"| {name} | {cost.sessions} | {cost.seconds:.0f} | {far[name].seconds:.0f} |"


def by_role(near: dict[str, Cost], far: dict[str, Cost], latency: float) -> Iterator[str]:
    """Yield the lines of the table by role; what takes no session and less than a second is left out."""
    yield f"| | role | sessions | seconds | seconds at {latency:g} s a session |"
    yield "|---|---|---:|---:|---:|"
    for name, cost in near.items():
        shown = name
        for role, (sessions, seconds) in cost.roles.items():
            if sessions or seconds >= 1:
                yield f"| {shown} | {role} | {sessions} | {seconds:.1f} | {far[name].roles[role][1]:.1f} |"
                shown = ""


def time_out(near: dict[str, Cost]) -> Iterator[str]:
    """Yield the lines of the table of the time in which the gateway did not answer a request with 200."""
    yield "| kind of release | seconds of 503 | seconds with no answer |"
    yield "|---|---:|---:|"
    for step in STEPS:
        if step.release:
            without = near[step.name].without_answer
            unavailable = without.get(http.HTTPStatus.SERVICE_UNAVAILABLE, 0.0)
            yield f"| {step.name} | {unavailable:.1f} | {without.get(NO_ANSWER, 0.0):.1f} |"


def main() -> int:
    """Measure and print; return the exit code."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.deploy", description=__doc__, formatter_class=shape
    )
    parser.add_argument(
        "--engine",
        choices=list(ENGINES),
        default="vllm",
        help="vLLM's CPU build, or the fake that starts in a moment (default: %(default)s)",
    )
    parser.add_argument(
        "--latency",
        type=float,
        default=2.0,
        metavar="S",
        help="seconds that a session takes more (default: %(default)g)",
    )
    add_write_option(parser, BENCHMARKS)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    near, near_naive = measure(options.engine, 0)
    far, far_naive = measure(options.engine, options.latency)
    now = datetime.datetime.now(datetime.UTC)
    lines = [
        f"{now:%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, engine {options.engine}, load average before: "
        f"{load:.1f}",
        "",
        *by_playbook(near, far, options.latency),
        f"| {len(NAIVE_FILES)} files by `ansible.builtin.copy`, a task each | {near_naive.sessions} "
        f"| {near_naive.seconds:.0f} | {far_naive.seconds:.0f} |",
        "",
        *time_out(near),
        "",
        *by_role(near, far, options.latency),
    ]
    publish("\n".join(lines), options.write, parser.prog)
    return 0


if __name__ == "__main__":
    sys.exit(main())
