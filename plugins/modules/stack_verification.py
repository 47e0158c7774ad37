#!/usr/bin/python
"""Verify the release that serves: containers, adapter, moving tokens, gateway, and golden notes extracted right."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_verification
short_description: Verify the release that serves
description:
  - Reads what to expect from the current release's own C(verification.json), so that a release brought back is judged
    by its own golden notes, and by how many of their values had to be right when it was deployed.
  - A value is right when its items are those that were expected, as the evaluation compares them. The golden notes of
    each adapter are judged by themselves.
  - An own module, because the gateway's key is on the instance only, and because it is one session instead of six.
  - Changes nothing.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  release:
    description: The release that has to be current. Empty means whatever serves.
    type: str
    default: ""
  secrets_directory:
    description: Where the verification key lies.
    type: path
    default: /run/slm-ft-serving/secrets
  wait:
    description: Seconds that containers which are still starting get to become healthy.
    type: int
    default: 30
  token_timeout:
    description: Seconds for the engine's first token. A cold engine compiles for it.
    type: int
    default: 60
  request_timeout:
    description: Seconds for one golden note.
    type: int
    default: 120
extends_documentation_fragment:
  - slm.serving.stack
"""

EXAMPLES = r"""
- name: Verify what serves
  slm.serving.stack_verification:
    wait: 480
"""

RETURN = r"""
checks:
  description: What was checked before the first failure, each with C(check) and C(detail).
  type: list
  elements: dict
  returned: always
release:
  description: The release that was verified.
  type: str
  returned: when there is one
golden:
  description: What the golden notes came to.
  type: dict
  returned: when they were asked
  contains:
    right:
      description: How many values are right.
      type: int
      returned: always
    total:
      description: How many there are.
      type: int
      returned: always
    needed:
      description: How many had to be right.
      type: int
      returned: always
    wrong:
      description: Each value that is wrong, with its note, its field and what was expected.
      type: list
      elements: str
      returned: always
"""

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.compose import CRASH_LOOP, crashing
from ansible_collections.slm.serving.plugins.module_utils.containers import Container, containers, describe, explain
from ansible_collections.slm.serving.plugins.module_utils.edge import ask_edge
from ansible_collections.slm.serving.plugins.module_utils.engine import ask_engine
from ansible_collections.slm.serving.plugins.module_utils.engine_kinds import GENERATED_TOKENS
from ansible_collections.slm.serving.plugins.module_utils.field_values import is_same
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, journal
from ansible_collections.slm.serving.plugins.module_utils.redaction import redact
from ansible_collections.slm.serving.plugins.module_utils.releases import Releases
from ansible_collections.slm.serving.plugins.module_utils.units import secrets_problem, state

CLOSED = "/metrics"  # nobody outside reads it unless a setting opens it
# Seconds for an edge to have its certificate: the first by ACME takes a conversation with an authority.
CERTIFICATE_PATIENCE = 90
SETTLE = 15  # seconds for a gateway to notice its new keys file or an engine that is just there


@dataclass
class Figures:
    """What the golden notes of one adapter came to.

    Attributes:
        values: how many there are.
        right: how many of them are right.
        wrong: each that is wrong, in words.
    """

    values: int = 0
    right: int = 0
    wrong: list[str] = field(default_factory=list)


class Verification:
    """One verification of the current release."""

    def __init__(self, options: dict[str, Any]) -> None:
        """Find the release to verify.

        Args:
            options: the module's.

        Raises:
            StackError: there is none, another one than expected, or it is damaged.
        """
        self.options, self.project = options, options["project"]
        releases = Releases(options["root"])
        current = releases.current()
        if not current:
            raise StackError("there is no release on the instance: run playbooks/deploy.yml")
        self.release = current
        if options["release"] not in ("", current):
            raise StackError(f"the release {options['release']} was to be verified, but {current} is current now")
        damage = releases.damage(self.release)
        if damage:
            raise StackError(
                f"the release {self.release} is damaged: {damage}. Run playbooks/deploy.yml, which makes a new one"
            )
        path = releases.path(self.release) / "verification.json"
        self.expected = json.loads(path.read_text(encoding="utf-8"))
        self.edge: dict[str, Any] | None = self.expected.get("edge")
        # Whether any of several engines may have answered.
        self.pooled = bool(self.expected.get("router"))
        self.services = ("engine", "gateway", *(("router",) if self.pooled else ()), *(("edge",) if self.edge else ()))
        self.key = ""
        self.checks: list[dict[str, str]] = []
        self.golden: dict[str, Any] = {}

    def passed(self, check: str, detail: str) -> None:
        """Record a check that passed."""
        self.checks.append({"check": check, "detail": detail})

    def check_containers(self) -> None:
        """Require engine and gateway to be healthy; those that start, or are too busy to answer, get their time.

        Raises:
            StackError: they do not become it; with the cause.
        """
        deadline = time.monotonic() + self.options["wait"]
        before = containers(self.project)
        while True:
            present = containers(self.project)
            missing = [service for service in self.services if service not in present]
            unwell = {
                service: container
                for service, container in present.items()
                if container["status"] != "running" or container["health"] != "healthy"
            }
            if not missing and not unwell:
                break
            if time.monotonic() > deadline or not self.is_hopeful(unwell, before):
                raise StackError(self.complaint(missing, unwell))
            time.sleep(2)
        self.engine = present["engine"]
        self.passed("containers", ", ".join(describe(*item) for item in sorted(present.items())))

    def is_hopeful(self, unwell: dict[str, Container], before: dict[str, Container]) -> bool:
        """Say whether containers that are not well may still become it, without anybody's help.

        Args:
            unwell: the containers.
            before: all containers, as they were at first.
        """
        if crashing(self.project, before, CRASH_LOOP):
            return False
        active, finer = state(self.options["unit"])
        starting = active == "activating" and finer != "auto-restart"  # That one is between two tries, and has failed.
        return starting or any(container["status"] in {"running", "restarting"} for container in unwell.values())

    def complaint(self, missing: list[str], unwell: dict[str, Container]) -> str:
        """Return what is wrong, the cause last.

        The logs are those of before where the unit could not even try, so the secrets that it waits for come first.

        Args:
            missing: services without a container.
            unwell: containers that are not healthy.
        """
        unit = self.options["unit"]
        words = [f"there is no container of {' and '.join(missing)}"] if missing else []
        secrets = None if state(unit)[0] == "active" else secrets_problem()
        if secrets:
            words += [describe(*item) for item in sorted(unwell.items())]
            words.append(f"{unit} cannot start them, and tries again every minute for a while. The cause:\n{secrets}")
        elif missing:
            words.append(f"{unit} logged last: {redact(journal(unit))}")
        else:
            # The gateway comes up without the engine, so the engine's cause is said last.
            words += [explain(*item) for item in sorted(unwell.items(), reverse=True)]
        return "; ".join(words) if secrets or missing else "\n".join(words)

    def check_adapter(self) -> None:
        """Require the engine to list the adapter."""
        models = [model["id"] for model in json.loads(ask_engine(self.engine, "/v1/models"))["data"]]
        for adapter in self.expected["adapters"]:
            if adapter not in models:
                served = ", ".join(models) or "nothing"
                raise StackError(f"the engine does not serve the adapter {adapter!r}; it serves: {served}")
        self.model = [*self.expected["adapters"], *models][0]
        self.passed("adapter", ", ".join(models))

    def check_token(self) -> None:
        """Require the engine to make a token: its own /health says 200 even while it hangs (vllm#39863)."""
        body = json.dumps({"model": self.model, "prompt": "A", "max_tokens": 1})
        started = time.monotonic()
        try:
            ask_engine(self.engine, "/v1/completions", body, timeout=self.options["token_timeout"])
        except StackError as error:
            raise StackError(
                f"the engine calls itself healthy but makes no token: {error}. playbooks/start.yml makes it anew"
            ) from error
        self.passed("first token", f"after {time.monotonic() - started:.2f} s")

    def generated_tokens(self) -> float:
        """Return how many tokens the engine has made since its start."""
        lines = ask_engine(self.engine, "/metrics").splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(GENERATED_TOKENS))

    def ask_gateway(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of a request to the gateway."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.expected['gateway_port']}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=self.options["request_timeout"]) as answer:  # noqa: S310
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        except OSError as error:
            raise StackError(f"the gateway does not answer {path}: {error}") from error
        try:
            content = json.loads(text)
        except ValueError:
            content = {}
        return status, content if isinstance(content, dict) else {}

    def settled(self, path: str, body: dict[str, Any] | None, passing: set[int]) -> tuple[int, dict[str, Any]]:
        """Ask the gateway, and again for a while as long as the status is one of `passing`."""
        deadline = time.monotonic() + SETTLE
        while True:
            status, content = self.ask_gateway(path, body)
            if status not in passing or time.monotonic() > deadline:
                return status, content
            time.sleep(1)

    def check_gateway(self) -> None:
        """Require the gateway to be ready."""
        status, content = self.settled("/health", None, {503})
        if status != 200:
            raise StackError(f"the gateway is not ready: /health answers {status} {redact(json.dumps(content))}")
        self.passed("gateway", f"/health says {content.get('status')}")

    def check_edge(self) -> None:
        """Require the edge to pass a note on under its name, and to keep closed what is not open.

        Raises:
            StackError: it does not.
        """
        edge = self.edge
        if edge is None:
            return
        timeout = self.options["request_timeout"]
        deadline = time.monotonic() + CERTIFICATE_PATIENCE
        while True:
            try:
                status, content = ask_edge(edge, "/health", None, self.key, timeout)
                break
            except StackError as error:
                if time.monotonic() > deadline:
                    raise StackError(f"{error}. {self.edge_advice()}") from error
            time.sleep(2)
        if status != 200:
            raise StackError(f"/health answers {status} through the edge: {redact(json.dumps(content))}")
        for note in self.expected["golden"][:1]:
            path, body = note.get("path", "/api/v1/extract"), {"text": note["text"]}
            status, content = ask_edge(edge, path, body, self.key, timeout)
            if status != 200:
                detail = redact(str(content.get("detail", "no detail")))
                raise StackError(
                    f"the golden note {note['name']!r} was answered with {status} through the edge: {detail}"
                )
        status, _ = ask_edge(edge, CLOSED, None, "", timeout)
        if "metrics" not in edge["open"] and status != 404:
            raise StackError(f"{CLOSED} is to be closed at the edge, and answers {status}")
        self.passed("edge", f"answers as https://{edge['domain']}" if edge["domain"] else "answers in plain HTTP")

    def edge_advice(self) -> str:
        """Return where to look when an edge has no certificate that clients take."""
        log = f"`sudo docker logs {self.project}-edge-1` on the instance says more"
        if not self.edge or not self.edge["domain"]:
            return log
        return (
            f"{log}; with edge/mode acme, {self.edge['domain']} has to lead to this instance, and ports 80 and 443 have"
            " to be open to everyone, the authority among them"
        )

    def read_key(self) -> None:
        """Read the key for the gateway. Raises StackError where there is none."""
        path = Path(self.options["secrets_directory"]) / "verification-key"
        if not path.is_file():
            raise StackError(f"{path} is not there: the unit slm-ft-serving-secrets has not run")
        self.key = path.read_text(encoding="utf-8").strip()

    def check_golden_notes(self) -> None:
        """Require as many values of all golden notes to be right as the release needs.

        Raises:
            StackError: a note gets no answer, or too many values are wrong; all of them are told at once.
        """
        self.read_key()
        refused: list[str] = []
        figures: dict[str, Figures] = {}
        for note in self.expected["golden"]:
            started = time.monotonic()
            status, content = self.settled(note.get("path", "/api/v1/extract"), {"text": note["text"]}, {401, 503})
            # Those of the default task's adapter do not name it.
            found = figures.setdefault(str(note.get("adapter", "")), Figures())
            found.values += len(note["expected"])
            if status != 200:
                detail = redact(str(content.get("detail", "no detail")))
                refused.append(f"the golden note {note['name']!r} was answered with {status}: {detail}")
                continue
            answered = answered_fields(content)
            differing = [
                f"{note['name']} {name}: expected {value!r}, got {answered.get(name)!r}"
                for name, value in note["expected"].items()
                if name not in answered or not is_same(value, answered[name])
            ]
            found.wrong += differing
            right = len(note["expected"]) - len(differing)
            found.right += right
            words = f"{right} of {len(note['expected'])} values right"
            self.passed(f"golden note {note['name']}", f"{words} in {time.monotonic() - started:.2f} s")
        needed = {adapter: self.needed(adapter, each.values) for adapter, each in figures.items()}
        wrong = [value for each in figures.values() for value in each.wrong]
        self.golden = {
            "right": sum(each.right for each in figures.values()),
            "total": sum(each.values for each in figures.values()),
            "needed": sum(needed.values()),
            "wrong": wrong,
        }
        if refused:
            raise StackError("; ".join(refused) + ("\nWrong besides:\n" + listed(wrong) if wrong else ""))
        failed = [
            complaint_of(adapter, each, needed[adapter])
            for adapter, each in figures.items()
            if each.right < needed[adapter]
        ]
        if failed:
            raise StackError("\n".join(failed))

    def needed(self, adapter: str, values: int) -> int:
        """Return how many values must be right: those that the release asks for, else all.

        Args:
            adapter: whose golden notes they are of; empty for the default task's.
            values: how many there are.
        """
        asked = (self.expected.get("minimums") or {}).get(adapter) if adapter else self.expected.get("minimum")
        minimum = int(asked or 0)
        return min(minimum, values) if minimum > 0 else values

    def run(self) -> None:
        """Run all checks in order.

        Raises:
            StackError: the first one that fails.
        """
        self.check_containers()
        self.check_adapter()
        self.check_token()
        self.check_gateway()
        before = self.generated_tokens()
        self.check_golden_notes()
        made = self.generated_tokens() - before
        # Of pooled engines, others may have answered all of them, but while a release is verified.
        if self.expected["golden"] and made <= 0 and not self.pooled:
            raise StackError("the engine made no tokens while the golden notes were answered")
        self.passed("tokens", f"{made:.0f} made meanwhile")
        self.check_edge()


def answered_fields(content: dict[str, Any]) -> dict[str, Any]:
    """Return an answer's fields, which lie beside its other members for the default task, else in `fields`."""
    fields = content.get("fields")
    return fields if isinstance(fields, dict) else content


def complaint_of(adapter: str, figures: Figures, needed: int) -> str:
    """Return what is wrong with the golden notes of an adapter, and how to accept it.

    Args:
        adapter: its name; empty for the default task's.
        figures: what its notes came to.
        needed: how many values have to be right.
    """
    whose = f" of the adapter {adapter}" if adapter else ""
    variable = f"'{json.dumps({'health_verification_minimums': {adapter: figures.right}})}'"
    accepted = variable if adapter else f"health_verification_minimum={figures.right}"
    accepting = f" (a deployment with -e {accepted} accepts that)" if figures.right else ""
    return (
        f"{figures.right} of {figures.values} values of the golden notes{whose} are right, and {needed} have to"
        f" be{accepting}:\n{listed(figures.wrong)}"
    )


def listed(wrong: list[str]) -> str:
    """Return a line for each wrong value."""
    return "\n".join(f"  {value}" for value in wrong)


def main() -> None:
    """Verify and report."""
    module = AnsibleModule(
        argument_spec={
            "release": {"type": "str", "default": ""},
            "root": {"type": "path", "default": "/opt/slm-ft-serving"},
            "project": {"type": "str", "default": "slm-ft-serving"},
            "unit": {"type": "str", "default": "slm-ft-serving.service"},
            "secrets_directory": {"type": "path", "default": "/run/slm-ft-serving/secrets", "no_log": False},
            "wait": {"type": "int", "default": 30},
            "token_timeout": {"type": "int", "default": 60},
            "request_timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    verification: Verification | None = None
    try:
        verification = Verification(module.params)
        verification.run()
    except StackError as error:
        module.fail_json(
            msg=f"verification failed: {error}",
            checks=verification.checks if verification else [],
            release=verification.release if verification else None,
            golden=verification.golden if verification else {},
        )
    except (KeyError, TypeError, ValueError) as error:
        module.fail_json(msg=f"verification failed: an answer was not of the form that was expected: {error!r}")
    else:
        for value in verification.golden["wrong"]:
            module.warn(f"The release serves though a value of its golden notes is wrong: {value}")
        module.exit_json(
            changed=False, checks=verification.checks, release=verification.release, golden=verification.golden
        )


if __name__ == "__main__":
    main()
