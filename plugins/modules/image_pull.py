#!/usr/bin/python
"""Pull images by digest from ECR on the instance, with a token that is never an argument and never on a disk.

An own module: token, log-in, disk check and pulls with retries are one session, and need neither Docker's Python
library nor boto3 on the instance. (`docker_login` could keep the credentials in a folder of its own, `config_path`; the
token would still have to pass through a task, whose arguments travel through S3.)
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_pull
short_description: Pull images by digest from ECR
description:
  - Images that are on the instance already are not pulled again, so an unchanged deployment needs no registry.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  images:
    description: Images by name, each with C(reference) (registry/repository@digest) and C(tag).
    type: dict
    required: true
  region:
    description: Region of ECR.
    type: str
    required: true
  pull:
    description: Whether to pull what is missing; else the module only reports it.
    type: bool
    default: true
  reserve:
    description: Bytes that must be free on the disk of Docker before a pull.
    type: int
    default: 2147483648
  timeout:
    description: Seconds for one pull.
    type: int
    default: 1800
"""

EXAMPLES = r"""
- name: Pull the gateway's image
  slm.serving.image_pull:
    region: us-east-1
    images:
      gateway:
        reference: registry.example/gateway@sha256:0000000000000000000000000000000000000000000000000000000000000000
        tag: "1.0"
"""

RETURN = r"""
missing:
  description: Names of the images that are not on the instance.
  type: list
  elements: str
  returned: success
pulled:
  description: Names of the images that were pulled.
  type: list
  elements: str
  returned: success
"""

import shutil
import tempfile
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.aws_cli import AwsError, aws, role_in
from ansible_collections.slm.serving.plugins.module_utils.docker_engine import (
    complaint,
    has_image,
    image_directory,
    info,
)
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, run

ATTEMPTS = 3
SILENCE = ("connection refused", "no such host", "i/o timeout", "no route", "deadline exceeded", "eof")
# An image that was built for another kind of processor, in the words of either store.
PLATFORM = ("no matching manifest for", "no match for platform", "does not match the specified platform")
# What no second attempt can cure.
FINAL = ("not found", "manifest unknown", "denied", "unauthorized", "no basic auth", "no space left", *PLATFORM)


def log_in(registry: str, region: str, folder: Path) -> None:
    """Log in with a short-lived token, by standard input, into a folder on tmpfs. Raises StackError."""
    try:
        token = aws("ecr", "get-login-password", region=region)
    except AwsError as error:
        denied = f"{role_in(error.reason)} may not log in to ECR: allow it ecr:GetAuthorizationToken on *"
        raise StackError(denied if error.denied else f"ECR gives no token: {error}") from error
    command = ["docker", "--config", str(folder), "login", "--username", "AWS", "--password-stdin", registry]
    result = run(command, input=token.strip())
    if result.returncode != 0:
        raise StackError(explain(registry, result.stderr, f"log in to {registry}"))


def explain(registry: str, stderr: str, attempt: str) -> str:
    """Return a failure of the registry in words for the operator; `attempt` says what was attempted."""
    reason = complaint(stderr)
    low = reason.lower()
    if any(words in low for words in SILENCE):
        return (
            f"could not {attempt}: the registry {registry} does not answer ({reason}). Check the network and the"
            " registry"
        )
    if "no space left" in low:
        return f"could not {attempt}: the instance's disk is full. Remove old images or enlarge the volume"
    if any(words in low for words in PLATFORM):
        return (
            f"could not {attempt}: it was not built for the instance's processor ({reason}). Build it with"
            " `docker build --platform linux/amd64`, and push it under another tag"
        )
    return f"could not {attempt}: {reason}"


def pull(reference: str, tag: str, folder: Path, timeout: float) -> None:
    """Pull one image; retry what may pass. Raises StackError."""
    registry = reference.partition("/")[0]
    for attempt in range(1, ATTEMPTS + 1):
        result = run(["docker", "--config", str(folder), "pull", "--quiet", reference], timeout=timeout)
        if result.returncode == 0:
            return
        problem = explain(registry, result.stderr, f"pull {reference} (tag {tag})")
        if attempt == ATTEMPTS or any(words in result.stderr.lower() for words in FINAL):
            raise StackError(problem)
        time.sleep(3 * attempt)


def check_disk(reserve: int) -> None:
    """Raise StackError when the disk of Docker's images has fewer than `reserve` bytes free."""
    root = image_directory(info())
    free = shutil.disk_usage(next(path for path in (root, *root.parents) if path.exists())).free
    if free < reserve:
        raise StackError(
            f"{root} has {free / 1e9:.1f} GB free and {reserve / 1e9:.1f} GB are needed for the images:"
            " remove old ones or enlarge the volume"
        )


def main() -> None:
    """Pull what is missing."""
    module = AnsibleModule(
        argument_spec={
            "images": {"type": "dict", "required": True},
            "region": {"type": "str", "required": True},
            "pull": {"type": "bool", "default": True},
            "reserve": {"type": "int", "default": 2 * 1024**3},
            "timeout": {"type": "int", "default": 1800},
        },
        supports_check_mode=True,
    )
    images = module.params["images"]
    try:
        missing = [name for name, image in images.items() if not has_image(image["reference"])]
        if not missing or not module.params["pull"] or module.check_mode:
            module.exit_json(changed=bool(missing) and module.params["pull"], missing=missing, pulled=[])
        check_disk(module.params["reserve"])
        # /run is memory: the credentials never touch a disk, and they are gone before the task ends.
        with tempfile.TemporaryDirectory(dir="/run", prefix="slm-ft-serving-login-") as folder:
            for registry in {images[name]["reference"].partition("/")[0] for name in missing}:
                log_in(registry, module.params["region"], Path(folder))
            for name in missing:
                pull(images[name]["reference"], images[name]["tag"], Path(folder), module.params["timeout"])
    except StackError as error:
        module.fail_json(msg=f"{error}. The running release was not touched.")
    module.exit_json(changed=True, missing=[], pulled=missing)


if __name__ == "__main__":
    main()
