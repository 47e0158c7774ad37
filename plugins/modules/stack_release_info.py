#!/usr/bin/python
"""Report the releases on the instance, and whether one of them can be activated again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_release_info
short_description: Report the releases on the instance
description:
  - Reports which release is current and which ones are good, and of one release whether it can be activated again
    and what it needs that is no longer on the instance.
  - Changes nothing.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  stamp:
    description: The release to report. Empty means the good one that served before the current one.
    type: str
    default: ""
extends_documentation_fragment:
  - slm.serving.stack
"""

EXAMPLES = r"""
- name: See which release served before
  slm.serving.stack_release_info:
  register: releases
"""

RETURN = r"""
current:
  description: The stamp that C(current) points to, or null.
  type: str
  returned: success
good:
  description: The good releases, the one activated last first, each with C(stamp) and C(verified) (time in UTC).
  type: list
  elements: dict
  returned: success
release:
  description: The release that was asked for.
  type: dict
  returned: success
  contains:
    stamp:
      description: The release, or null where there is none to go back to.
      type: str
      returned: success
    problem:
      description: Why it cannot be activated, or null.
      type: str
      returned: success
    is_current:
      description: Whether it is the current release, and verified.
      type: bool
      returned: success
    is_serving:
      description: Whether besides its containers run.
      type: bool
      returned: success
    missing_images:
      description: By name, its images that are not on the instance.
      type: dict
      returned: success
    missing_models:
      description: By name, its models that are not on the instance.
      type: dict
      returned: success
    sources:
      description: By name, where its models came from.
      type: dict
      returned: success
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.activation import Stack
from ansible_collections.slm.serving.plugins.module_utils.docker_engine import has_image
from ansible_collections.slm.serving.plugins.module_utils.process import StackError
from ansible_collections.slm.serving.plugins.module_utils.releases import GOOD, Releases


def problem(releases: Releases, stamp: str | None) -> str | None:
    """Return why a release cannot be activated again, or None."""
    if stamp is None:
        return "There is no earlier good release to go back to"
    if stamp not in releases.stamps():
        return f"There is no release {stamp} on the instance"
    damage = releases.damage(stamp)
    if damage:
        return f"The release {stamp} is damaged: {damage}"
    record = releases.record(stamp)
    if record.get("result") != GOOD:
        reason = str(record.get("reason") or "it never passed a verification").splitlines()[0]
        return f"The release {stamp} is not a good one: {reason}"
    return None


def is_missing(image: dict[str, str]) -> bool:
    """Say whether an image is not on the instance."""
    return not has_image(image["reference"])


def report(releases: Releases, stamp: str | None, stack: Stack) -> dict[str, Any]:
    """Return what is known of one release; see RETURN."""
    record = releases.record(stamp) if stamp in releases.stamps() else {}
    images, models = record.get("images") or {}, record.get("models") or {}
    is_current = stamp is not None and stamp == releases.current() == releases.verified()
    return {
        "stamp": stamp,
        "problem": problem(releases, stamp),
        "is_current": is_current,
        "is_serving": is_current and stack.is_serving(),
        "missing_images": {name: image for name, image in images.items() if is_missing(image)},
        "missing_models": {name: model for name, model in models.items() if not Path(model["path"]).is_dir()},
        "sources": {name: model.get("source", "") for name, model in models.items()},
    }


def main() -> None:
    """Report."""
    module = AnsibleModule(
        argument_spec={
            "stamp": {"type": "str", "default": ""},
            "root": {"type": "path", "default": "/opt/slm-ft-serving"},
            "project": {"type": "str", "default": "slm-ft-serving"},
            "unit": {"type": "str", "default": "slm-ft-serving.service"},
        },
        supports_check_mode=True,
    )
    releases = Releases(module.params["root"])
    current = releases.current()
    stamp = module.params["stamp"] or releases.rollback_target(current)
    try:
        release = report(releases, stamp, Stack(releases, module.params["project"], module.params["unit"], timeout=0))
    except StackError as error:
        module.fail_json(msg=str(error))
    good = [{"stamp": name, "verified": releases.record(name).get("verified")} for name in releases.good()]
    module.exit_json(changed=False, current=current, good=good, release=release)


if __name__ == "__main__":
    main()
