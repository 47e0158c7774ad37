#!/usr/bin/python
"""Prepare, activate, accept and withdraw releases on the instance."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_release
short_description: Prepare, activate, accept or withdraw a release
description:
  - The state C(prepared) writes releases/STAMP unless the current release is a good one, whole, with the same
    files. What serves is not touched. A damaged release is never taken for a good one.
  - The state C(activated) points C(current) to the release, brings its containers up and waits until they are
    healthy.
  - The state C(accepted) records a passed verification (result C(good) in C(release.yml)), points C(verified) to
    the release and prunes what no kept release needs.
  - The state C(withdrawn) keeps the logs of a release that failed, marks it and brings back what served before.
    Without such a release it stops the stack.
  - An own module, because each state is a dozen steps that belong together, must be safe to run twice, and would
    cost a session each as tasks.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  state:
    description: What to reach.
    type: str
    required: true
    choices: [prepared, activated, accepted, withdrawn]
  stamp:
    description: The release, as a UTC stamp.
    type: str
    required: true
  files:
    description: For C(prepared), the release's files by name.
    type: dict
    default: {}
  about:
    description: For C(prepared), what C(release.yml) says of the release.
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
  failed:
    description: For C(withdrawn), whether the release itself failed. Else one that was good before stays good.
    type: bool
    default: true
  keep_good:
    description: For C(accepted), how many good releases are kept.
    type: int
    default: 3
  keep_failed:
    description: For C(accepted), how many others are kept, with their logs.
    type: int
    default: 3
extends_documentation_fragment:
  - slm.serving.stack
"""

EXAMPLES = r"""
- name: Activate a release
  slm.serving.stack_release:
    state: activated
    stamp: 20260101T000000Z
    timeout: 420

- name: Accept it once it has been verified
  slm.serving.stack_release:
    state: accepted
    stamp: 20260101T000000Z
"""

RETURN = r"""
stamp:
  description: The release that is current afterwards. For C(prepared), the one that is to be activated.
  type: str
  returned: always
unchanged:
  description: Whether the current release has these files already and its containers run.
  type: bool
  returned: when I(state=prepared)
prunable:
  description: Whether images of releases that failed are there, which C(accepted) would remove.
  type: bool
  returned: when I(state=prepared) and the current release has these files already
previous:
  description: The good release that served before this one, or null.
  type: str
  returned: success
mended:
  description: Containers that were put right before, in words, such as one that was paused or did not work.
  type: list
  elements: str
  returned: when I(state=activated)
pruned:
  description: The releases, images, models and engine caches that were removed.
  type: dict
  returned: when I(state=accepted)
"""

import contextlib
import errno
import shutil
import signal
from pathlib import Path
from typing import Any

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

Result = dict[str, Any]


def stack_of(module: AnsibleModule, releases: Releases) -> Stack:
    """Return the stack that the module's options mean."""
    options = module.params
    return Stack(releases, options["project"], options["unit"], options["timeout"])


def prepare(module: AnsibleModule, releases: Releases) -> Result:
    """Write the release directory unless the current one is good, whole and has the same files.

    Raises:
        StackError: compose does not accept the files.
    """
    stamp = module.params["stamp"]
    current = releases.current()
    files = {name: str(content) for name, content in module.params["files"].items()}
    present = releases.files(current) if current else {}
    if current and releases.is_good(current) and present == files:
        verified = current == releases.verified()
        return {
            "changed": not verified,
            "stamp": current,
            "unchanged": verified and stack_of(module, releases).is_serving(),
            "prunable": Pruning(releases).is_needed(),
            "previous": releases.rollback_target(current),
        }

    if current and releases.damage(current):
        module.warn(f"The release {current} is damaged: {releases.damage(current)}. A new one takes its place.")
    # A content that differs is a new release even where only the record of the current one is broken.
    diff = [
        {
            "before_header": f"{current or 'nothing'}/{name}",
            "after_header": f"{stamp}/{name}",
            "before": present.get(name, ""),
            "after": files.get(name, ""),
        }
        for name in sorted({*present, *files})
        if present.get(name) != files.get(name)
    ]
    previous = releases.rollback_target(stamp)
    result = {"changed": True, "stamp": stamp, "unchanged": False, "previous": previous, "diff": diff}
    if module.check_mode or (releases.files(stamp) == files and releases.record(stamp)):
        return result

    for path in releases.clear_the_way():
        module.warn(f"{path} is neither a directory nor a link of a release. It was moved aside, beside its place.")
    write(module, releases, files)
    for abandoned in releases.abandoned():
        if abandoned != stamp:
            releases.update(abandoned, result=FAILED, reason="its deployment was cut short")
    return result


def write(module: AnsibleModule, releases: Releases, files: dict[str, str]) -> None:
    """Write a release beside its place, have compose read it, and rename it into place.

    Raises:
        StackError: compose does not accept the files.
    """
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


def activate(module: AnsibleModule, releases: Releases) -> Result:
    """Bring the release up, recording what served before it.

    Raises:
        StackError: the release is damaged, or its containers do not become healthy.
    """
    stamp = module.params["stamp"]
    if module.check_mode:
        return {"changed": True, "stamp": stamp}
    # A deployment whose controller was killed may still be at it: its end is waited for.
    with activation_lock(take_over=False, patience=module.params["timeout"]):
        damage = releases.damage(stamp)
        if damage:
            raise StackError(f"the release {stamp} is damaged: {damage}")
        if releases.verified() != stamp:
            releases.update(stamp, previous=releases.rollback_target(stamp))
        record = releases.record(stamp)
        releases.update(stamp, activated=now(), result=GOOD if record.get("result") == GOOD else ACTIVATED)
        mended = stack_of(module, releases).bring_up(stamp)
    return {"changed": True, "stamp": stamp, "previous": record.get("previous"), "mended": mended}


def accept(module: AnsibleModule, releases: Releases) -> Result:
    """Record a passed verification; then remove what no kept release needs.

    Raises:
        StackError: another release is current.
    """
    stamp = module.params["stamp"]
    changed = releases.verified() != stamp or releases.record(stamp).get("result") != GOOD
    if module.check_mode:
        # One that would be made is not current yet.
        return {"changed": changed or Pruning(releases).is_needed(), "stamp": stamp}
    if releases.current() != stamp:
        raise StackError(f"the release {stamp} passed its verification, but {releases.current()} is current now")
    if changed:
        releases.update(stamp, result=GOOD, reason=None, verified=now())
        releases.point(VERIFIED, stamp)
    pruning = Pruning(releases)
    pruning.run(module.params["keep_good"], module.params["keep_failed"])
    for problem in pruning.problems:
        module.warn(problem)
    return {"changed": changed or any(pruning.removed.values()), "stamp": stamp, "pruned": pruning.removed}


def withdraw(module: AnsibleModule, releases: Releases) -> Result:
    """Mark the release and bring back what served before it; without that, stop the stack.

    Raises:
        StackError: what served before does not come back.
    """
    stamp, project, unit = module.params["stamp"], module.params["project"], module.params["unit"]
    if module.check_mode:
        return {"changed": True, "stamp": stamp}
    with activation_lock(take_over=True, patience=60):
        # A full disk must not keep the other release from coming back.
        with contextlib.suppress(OSError, StackError):
            keep_logs(releases.path(stamp) / "logs", project)
        with contextlib.suppress(OSError):
            still_good = releases.record(stamp).get("verified") and not module.params["failed"]
            releases.update(stamp, result=GOOD if still_good else FAILED, reason=module.params["reason"])
        previous = releases.rollback_target(stamp)
        if previous:
            releases.point(VERIFIED, previous)
            bring_back(module, releases, previous)
        else:
            run(["systemctl", "stop", unit], timeout=300)
            stop(project)
            for link in (CURRENT, VERIFIED):
                (releases.root / link).unlink(missing_ok=True)
    return {"changed": True, "stamp": previous, "previous": previous}


def bring_back(module: AnsibleModule, releases: Releases, stamp: str) -> None:
    """Bring up what served before; where that fails, once more from nothing: no state of a container may keep it away.

    Raises:
        StackError: it does not come back.
    """
    stack = stack_of(module, releases)
    try:
        stack.bring_up(stamp)
    except StackError as error:
        module.warn(f"The release {stamp} did not come up ({error}). All containers are made anew.")
        stack.bring_up(stamp, anew=True)


def keep_logs(directory: Path, project: str) -> None:
    """Write the containers' logs, without secrets, beside the release that failed."""
    directory.mkdir(parents=True, exist_ok=True)
    for service, container in containers(project).items():
        (directory / f"{service}.log").write_text(logs(container), encoding="utf-8")


STATES = {"prepared": prepare, "activated": activate, "accepted": accept, "withdrawn": withdraw}


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
            "failed": {"type": "bool", "default": True},
            "keep_good": {"type": "int", "default": 3},
            "keep_failed": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    # Ended by whoever takes over: leave through the same door as a failure, so that compose is ended too.
    signal.signal(signal.SIGTERM, lambda *_: module.fail_json(msg="ended by a newer run"))
    try:
        result = STATES[module.params["state"]](module, Releases(module.params["root"]))
    except StackError as error:
        module.fail_json(msg=str(error), stamp=module.params["stamp"])
    except OSError as error:
        module.fail_json(msg=explain(error), stamp=module.params["stamp"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
