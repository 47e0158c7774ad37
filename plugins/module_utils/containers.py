"""What the modules that run on the instance share: the stack's containers, their logs without secrets, and commands.

Only the standard library and the docker command: nothing has to be installed on the instance for it.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

SECRETS = Path("/run/slm-ft-serving/secrets")
SERVICE_LABEL = "com.docker.compose.service"
PROJECT_LABEL = "com.docker.compose.project"
# Shapes of credentials that must not be shown even if they come from elsewhere than our own files.
CREDENTIALS = re.compile(r"hf_[A-Za-z0-9]{8,}|AKIA[A-Z0-9]{12,}|(?i:bearer)\s+\S+")
SHORTEST_SECRET = 6


class StackError(Exception):
    """What failed on the instance, in words for the operator."""


def run(argv: list[str], timeout: float = 60, **options) -> subprocess.CompletedProcess:
    """Run a command to its end and return it, its output captured as text.

    Raises StackError when it takes longer than `timeout` seconds or is not there.
    """
    options = {"capture_output": True, "text": True, "errors": "replace", "check": False, **options}
    try:
        return subprocess.run(argv, timeout=timeout, **options)
    except subprocess.TimeoutExpired as error:
        raise StackError(f"`{' '.join(argv[:3])}` did not end within {timeout:.0f} s") from error
    except FileNotFoundError as error:
        raise StackError(f"the command {argv[0]} is not installed on the instance") from error


def last_line(text: str) -> str:
    """Return the last line that is not empty; that is where the commands that we run say what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def journal(unit: str) -> str:
    """Return the last line that a systemd unit logged."""
    return last_line(run(["journalctl", "--unit", unit, "--lines", "5", "--no-pager", "--output", "cat"]).stdout)


def containers(project: str) -> dict[str, dict]:
    """Return the project's containers by service: id, status, health, exit_code and restarts."""
    listed = run(["docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={PROJECT_LABEL}={project}"])
    if listed.returncode != 0:
        raise StackError(f"Docker does not answer: {last_line(listed.stderr)}")
    ids = listed.stdout.split()
    if not ids:
        return {}
    inspected = run(["docker", "inspect", *ids])
    found = {}
    for container in json.loads(inspected.stdout or "[]"):
        state = container["State"]
        found[container["Config"]["Labels"].get(SERVICE_LABEL, container["Name"])] = {
            "id": container["Id"],
            "status": state["Status"],
            "health": state.get("Health", {}).get("Status", "none"),
            "exit_code": state["ExitCode"],
            "oom_killed": state.get("OOMKilled", False),
            "restarts": container["RestartCount"],
            "started": state["StartedAt"],
        }
    return found


def describe(service: str, container: dict) -> str:
    """Return a container's state in a few words."""
    words = f"{service} is {container['status']}"
    if container["status"] == "running":
        words += f" ({container['health']})"
    else:
        words += f" (exit code {container['exit_code']})"
    if container["oom_killed"]:
        words += ", killed for lack of memory"
    if container["restarts"]:
        words += f", restarted {container['restarts']} times"
    return words


def secret_values() -> list[str]:
    """Return every secret text that lies on the instance, the longest first."""
    values = set()
    if SECRETS.is_dir():
        for path in SECRETS.rglob("*"):
            if path.is_file():
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                    values.update([line.strip(), line.strip().rpartition(":")[2]])
    return sorted((value for value in values if len(value) >= SHORTEST_SECRET), key=len, reverse=True)


def redact(text: str) -> str:
    """Return the text with every known secret, and everything that looks like a credential, taken out."""
    for value in secret_values():
        text = text.replace(value, "[secret]")
    return CREDENTIALS.sub("[secret]", text)


def logs(container: dict, lines: int | None = None) -> str:
    """Return a container's log, or its last lines, without secrets."""
    tail = "all" if lines is None else str(lines)
    result = run(["docker", "logs", "--tail", tail, container["id"]], timeout=60)
    return redact(result.stdout + result.stderr)
