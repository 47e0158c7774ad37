#!/usr/bin/python
"""Make, activate, judge, withdraw and choose releases on the instance.

An own module, because each of these is a dozen steps that belong together, must be safe to run twice, and would
cost a session each as tasks.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import signal
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.activation import Stack, activation_lock
from ansible_collections.slm.serving.plugins.module_utils.compose import stop
from ansible_collections.slm.serving.plugins.module_utils.containers import containers, logs
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, run
from ansible_collections.slm.serving.plugins.module_utils.prune import Pruning
from ansible_collections.slm.serving.plugins.module_utils.releases import (
    ACTIVATED,
    CURRENT,
    FAILED,
    GOOD,
    PREPARED,
    VERIFIED,
    Releases,
    checksums,
    now,
)

DOCUMENTATION = r"""
module: release
short_description: Make, activate, judge, withdraw and choose releases
description:
  - C(prepared) writes releases/STAMP unless the current release is a good one, whole, with the same files. What serves
    is not touched. A damaged release is never taken for a good one.
  - C(activated) points C(current) to the release, brings its containers up and waits until they are healthy.
  - C(good) writes the result of a passed verification, points C(verified) to the release and prunes what no kept
    release needs.
  - C(withdrawn) keeps the logs of a release that failed, marks it and brings back what served before; without such a
    release it stops the stack.
  - C(chosen) finds the release to roll back to and tells which of its images and models are no longer on the instance.
    Changes nothing.
options:
  state:
    description: What to reach.
    type: str
    required: true
    choices: [prepared, activated, good, withdrawn, chosen]
  stamp:
    description: The release, as a UTC stamp. For C(chosen) it may be empty, which means the one that served before.
    type: str
    required: true
  root:
    description: The directory that holds C(releases) and the links C(current) and C(verified).
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
  judged:
    description: For C(withdrawn), whether the release itself failed; else one that was good before stays good.
    type: bool
    default: true
  keep_good:
    description: For C(good), how many good releases are kept.
    type: int
    default: 3
  keep_failed:
    description: For C(good), how many others are kept, with their logs.
    type: int
    default: 3
"""

RETURN = r"""
stamp:
  description: The release that is current afterwards; for C(prepared) and C(chosen), the one that is to be activated.
  type: str
unchanged:
  description: For C(prepared) and C(chosen), whether the current release is what is wanted and its containers run.
  type: bool
previous:
  description: The good release that served before this one, or null.
  type: str
pruned:
  description: For C(good), the releases, images and models that were removed.
  type: dict
images:
  description: For C(chosen), by name, the images of the release that are not on the instance.
  type: dict
models:
  description: For C(chosen), by name, the models of the release that are not on the instance.
  type: dict
sources:
  description: For C(chosen), by name, where the models of the release came from.
  type: dict
"""


def stack_of(module: AnsibleModule, releases: Releases) -> Stack:
    """Return the stack that the module's options mean."""
    options = module.params
    return Stack(releases, options["project"], options["unit"], options["timeout"])


def prepare(module: AnsibleModule, releases: Releases) -> dict:
    """Write the release directory unless the current one is good, whole and has the same files."""
    stamp = module.params["stamp"]
    current = releases.current()
    wanted = {name: str(content) for name, content in module.params["files"].items()}
    present = releases.files(current) if current else {}
    if releases.is_good(current) and present == wanted:
        settled = current == releases.verified()
        serving = settled and stack_of(module, releases).is_serving()
        previous = releases.fallback(besides=current)
        return {"changed": not settled, "stamp": current, "unchanged": serving, "previous": previous}

    if current and releases.damage(current):
        module.warn(f"The release {current} is damaged: {releases.damage(current)}. A new one takes its place.")
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
    previous = releases.fallback(besides=stamp)
    result = {"changed": True, "stamp": stamp, "unchanged": False, "previous": previous, "diff": diff}
    if module.check_mode or (releases.files(stamp) == wanted and releases.record(stamp)):
        return result

    for path in releases.clear_the_way():
        module.warn(f"{path} was not what belongs there; it was moved aside, beside its place.")
    write(module, releases, wanted)
    for abandoned in releases.abandoned():
        if abandoned != stamp:
            releases.update(abandoned, result=FAILED, reason="its deployment was cut short")
    return result


def write(module: AnsibleModule, releases: Releases, files: dict[str, str]) -> None:
    """Write a release beside its place, have compose read it, and rename it into place; raises StackError."""
    stamp, directory = module.params["stamp"], releases.path(module.params["stamp"])
    staging = directory.with_name(f".{stamp}.new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True, mode=0o755)
    for name, content in files.items():
        (staging / name).write_text(content, encoding="utf-8")
        (staging / name).chmod(0o644)
    checked = run(["docker", "compose", "--file", str(staging / "compose.yml"), "config", "--quiet"])
    if checked.returncode != 0:
        shutil.rmtree(staging)
        raise StackError(f"docker compose does not accept the rendered compose.yml: {checked.stderr.strip()}")
    shutil.rmtree(directory, ignore_errors=True)
    staging.rename(directory)
    about = {"release": stamp, "made": now(), **module.params["about"]}
    releases.update(stamp, **about, files=checksums(files), result=PREPARED, reason=None)


def activate(module: AnsibleModule, releases: Releases) -> dict:
    """Bring the release up, noting what served before it."""
    stamp = module.params["stamp"]
    # A deployment whose controller was killed may still be at it: its end is waited for.
    with activation_lock(take_over=False, patience=module.params["timeout"]):
        damage = releases.damage(stamp)
        if damage:
            raise StackError(f"the release {stamp} is damaged: {damage}")
        if releases.verified() != stamp:
            releases.update(stamp, previous=releases.fallback(besides=stamp))
        record = releases.record(stamp)
        releases.update(stamp, activated=now(), result=GOOD if record.get("result") == GOOD else ACTIVATED)
        stack_of(module, releases).bring_up(stamp)
    return {"changed": True, "stamp": stamp, "previous": record.get("previous")}


def mark_good(module: AnsibleModule, releases: Releases) -> dict:
    """Write the result of a passed verification; then remove what no kept release needs."""
    stamp = module.params["stamp"]
    if releases.current() != stamp:
        raise StackError(f"the release {stamp} passed its verification, but {releases.current()} is current now")
    changed = releases.verified() != stamp or releases.record(stamp).get("result") != GOOD
    if module.check_mode:
        return {"changed": changed, "stamp": stamp}
    if changed:
        releases.update(stamp, result=GOOD, reason=None, verified=now())
        releases.point(VERIFIED, stamp)
    pruning = Pruning(releases)
    pruning.run(module.params["keep_good"], module.params["keep_failed"])
    for problem in pruning.problems:
        module.warn(problem)
    return {"changed": changed or any(pruning.removed.values()), "stamp": stamp, "pruned": pruning.removed}


def withdraw(module: AnsibleModule, releases: Releases) -> dict:
    """Mark the release and bring back what served before it; without that, stop the stack."""
    stamp, project, unit = module.params["stamp"], module.params["project"], module.params["unit"]
    with activation_lock(take_over=True, patience=60):
        # A full disk must not keep the other release from coming back.
        with contextlib.suppress(OSError, StackError):
            keep_logs(releases.path(stamp) / "logs", project)
        with contextlib.suppress(OSError):
            acquitted = releases.record(stamp).get("verified") and not module.params["judged"]
            releases.update(stamp, result=GOOD if acquitted else FAILED, reason=module.params["reason"])
        previous = releases.fallback(besides=stamp)
        if previous:
            releases.point(VERIFIED, previous)
            stack_of(module, releases).bring_up(previous)
        else:
            run(["systemctl", "stop", unit], timeout=300)
            stop(project)
            for link in (CURRENT, VERIFIED):
                (releases.root / link).unlink(missing_ok=True)
    return {"changed": True, "stamp": previous, "previous": previous}


def keep_logs(directory: Path, project: str) -> None:
    """Write the containers' logs, without secrets, beside the release that failed."""
    directory.mkdir(parents=True, exist_ok=True)
    for service, container in containers(project).items():
        (directory / f"{service}.log").write_text(logs(container), encoding="utf-8")


def choose(module: AnsibleModule, releases: Releases) -> dict:
    """Find the release to roll back to; raises StackError, with the list of good ones, when it is none of them."""
    current = releases.current()
    stamp = module.params["stamp"] or releases.fallback(besides=current)
    problem = objection(releases, stamp)
    if problem:
        others = [f"{name} (verified {releases.record(name).get('verified')})" for name in releases.good()]
        raise StackError(f"{problem}. Good releases: {', '.join(others) or 'none'}")
    record = releases.record(stamp)
    settled = stamp == current == releases.verified()
    return {
        "changed": not settled,
        "stamp": stamp,
        "previous": current,
        "unchanged": settled and stack_of(module, releases).is_serving(),
        "images": {
            name: image
            for name, image in (record.get("images") or {}).items()
            if run(["docker", "image", "inspect", "--format", "{{.Id}}", image["reference"]]).returncode != 0
        },
        "models": {
            name: model for name, model in (record.get("models") or {}).items() if not Path(model["path"]).is_dir()
        },
        "sources": {name: model.get("source", "") for name, model in (record.get("models") or {}).items()},
    }


def objection(releases: Releases, stamp: str | None) -> str | None:
    """Return why a release cannot be rolled back to, or None."""
    if stamp is None:
        return "There is no earlier good release to go back to"
    if stamp not in releases.stamps():
        return f"There is no release {stamp} on the instance"
    damage = releases.damage(stamp)
    if damage:
        return f"The release {stamp} is damaged: {damage}"
    record = releases.record(stamp)
    if record.get("result") != GOOD:
        why = str(record.get("reason") or "it never passed a verification").splitlines()[0]
        return f"The release {stamp} is not a good one: {why}"
    return None


STATES = {"prepared": prepare, "activated": activate, "good": mark_good, "withdrawn": withdraw, "chosen": choose}


def explain(error: OSError) -> str:
    """Return an error of the file system in words for the operator."""
    if error.errno == errno.ENOSPC:
        return f"the instance's disk is full ({error.filename}): remove what is not needed or enlarge the volume"
    return f"the instance's file system refused: {error}"


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
            "judged": {"type": "bool", "default": True},
            "keep_good": {"type": "int", "default": 3},
            "keep_failed": {"type": "int", "default": 3},
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
    except OSError as error:
        module.fail_json(msg=explain(error), stamp=module.params["stamp"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
