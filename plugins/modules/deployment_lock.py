"""Take and release the lock that keeps two deployments apart: one object in the transfer bucket.

An own module, because no ready one writes an object conditionally, and because the lock of a killed process has to be
recognised.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: deployment_lock
short_description: Take or release the lock that keeps two deployments apart
description:
  - The lock is an object in S3. It is written on the condition that there is none (If-None-Match) or that it is still
    the one that was read (If-Match), so that of two concurrent deployments one gets it.
  - A lock that has expired, or whose process no longer runs on this same machine, is taken over with a note.
  - The holder of the lock gets it again, and its lifetime starts again.
  - Never reports a change, since nothing of it is left when the playbook ends. In check mode it only reads the lock.
options:
  state:
    description: Whether to take the lock or to release it.
    type: str
    choices: [taken, released]
    default: taken
  bucket:
    description: The transfer bucket.
    type: str
    required: true
  key:
    description: Key of the object.
    type: str
    default: lock/deployment.json
  playbook:
    description: The playbook that takes it, for messages.
    type: str
    default: ""
  caller:
    description: ARN of the credentials, for messages.
    type: str
    default: ""
  lifetime:
    description: Seconds after which others may take it over; longer than the longest playbook takes.
    type: int
    default: 21600
  force:
    description: Whether to take it from another holder.
    type: bool
    default: false
  pid:
    description: The process that holds the lock; 0 means the ansible-playbook that runs this module.
    type: int
    default: 0
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Take the deployment lock
  slm.serving.deployment_lock:
    region: eu-central-1
    bucket: slm-ft-serving-transfer-123456789012-eu-central-1
    playbook: deploy.yml
    caller: arn:aws:iam::123456789012:user/operator

- name: Release the deployment lock
  slm.serving.deployment_lock:
    region: eu-central-1
    bucket: slm-ft-serving-transfer-123456789012-eu-central-1
    state: released
"""

RETURN = r"""
note:
  description: From whom and why the lock was taken over, or that it had been lost; else empty.
  returned: success
  type: str
holder:
  description: Previous content of the lock; null when it was free.
  returned: success
  type: dict
"""

import contextlib
import datetime as dt
import email.utils
import json
import os
import platform
import subprocess
import uuid
from pathlib import Path
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

ATTEMPTS = 5
# S3's answers to a failed condition or two concurrent writes, and to an object that does not exist.
CONFLICT = ["PreconditionFailed", "ConditionalRequestConflict", "412", "409"]
GONE = ["NoSuchKey", "404"]
Holder = dict[str, Any]


class LockError(Exception):
    """Why the lock cannot be taken, in words for the operator."""


def text_of(path: str) -> str:
    """Return a small file's text; empty where there is none, as on other systems than Linux."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def ps(pid: int, field: str) -> str:
    """Return a field of a process from ps; empty when there is no such process."""
    listed = subprocess.run(
        ["ps", "-o", f"{field}=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
    )
    return listed.stdout.strip()


class Process:
    """A process of this machine, read from /proc on Linux, where ps may be missing, else from ps."""

    def __init__(self, pid: int) -> None:
        """Read its state.

        Args:
            pid: its number.
        """
        self.pid = pid
        self._linux = Path("/proc/self/stat").exists()
        # The fields after the name, which may hold anything: state, parent, ...; see proc_pid_stat(5).
        self._stat = text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()

    def started(self) -> str:
        """Return when it started, as the system writes it, to recognise a reused number; "" when it is gone."""
        if not self._linux:
            return ps(self.pid, "lstart")
        gone = not self._stat or self._stat[0] in {"Z", "X"}
        return "" if gone else self._stat[19]

    def parent(self) -> Process:
        """Return its parent; process 0 when it is gone."""
        pid = (self._stat[1] if self._stat else "0") if self._linux else ps(self.pid, "ppid")
        return Process(int(pid) if pid.isdigit() else 0)

    def is_playbook(self) -> bool:
        """Return whether it is an ansible-playbook, or a worker that one forked."""
        command = text_of(f"/proc/{self.pid}/cmdline") if self._linux else ps(self.pid, "args")
        return "ansible-playbook" in command


def playbook_process() -> int:
    """Return the ansible-playbook that this module runs in; its own parent when there is none, as in a test."""
    process = Process(os.getppid())
    while process.pid > 1 and not process.is_playbook():
        process = process.parent()
    if process.pid <= 1:
        return os.getppid()
    while process.parent().is_playbook():  # The nearest is a worker, which ends with its task.
        process = process.parent()
    return process.pid


def this_machine() -> dict[str, str]:
    """Return what identifies the machine and the namespace of its process numbers."""
    namespace = Path("/proc/self/ns/pid")
    return {
        "host": platform.node(),
        "machine": text_of("/etc/machine-id") or f"{uuid.getnode():x}",
        "processes": str(namespace.readlink()) if namespace.is_symlink() else "",
    }


def utc(moment: dt.datetime) -> str:
    """Return a time in the form of the messages."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


class Lock:
    """The lock in S3."""

    def __init__(self, client: Any, options: dict[str, Any]) -> None:
        """Identify this process as the holder to be.

        Args:
            client: of S3.
            options: the module's.
        """
        self._client, self._options = client, options
        self._object = {"Bucket": options["bucket"], "Key": options["key"]}
        pid = options["pid"] or playbook_process()
        self._me = {
            "playbook": options["playbook"],
            "caller": options["caller"],
            **this_machine(),
            "boot": text_of("/proc/sys/kernel/random/boot_id"),
            "pid": pid,
            "started": Process(pid).started(),
            "lifetime": options["lifetime"],
        }

    def read(self) -> tuple[Holder, str, dt.datetime, dt.datetime] | None:
        """Return the holder, the object's ETag, since when and until when (by S3's clock); None when it is free."""
        try:
            answer = self._client.get_object(**self._object)
        except is_boto3_error_code(GONE):
            return None
        try:
            holder = json.loads(answer["Body"].read())
            lifetime = int(holder["lifetime"])
        except (ValueError, KeyError, TypeError):
            holder, lifetime = {}, self._options["lifetime"]
        since = answer["LastModified"]
        return holder, answer["ETag"], since, since + dt.timedelta(seconds=lifetime)

    def now(self) -> dt.datetime:
        """Return S3's time, so that the controllers' clocks do not matter."""
        answer = self._client.head_bucket(Bucket=self._options["bucket"])
        return email.utils.parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def is_mine(self, holder: Holder) -> bool:
        """Return whether this playbook holds it."""
        return all(
            holder.get(name) == value for name, value in self._me.items() if name not in {"playbook", "lifetime"}
        )

    def death(self, holder: Holder) -> str:
        """Return why the holder is certainly dead; empty when it may be alive."""
        if any(holder.get(name) != value for name, value in this_machine().items()):
            return ""
        if holder.get("boot") != self._me["boot"]:
            return "this machine was rebooted since"
        if Process(int(holder["pid"])).started() != holder.get("started"):
            return f"its process {holder['pid']} no longer runs on this machine"
        return ""

    def take(self) -> tuple[str, Holder | None]:
        """Take the lock; return a note and the previous holder.

        Raises:
            LockError: another holds it.
        """
        for _ in range(ATTEMPTS):
            lock = self.read()
            if lock is None:
                if self._write(IfNoneMatch="*"):
                    return "", None
                continue
            holder, etag, since, until = lock
            if self.is_mine(holder):
                note = ""
            elif self._options["force"]:
                note = "it was broken by deployment_lock_break"
            elif self.now() >= until:
                note = f"it had expired at {utc(until)}"
            else:
                note = self.death(holder)
                if not note:
                    raise LockError(refusal(holder, since, until))
            if self._write(IfMatch=etag):
                return (f"The lock of {described(holder, since)} was taken over: {note}." if note else ""), holder
        raise LockError("Other deployments take and release the lock too quickly. Run again.")

    def release(self) -> tuple[str, Holder | None]:
        """Release the lock when this playbook holds it; return a note when another does, and the holder."""
        lock = self.read()
        if lock is None:
            return "", None
        holder, etag, since, _ = lock
        if not self.is_mine(holder):
            return f"The deployment lock is that of {described(holder, since)}; it was left alone.", holder
        try:
            self._client.delete_object(**self._object, IfMatch=etag)
        except is_boto3_error_code([*CONFLICT, *GONE]):
            return "The deployment lock was taken over by another at this moment.", None
        return "", holder

    def _write(self, **condition: str) -> bool:
        """Write the lock on a condition; return whether it held."""
        body = json.dumps(self._me, indent=2).encode()
        try:
            self._client.put_object(**self._object, Body=body, ContentType="application/json", **condition)
        except is_boto3_error_code([*CONFLICT, *GONE]):
            return False
        return True

    def check(self) -> tuple[str, Holder | None]:
        """Return who else holds the lock, for check mode."""
        lock = self.read()
        if lock is None or self.is_mine(lock[0]):
            return "", None
        return f"The deployment lock is held by {described(lock[0], lock[2])}.", lock[0]


def described(holder: Holder, since: dt.datetime) -> str:
    """Return the holder in words."""
    if not holder:
        return f"an unknown holder (the lock cannot be read) since {utc(since)}"
    return (
        f"{holder.get('playbook') or 'a playbook'}, run by {holder.get('caller') or 'an unknown caller'} on"
        f" {holder.get('host')} (process {holder.get('pid')}) since {utc(since)}"
    )


def refusal(holder: Holder, since: dt.datetime, until: dt.datetime) -> str:
    """Return the message for the deployment that comes second."""
    return (
        f"Another deployment is under way: {described(holder, since)}. Wait until it has ended."
        f" Its lock expires at {utc(until)}; if you know that it is dead, run again with"
        " -e deployment_lock_break=true."
    )


def main() -> None:
    """Take or release."""
    module = AnsibleAWSModule(
        argument_spec={
            "state": {"type": "str", "choices": ["taken", "released"], "default": "taken"},
            "bucket": {"type": "str", "required": True},
            "key": {"type": "str", "default": "lock/deployment.json", "no_log": False},
            "playbook": {"type": "str", "default": ""},
            "caller": {"type": "str", "default": ""},
            "lifetime": {"type": "int", "default": 21600},
            "force": {"type": "bool", "default": False},
            "pid": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    try:
        lock = Lock(module.client("s3"), module.params)
        if module.check_mode:
            note, holder = lock.check()
        else:
            note, holder = lock.take() if module.params["state"] == "taken" else lock.release()
    except LockError as error:
        module.fail_json(msg=str(error))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        where = f"s3://{module.params['bucket']}/{module.params['key']}"
        module.fail_json_aws(
            error,
            msg=(
                f"The deployment lock {where} could not be reached. Your credentials need s3:GetObject, s3:PutObject"
                " and s3:DeleteObject on it and s3:ListBucket on the bucket"
            ),
        )
    module.exit_json(changed=False, note=note, holder=holder)


if __name__ == "__main__":
    main()
