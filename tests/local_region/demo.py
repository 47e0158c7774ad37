"""`make demo`: a local region, the very playbook of production run against it, and what the gateway answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.local_region import names, seed
from tests.local_region.errors import RegionError
from tests.local_region.region import LocalRegion

TASK = names.REPOSITORY_ROOT / "gateway/tasks/medical_ie.yaml"
ASSISTANT = names.REPOSITORY_ROOT / "gateway/tasks/assistant_intent.yaml"
REQUEST_TIMEOUT_SECONDS = 120
# Synthetic, for the person to send next.
FURTHER_NOTE = (
    "61-year-old man with stage IV lung adenocarcinoma. EGFR L858R mutation was identified. He was started on "
    "osimertinib. MRI showed brain metastases. Restaging CT after 8 weeks showed stable disease."
)


def main() -> int:
    """Run the demonstration.

    Returns:
        The exit code: 0 when both were answered, 1 after an error was reported.
    """
    started = time.monotonic()
    region = LocalRegion(further_adapters=True)
    # The deployment was verified with the same note, so that its answer here can be judged by eye.
    task = yaml.safe_load(TASK.read_text(encoding="utf-8"))
    note = task["golden"][0]["text"]
    try:
        with step("Local AWS region: Docker Engine, images, API, registry, instance"):
            region.up()
        with step("Deployment: ansible-playbook playbooks/deploy.yml"):
            deploy(region.env())
        with step("Extraction: POST /api/v1/extract"):
            answer = ask(region.env(), "/api/v1/extract", note)
        request, conversion = "", {}
        if assistant_is_seeded():
            request = yaml.safe_load(ASSISTANT.read_text(encoding="utf-8"))["golden"][0]["text"]
            with step("Another task, by the same engine: POST /api/convert"):
                conversion = ask(region.env(), "/api/convert", request)
    except RegionError as error:
        say(f"\n{error}")
        return 1
    say("")
    show(note, [field["name"] for field in task["fields"]], answer)
    if conversion:
        say(f"\nThe request:\n  {request}\n\nThe answer:\n  {conversion['raw_output']}")
    environment = region.env()
    say(what_next(environment["GATEWAY_URL"], environment["GATEWAY_API_KEY_FILE"], time.monotonic() - started))
    return 0


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print which step begins, and how many seconds it took when it ended well."""
    say(f"\n== {title}")
    started = time.monotonic()
    yield
    say(f"== done in {time.monotonic() - started:.0f} s")


def deploy(environment: Mapping[str, str]) -> None:
    """Run the playbook, its output shown.

    Raises:
        RegionError: It fails.
    """
    playbook = Path(sys.executable).with_name("ansible-playbook")
    result = subprocess.run(
        [playbook, "playbooks/deploy.yml"], cwd=names.REPOSITORY_ROOT, env={**os.environ, **environment}, check=False
    )
    if result.returncode != 0:
        raise RegionError(f"The deployment failed with exit code {result.returncode}; the cause stands above.")


def assistant_is_seeded() -> bool:
    """Say whether the region got the adapter that answers requests to an assistant."""
    folder = seed.SMALL_MODEL / yaml.safe_load(ASSISTANT.read_text(encoding="utf-8"))["adapter"]
    return all((folder / file).is_file() for file in seed.ADAPTER_FILES)


def ask(environment: Mapping[str, str], path: str, text: str) -> dict[str, Any]:
    """Send a text to the gateway and return its answer.

    Args:
        environment: The region's.
        path: Of the endpoint.
        text: A note, or a request.

    Raises:
        RegionError: There is none.
    """
    key = Path(environment["GATEWAY_API_KEY_FILE"]).read_text(encoding="ascii").strip()
    request = urllib.request.Request(
        f"{environment['GATEWAY_URL']}{path}",
        data=json.dumps({"text": text}).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_SECONDS) as response:
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        raise RegionError(f"The gateway answered {error.code}: {error.read().decode(errors='replace')}") from error
    except OSError as error:
        raise RegionError(f"The gateway at {request.full_url} does not answer: {error}") from error


def show(note: str, fields: Sequence[str], answer: Mapping[str, Any]) -> None:
    """Print the note, and each field with the words of the note that it rests on."""
    say("The note:")
    say(textwrap.indent(textwrap.fill(note, 100), "  "))
    say("\nThe answer:")
    for field in fields:
        value = answer[field]
        spans = answer["evidence"].get(field, [])
        evidence = "; ".join(f"{span['start']}-{span['end']} {span['text']!r} ({span['match']})" for span in spans)
        say(f"  {field:16} {value if value is not None else '-':32} {evidence}")
    for warning in answer["warnings"]:
        say(f"  warning: {warning}")


def what_next(url: str, key_file: str, seconds: float) -> str:
    """Return the text that explains what to do with the running stack.

    Args:
        url: The gateway's address.
        key_file: Where its key is.
        seconds: What the demonstration took.
    """
    return f"""
It took {seconds:.0f} s. The stack keeps running:

  eval "$(make -s env)"                       point your shell at the local region
  ansible-playbook playbooks/deploy.yml       deploy again: nothing changes
  ansible-playbook playbooks/verify.yml       verify what is running
  ansible-playbook playbooks/stop.yml         stop the stack and the instance; start.yml starts them
  curl -s {url}/api/v1/extract -H "Authorization: Bearer $(cat "$GATEWAY_API_KEY_FILE")" \\
       -H 'Content-Type: application/json' -d '{{"text": "{FURTHER_NOTE}"}}'

  make down                                   remove everything that the demonstration made

See it: open {url}/ in a browser. The key that the page asks for: cat {key_file}"""


def say(text: str) -> None:
    """Write a line to standard output at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
