#!/usr/bin/python
"""Make, activate, judge and withdraw releases on the instance.

An own module, because each of these is a dozen steps that belong together, must be safe to run twice, and would
cost a session each as tasks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.slm_compose import stop, up
from ansible.module_utils.slm_release import ACTIVATED, FAILED, GOOD, PREPARED, RECORD, Releases
from ansible.module_utils.slm_stack import StackError, containers, journal, logs, run

DOCUMENTATION = r"""
module: release
short_description: Make, activate, judge and withdraw releases
description:
  - C(prepared) writes releases/STAMP unless the current release is a good one with the same files. What serves is not
    touched.
  - C(activated) points C(current) to the release, brings its containers up and waits until they are healthy.
  - C(good) writes the result of a passed verification.
  - C(withdrawn) keeps the logs of a failed release, marks it and brings the last good release back; without one it
    stops the stack.
options:
  state:
    description: What to reach.
    type: str
    required: true
    choices: [prepared, activated, good, withdrawn]
  stamp:
    description: The release, as a UTC stamp.
    type: str
    required: true
  root:
    description: The directory that holds C(releases) and C(current).
    type: path
    default: /opt/slm-ft-serving
  project:
    description: The compose project.
    type: str
    default: slm-ft-serving
  unit:
    description: The systemd unit that starts the stack at boot.
    type: str
    default: slm-ft-serving.service
  files:
    description: For C(prepared), the release's files by name.
    type: dict
    default: {}
  about:
    description: For C(prepared), what release.yml says of the release.
    type: dict
    default: {}
  timeout:
    description: Seconds until the containers must be healthy.
    type: int
    default: 900
  reason:
    description: For C(withdrawn), why the release failed.
    type: str
    default: ""
"""

RETURN = r"""
stamp:
  description: The release that is current afterwards; for C(prepared), the one that is to be activated.
  type: str
unchanged:
  description: For C(prepared), whether the current release is already what is wanted and its containers run.
  type: bool
previous:
  description: The last good release before this one, or null.
  type: str
"""

LOCK = Path("/run/slm-ft-serving/activation.lock")


def compose_command(releases: Releases, project: str, *arguments: str) -> list[str]:
    """Return a docker compose command for the current release; the systemd unit runs the same."""
    return ["docker", "compose", "--project-name", project, "--file", str(releases.link / "compose.yml"), *arguments]


@contextlib.contextmanager
def activation_lock(take_over: bool, patience: float):
    """Hold the lock of whoever brings containers up, so that a repeated or a left-over run cannot interfere.

    With take_over the holder is ended first: it belongs to a deployment that has lost its session.
    """
    LOCK.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    with LOCK.open("a+", encoding="utf-8") as stream:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                stream.seek(0)
                holder = stream.read().strip()
                if take_over and holder.isdigit():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(holder), signal.SIGTERM)
                if time.monotonic() > deadline:
                    raise StackError(f"another activation (process {holder}) is under way on the instance") from None
                time.sleep(1)
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def files_of(directory: Path) -> dict[str, str]:
    """Return the text files of a release, without its record and logs."""
    if not directory.is_dir():
        return {}
    return {
        path.name: path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(directory.iterdir())
        if path.is_file() and not path.name.startswith(".") and path.name != RECORD
    }


def is_serving(releases: Releases, project: str, unit: str) -> bool:
    """Say whether the unit is active and all the current release's containers run."""
    active = run(["systemctl", "is-active", "--quiet", unit]).returncode == 0
    found = containers(project)
    services = run(compose_command(releases, project, "config", "--services")).stdout.split()
    return active and bool(services) and all(found.get(name, {}).get("status") == "running" for name in services)


def prepare(module: AnsibleModule, releases: Releases) -> dict:
    """Write the release directory unless the current one is good and has the same files."""
    stamp, project = module.params["stamp"], module.params["project"]
    current = releases.current()
    wanted = {name: str(content) for name, content in module.params["files"].items()}
    present = files_of(releases.path(current)) if current else {}
    good = current is not None and releases.record(current).get("result") == GOOD
    if good and present == wanted:
        serving = is_serving(releases, project, module.params["unit"])
        return {"changed": False, "stamp": current, "unchanged": serving, "previous": current}

    # A content that differs is a new release even where only the record of the current one is broken.
    diff = [
        {
            "before_header": f"{current or 'nothing'}/{name}",
            "after_header": f"{stamp}/{name}",
            "before": present.get(name, ""),
            "after": wanted.get(name, ""),
        }
        for name in sorted({*present, *wanted})
        if present.get(name) != wanted.get(name)
    ]
    previous = current if good else releases.good(besides=stamp)
    result = {"changed": True, "stamp": stamp, "unchanged": False, "previous": previous, "diff": diff}
    directory = releases.path(stamp)
    if module.check_mode or files_of(directory) == wanted:
        return result

    staging = releases.directory / f".{stamp}.new"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True, mode=0o755)
    for name, content in wanted.items():
        (staging / name).write_text(content, encoding="utf-8")
        (staging / name).chmod(0o644)
    checked = run(["docker", "compose", "--file", str(staging / "compose.yml"), "config", "--quiet"])
    if checked.returncode != 0:
        shutil.rmtree(staging)
        raise StackError(f"docker compose does not accept the rendered compose.yml: {checked.stderr.strip()}")
    shutil.rmtree(directory, ignore_errors=True)
    staging.rename(directory)
    releases.update(stamp, release=stamp, **module.params["about"], previous=previous, result=PREPARED, reason=None)
    return result


def activate(module: AnsibleModule, releases: Releases) -> dict:
    """Point current to the release, bring it up, and let the unit know."""
    stamp, unit = module.params["stamp"], module.params["unit"]
    # A deployment whose controller was killed may still be at it: its end is waited for.
    with activation_lock(take_over=False, patience=module.params["timeout"]):
        record = releases.record(stamp)
        if not record:
            raise StackError(f"the release {stamp} is not on the instance or its {RECORD} cannot be read")
        wait_for_boot(unit, module.params["timeout"])
        if releases.current() != stamp:
            releases.switch(stamp)
        if record.get("result") != GOOD:
            releases.update(stamp, result=ACTIVATED)
        bring_up(module, releases, stamp)
        started = run(["systemctl", "start", unit], timeout=module.params["timeout"] + 30)
        if started.returncode != 0:
            raise StackError(f"the containers run, but {unit} does not start: {journal(unit)}")
    return {"changed": True, "stamp": stamp, "previous": record.get("previous")}


def wait_for_boot(unit: str, timeout: float) -> None:
    """Wait while systemd itself is starting the stack, as at boot: two composes would collide."""
    deadline = time.monotonic() + timeout
    while run(["systemctl", "is-active", unit]).stdout.strip() in {"activating", "deactivating"}:
        if time.monotonic() > deadline:
            raise StackError(f"{unit} has been starting for more than {timeout:.0f} s: {journal(unit)}")
        time.sleep(1)


def bring_up(module: AnsibleModule, releases: Releases, stamp: str) -> None:
    """Run compose up for the current release; only services whose configuration changed are made anew."""
    project, timeout = module.params["project"], module.params["timeout"]
    command = compose_command(
        releases, project, "up", "--detach", "--wait", "--wait-timeout", str(timeout), "--remove-orphans"
    )
    up(command, project, timeout + 15, releases.path(stamp) / "logs" / "compose.log")


def keep_logs(releases: Releases, stamp: str, project: str) -> None:
    """Write the containers' logs, without secrets, beside the release that failed."""
    directory = releases.path(stamp) / "logs"
    directory.mkdir(parents=True, exist_ok=True)
    for service, container in containers(project).items():
        (directory / f"{service}.log").write_text(logs(container), encoding="utf-8")


def withdraw(module: AnsibleModule, releases: Releases) -> dict:
    """Mark the release as failed and bring the last good one back; without one, stop the stack."""
    stamp, project, unit = module.params["stamp"], module.params["project"], module.params["unit"]
    with activation_lock(take_over=True, patience=60):
        if releases.path(stamp).is_dir():
            keep_logs(releases, stamp, project)
            releases.update(stamp, result=FAILED, reason=module.params["reason"])
        previous = releases.good(besides=stamp)
        if previous:
            releases.switch(previous)
            bring_up(module, releases, previous)
            run(["systemctl", "start", unit], timeout=module.params["timeout"] + 30)
        else:
            run(["systemctl", "stop", unit], timeout=300)
            stop(project)
            releases.link.unlink(missing_ok=True)
    return {"changed": True, "stamp": previous, "previous": previous}


def mark_good(module: AnsibleModule, releases: Releases) -> dict:
    """Write the result of a passed verification."""
    stamp = module.params["stamp"]
    if releases.record(stamp).get("result") == GOOD:
        return {"changed": False, "stamp": stamp}
    if not module.check_mode:
        releases.update(stamp, result=GOOD, reason=None, verified=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    return {"changed": True, "stamp": stamp}


STATES = {"prepared": prepare, "activated": activate, "good": mark_good, "withdrawn": withdraw}


def main() -> None:
    """Reach the state."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True, "choices": list(STATES)},
            "stamp": {"type": "str", "required": True},
            "root": {"type": "path", "default": "/opt/slm-ft-serving"},
            "project": {"type": "str", "default": "slm-ft-serving"},
            "unit": {"type": "str", "default": "slm-ft-serving.service"},
            "files": {"type": "dict", "default": {}},
            "about": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 900},
            "reason": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    # Ended by whoever takes over: leave through the same door as a failure, so that compose is ended too.
    signal.signal(signal.SIGTERM, lambda *_: module.fail_json(msg="ended by a newer run"))
    state = module.params["state"]
    if module.check_mode and state in {"activated", "withdrawn"}:
        module.exit_json(changed=True, stamp=module.params["stamp"])
    try:
        result = STATES[state](module, Releases(module.params["root"]))
    except StackError as error:
        module.fail_json(msg=str(error), stamp=module.params["stamp"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
