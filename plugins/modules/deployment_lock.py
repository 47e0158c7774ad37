#!/usr/bin/python
"""Take and release the lock that keeps two deployments apart: one object in the transfer bucket.

An own module, because no ready one writes an object on a condition, and because a lock whose holder was killed has to
be told from one that is held.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import json
import os
import platform
import subprocess
import uuid
from pathlib import Path

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

DOCUMENTATION = r"""
module: deployment_lock
short_description: Take or release the lock against two deployments at once
description:
  - The lock is an object in S3, written on the condition that there is none (If-None-Match) or that it is still the one
    that was read (If-Match), so that of two deployments that come together one gets it.
  - A lock that is too old, or whose process no longer runs on this very machine, is taken over with a note.
  - Who holds the lock already gets it again, and its time begins anew.
  - Never reports a change, since nothing of it is left when the playbook ends. In check mode it only looks.
options:
  state:
    description: What to do.
    type: str
    choices: [taken, released]
    default: taken
  bucket:
    description: The transfer bucket.
    type: str
    required: true
  key:
    description: Name of the object.
    type: str
    default: lock/deployment.json
  playbook:
    description: Who takes it, for messages.
    type: str
    default: ""
  caller:
    description: ARN of the credentials, for messages.
    type: str
    default: ""
  lifetime:
    description: Seconds after which others may take it over. Has to be longer than the longest playbook.
    type: int
    default: 21600
  force:
    description: Whether to take it from whoever holds it.
    type: bool
    default: false
  pid:
    description: The process that holds the lock; 0 is the ansible-playbook that runs this module.
    type: int
    default: 0
"""

RETURN = r"""
note:
  description: From whom the lock was taken over and why, or that it had been lost; else empty.
  type: str
holder:
  description: Who held the lock before, or null.
  type: dict
"""

ATTEMPTS = 5
# S3's answers to a condition that does not hold, to two writes at the same moment, and to an object that is not there.
BEATEN = ["PreconditionFailed", "ConditionalRequestConflict", "412", "409"]
GONE = ["NoSuchKey", "404"]


class LockError(Exception):
    """Why the lock cannot be had, in words for the operator."""


def read(path: str) -> str:
    """Return a small file's text; empty where there is none, as on other systems than Linux."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def ps(pid: int, field: str) -> str:
    """Return a field of a process as ps tells it; empty when there is no such process."""
    listed = subprocess.run(
        ["ps", "-o", f"{field}=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
    )
    return listed.stdout.strip()


class Process:
    """A process of this machine: from /proc on Linux, where ps may be missing; else from ps."""

    def __init__(self, pid: int) -> None:
        """Take its number."""
        self.pid = pid
        self._linux = Path("/proc/self/stat").exists()
        # The fields after the name, which may hold anything: state, parent, ...; see proc_pid_stat(5).
        self._stat = read(f"/proc/{pid}/stat").rpartition(")")[2].split()

    def started(self) -> str:
        """Return when it began, in the system's own words, so that a number used again is seen; "" when it is gone."""
        if not self._linux:
            return ps(self.pid, "lstart")
        gone = not self._stat or self._stat[0] in {"Z", "X"}
        return "" if gone else self._stat[19]

    def parent(self) -> Process:
        """Return its parent; process 0 when it is gone."""
        found = (self._stat[1] if self._stat else "0") if self._linux else ps(self.pid, "ppid")
        return Process(int(found) if found.isdigit() else 0)

    def is_playbook(self) -> bool:
        """Say whether it is an ansible-playbook, or a worker that one forked."""
        command = read(f"/proc/{self.pid}/cmdline") if self._linux else ps(self.pid, "args")
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
    """Return what tells one machine, and one set of process numbers, from another."""
    namespace = Path("/proc/self/ns/pid")
    return {
        "host": platform.node(),
        "machine": read("/etc/machine-id") or f"{uuid.getnode():x}",
        "processes": str(namespace.readlink()) if namespace.is_symlink() else "",
    }


def shown(moment: dt.datetime) -> str:
    """Return a time as the messages show it."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


class Lock:
    """The lock as S3 knows it."""

    def __init__(self, client, options: dict) -> None:
        """Take an S3 client and the module's options."""
        self._client, self._options = client, options
        self._place = {"Bucket": options["bucket"], "Key": options["key"]}
        pid = options["pid"] or playbook_process()
        self._me = {
            "playbook": options["playbook"],
            "caller": options["caller"],
            **this_machine(),
            "boot": read("/proc/sys/kernel/random/boot_id"),
            "pid": pid,
            "started": Process(pid).started(),
            "lifetime": options["lifetime"],
        }

    def look(self) -> tuple[dict, str, dt.datetime, dt.datetime] | None:
        """Return the holder, the object's ETag, since when and until when (by S3's clock); None when it is free."""
        try:
            answer = self._client.get_object(**self._place)
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
        """Return S3's time, so that no controller's clock matters."""
        answer = self._client.head_bucket(Bucket=self._options["bucket"])
        return email.utils.parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def is_mine(self, holder: dict) -> bool:
        """Say whether this playbook holds it."""
        return all(
            holder.get(name) == value for name, value in self._me.items() if name not in {"playbook", "lifetime"}
        )

    def dead(self, holder: dict) -> str:
        """Return why the holder is known to be dead; empty when it may be alive or nobody can say."""
        if any(holder.get(name) != value for name, value in this_machine().items()):
            return ""
        if holder.get("boot") != self._me["boot"]:
            return "this machine was started anew since"
        if Process(int(holder["pid"])).started() != holder.get("started"):
            return f"its process {holder['pid']} no longer runs on this machine"
        return ""

    def take(self) -> tuple[str, dict | None]:
        """Take the lock; return a note and who held it before. Raises LockError."""
        for _ in range(ATTEMPTS):
            found = self.look()
            if found is None:
                if self._write(IfNoneMatch="*"):
                    return "", None
                continue
            holder, etag, since, until = found
            if self.is_mine(holder):
                note = ""
            elif self._options["force"]:
                note = "it was broken by deployment_lock_break"
            elif self.now() >= until:
                note = f"it had expired at {shown(until)}"
            else:
                note = self.dead(holder)
                if not note:
                    raise LockError(refusal(holder, since, until))
            if self._write(IfMatch=etag):
                return (f"The lock of {described(holder, since)} was taken over: {note}." if note else ""), holder
        raise LockError("Other deployments come and go too quickly to get the deployment lock. Run again.")

    def release(self) -> tuple[str, dict | None]:
        """Release the lock when this playbook holds it; return a note when another holds it now, and who does."""
        found = self.look()
        if found is None:
            return "", None
        holder, etag, since, _ = found
        if not self.is_mine(holder):
            return f"The deployment lock is that of {described(holder, since)}; it was left alone.", holder
        try:
            self._client.delete_object(**self._place, IfMatch=etag)
        except is_boto3_error_code([*BEATEN, *GONE]):
            return "The deployment lock was taken over by another at this moment.", None
        return "", holder

    def _write(self, **condition: str) -> bool:
        """Write the lock on a condition; say whether it held."""
        body = json.dumps(self._me, indent=2).encode()
        try:
            self._client.put_object(**self._place, Body=body, ContentType="application/json", **condition)
        except is_boto3_error_code([*BEATEN, *GONE]):
            return False
        return True

    def check(self) -> tuple[str, dict | None]:
        """For check mode, say who holds it."""
        found = self.look()
        if found is None or self.is_mine(found[0]):
            return "", None
        return f"The deployment lock is held by {described(found[0], found[2])}.", found[0]


def described(holder: dict, since: dt.datetime) -> str:
    """Return the holder in words."""
    if not holder:
        return f"an unknown holder (the lock cannot be read) since {shown(since)}"
    return (
        f"{holder.get('playbook') or 'a playbook'}, run by {holder.get('caller') or 'an unknown caller'} on"
        f" {holder.get('host')} (process {holder.get('pid')}) since {shown(since)}"
    )


def refusal(holder: dict, since: dt.datetime, until: dt.datetime) -> str:
    """Return the message for who comes second."""
    return (
        f"Another deployment is under way: {described(holder, since)}. Wait until it has ended."
        f" Its lock expires at {shown(until)}; if you know that it is dead, run again with"
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
