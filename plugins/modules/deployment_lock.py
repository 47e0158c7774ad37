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
  - A lock that has expired, or whose process no longer runs on this same machine, is taken over with a note. A process
    is recognised by its number, its start and the boot, never by its name.
  - What the lock says is another's word. What of it cannot be right, such as a lifetime of ten years, is not believed.
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
  lifetime_limit:
    description: Longest lifetime, in seconds, of another's lock that is believed.
    type: int
    default: 604800
  force:
    description: Whether to take it from another holder, whatever it says.
    type: bool
    default: false
  pid:
    description:
      - The process that holds the lock, as the lookup plugin C(playbook_process) finds it; 0 means the one that started
        this module.
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
    pid: "{{ lookup('slm.serving.playbook_process') }}"
    caller: arn:aws:iam::123456789012:user/operator

- name: Release the deployment lock
  slm.serving.deployment_lock:
    region: eu-central-1
    bucket: slm-ft-serving-transfer-123456789012-eu-central-1
    pid: "{{ lookup('slm.serving.playbook_process') }}"
    state: released
"""

RETURN = r"""
note:
  description:
    - From whom and why the lock was taken over, or that it had been lost; else empty.
    - In check mode, who holds it, whether that one still lives, and what the next playbook will do.
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
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import code_of, fail

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

ATTEMPTS = 5
# S3's answers to a failed condition or two concurrent writes, and to an object that does not exist.
CONFLICT = ["PreconditionFailed", "ConditionalRequestConflict", "412", "409"]
GONE = ["NoSuchKey", "404"]
PID_LIMIT = 1 << 22  # Linux's own
LOCK_BYTES = 1 << 16
TEXTS = ("playbook", "caller", "host", "machine", "processes", "boot", "started")
TEXT_CHARACTERS = 2048  # as long as an ARN may be
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
    # Of one form, whatever the terminal's language and time zone are.
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    command = ["ps", "-o", f"{field}=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10, env=environment)
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


def this_machine() -> dict[str, str]:
    """Return what identifies the machine and the namespace of its process numbers."""
    namespace = Path("/proc/self/ns/pid")
    return {
        "host": platform.node(),
        "machine": text_of("/etc/machine-id") or f"{uuid.getnode():x}",
        "processes": str(namespace.readlink()) if namespace.is_symlink() else "",
    }


def believed(body: bytes, lifetime: int, limit: int) -> Holder:
    """Return what of a lock's text can be right.

    Args:
        body: the text, which anybody may have written.
        lifetime: in seconds, where it gives none.
        limit: longest lifetime that is believed.

    Returns:
        A holder whose texts are printable, with 0 for a process that is none; empty where the text is no lock.
    """
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    holder: Holder = {
        name: "".join(character for character in said[name][:TEXT_CHARACTERS] if character.isprintable())
        for name in TEXTS
        if isinstance(said.get(name), str)
    }
    pid = said.get("pid")
    holder["pid"] = pid if type(pid) is int and 0 < pid <= PID_LIMIT else 0
    given: Any = said.get("lifetime")
    # NaN is not 0 or more, and infinity is more than the limit.
    holder["lifetime"] = int(min(given, limit)) if type(given) in (int, float) and given >= 0 else lifetime
    return holder


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
        pid = options["pid"] or os.getppid()
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
        lifetime, limit = self._options["lifetime"], max(self._options["lifetime_limit"], self._options["lifetime"])
        holder = believed(answer["Body"].read(LOCK_BYTES), lifetime, limit)
        since = answer["LastModified"]
        return holder, answer["ETag"], since, since + dt.timedelta(seconds=holder.get("lifetime", lifetime))

    def now(self) -> dt.datetime:
        """Return S3's time, so that the controllers' clocks do not matter."""
        answer = self._client.head_bucket(Bucket=self._options["bucket"])
        try:
            return email.utils.parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        except (KeyError, ValueError):
            return dt.datetime.now(dt.UTC)

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
        if not holder["pid"]:
            return ""
        started = Process(holder["pid"]).started()
        if not started or started != holder.get("started"):
            return f"its process {holder['pid']} no longer runs on this machine"
        return ""

    def end(self, holder: Holder, until: dt.datetime) -> str:
        """Return why the lock may be taken over from another; empty while that one has it."""
        return f"it had expired at {utc(until)}" if self.now() >= until else self.death(holder)

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
            else:
                note = self.end(holder, until)
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
        """Return who else holds the lock, for check mode, and what the next playbook will do about it."""
        lock = self.read()
        if lock is None or self.is_mine(lock[0]):
            return "", None
        holder, _, since, until = lock
        ended = self.end(holder, until)
        if ended:
            return (
                f"The deployment lock is left over from {described(holder, since)}: {ended}. The next playbook takes it"
                " over by itself.",
                holder,
            )
        return (
            f"The deployment lock is held by {described(holder, since)}, until {utc(until)} at the latest; other"
            " playbooks that change something are refused meanwhile.",
            holder,
        )


def described(holder: Holder, since: dt.datetime) -> str:
    """Return the holder in words."""
    if not holder:
        return f"an unknown holder (the lock cannot be read) since {utc(since)}"
    return (
        f"{holder.get('playbook') or 'a playbook'}, run by {holder.get('caller') or 'an unknown caller'} on"
        f" {holder.get('host') or 'an unknown machine'} (process {holder['pid'] or 'unknown'}) since {utc(since)}"
    )


def refusal(holder: Holder, since: dt.datetime, until: dt.datetime) -> str:
    """Return the message for the deployment that comes second."""
    return (
        f"Another deployment is under way: {described(holder, since)}. Wait until it has ended."
        f" Its lock expires at {utc(until)}; if you know that it is dead, run again with"
        " -e deployment_lock_break=true."
    )


def unreachable(error: Exception, bucket: str, key: str) -> str:
    """Return why S3 did not answer about the lock, in words for the operator."""
    if code_of(error) == "NoSuchBucket":
        return f"The transfer bucket {bucket} does not exist: correct the parameter s3/transfer-bucket"
    return (
        f"The deployment lock s3://{bucket}/{key} could not be reached. Your credentials need s3:GetObject,"
        " s3:PutObject and s3:DeleteObject on it and s3:ListBucket on the bucket"
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
            "lifetime_limit": {"type": "int", "default": 604800},
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
        fail(module, error, unreachable(error, module.params["bucket"], module.params["key"]))
    module.exit_json(changed=False, note=note, holder=holder)


if __name__ == "__main__":
    main()
