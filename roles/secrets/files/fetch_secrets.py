#!/usr/bin/env python3
"""Fetch the stack's secrets from Secrets Manager into files on tmpfs, with the instance's own profile.

Runs as root from slm-ft-serving-secrets.service at every boot and once in every deployment. Reads secrets.json, which
holds names only. All secrets are read before the first file is written, so that a missing one leaves the running
release with what it had. Nothing secret is ever an argument, nor printed. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

DEFAULT_CONFIGURATION = Path("/opt/slm-ft-serving/shared/secrets.json")
LOCK = Path("/run/slm-ft-serving-secrets.lock")
VERIFICATION_NAME = "verification"
CALL_TIMEOUT = 60
RETRY_AFTER = 5
KEY_LINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}:[0-9a-f]{64}")  # as gateway/access/keys.py reads it
# As plugins/module_utils/aws_cli.py, which is not on the instance at a boot, has it.
SECRET_NAME = re.compile(
    r"(?!-)[A-Za-z0-9/_+=.@-]{1,512}|arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,519}"
)
# What AWS answers to a signature of another time than its own.
CLOCK = ("SignatureDoesNotMatch", "InvalidSignature", "RequestExpired", "RequestTimeTooSkewed", "Signature expired")


class SecretError(Exception):
    """Why a secret could not be read.

    Attributes:
        final: whether another attempt cannot help.
    """

    def __init__(self, message: str, *, final: bool) -> None:
        """Store the message for the operator, and whether another attempt cannot help."""
        super().__init__(message)
        self.final = final


def check_keys(text: str, label: str) -> None:
    """Raise SecretError when the gateway would refuse a keys file with this text, or accept nobody with it.

    Args:
        text: the secret's.
        label: the secret's name, for messages.
    """
    how = "; `python -m gateway keys create NAME` makes one"
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    wrong = [number for number, line in enumerate(lines, start=1) if line and not KEY_LINE.fullmatch(line)]
    if wrong:
        raise SecretError(f"line {wrong[0]} of the {label} is not name:sha256-hex{how}", final=True)
    if not any(lines):
        raise SecretError(
            f"the {label} holds no line name:sha256-hex, so that nobody could use the gateway{how}", final=True
        )


def read_secret(secret: dict[str, Any], region: str) -> str:
    """Return a secret's text.

    Args:
        secret: an entry of secrets.json.
        region: the region of Secrets Manager.

    Raises:
        SecretError: it cannot be read; the message names the secret and the parameter that names it.
    """
    label = f"secret {secret['name']!r} (named by the parameter {secret['parameter']})"
    if not SECRET_NAME.fullmatch(secret["name"]):
        # The aws command would read a file:// that is its value, as root, and send the content on.
        raise SecretError(
            f"the {label} was not asked for: that is no name of a secret, which has letters, digits and /_+=.@- only,"
            " or is an ARN. Correct the parameter",
            final=True,
        )
    command = ["aws", "secretsmanager", "get-secret-value", "--secret-id", secret["name"], "--region", region]
    command += ["--output", "json", "--cli-connect-timeout", "5", "--cli-read-timeout", "15"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=CALL_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise SecretError(f"Secrets Manager did not answer about the {label}", final=False) from None
    except FileNotFoundError:
        raise SecretError("the aws command is not installed on the instance", final=True) from None
    if result.returncode == 0:
        text = str(json.loads(result.stdout).get("SecretString") or "")
        if not text:
            raise SecretError(f"the {label} has no text value", final=True)
        if secret.get("verification"):
            check_keys(text, label)
        return text
    output = result.stderr.strip()
    if "ResourceNotFoundException" in output:
        raise SecretError(f"the {label} does not exist in {region}: create it, or correct the parameter", final=True)
    if "AccessDenied" in output:
        role = re.search(r"assumed-role/([\w+=,.@-]+)", output)
        who = f"the instance's role {role[1]}" if role else "the instance profile"
        action = "kms:Decrypt on its key" if "kms" in output.lower() else "secretsmanager:GetSecretValue"
        raise SecretError(f"{who} may not read the {label}: allow it {action}", final=True)
    if any(code in output for code in CLOCK):
        why = f"the instance's clock is wrong, so AWS refuses to give the {label}: run `timedatectl set-ntp true` on it"
        # At boot the clock may not be set yet.
        raise SecretError(why, final=False)
    if "Unable to locate credentials" in output:
        raise SecretError(f"the instance has no profile to read the {label} with", final=False)
    # Later versions of the command put details behind the reason.
    lines = output.partition("Additional error details:")[0].split("\n")
    last = next((line for line in reversed(lines) if line.strip()), f"aws ended with exit code {result.returncode}")
    raise SecretError(f"the {label} could not be read: {last}", final=False)


def read_all(configuration: dict[str, Any], patience: float) -> dict[str, str]:
    """Return every secret's text by its file; retry for `patience` seconds what may pass. Raises SecretError."""
    deadline = time.monotonic() + patience
    while True:
        problems: list[SecretError] = []
        texts: dict[str, str] = {}
        with ThreadPoolExecutor(max_workers=4) as pool:
            region = configuration["region"]
            reads = {secret["path"]: pool.submit(read_secret, secret, region) for secret in configuration["secrets"]}
            for path, read in reads.items():
                try:
                    texts[path] = read.result()
                except SecretError as error:
                    problems.append(error)
        if not problems:
            return texts
        if any(problem.final for problem in problems) or time.monotonic() + RETRY_AFTER > deadline:
            raise SecretError("; ".join(str(problem) for problem in problems), final=True)
        time.sleep(RETRY_AFTER)


def on_tmpfs(directory: Path) -> bool:
    """Say whether a directory lies on a file system that is memory only."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    holding = [mount for mount in mounts if directory.is_relative_to(mount[1])]
    return bool(holding) and max(reversed(holding), key=lambda mount: len(mount[1]))[2] in {"tmpfs", "ramfs"}


def write(path: Path, text: str, owner: int) -> bool:
    """Write a file whole, readable by its owner only, and rename it into place; say whether it changed."""
    data = text.encode()
    if path.is_file() and path.read_bytes() == data:
        return False
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
    os.chown(temporary, owner, owner)
    temporary.replace(path)
    return True


def make_directory(path: Path, owner: int) -> None:
    """Make a directory that only its owner and root can enter."""
    path.mkdir(mode=0o700, exist_ok=True)
    os.chown(path, owner, owner)
    path.chmod(0o700)


def verification_key(directory: Path) -> tuple[str, bool]:
    """Return the key of verification, and whether it is new: the first run after a boot makes it."""
    path = directory / "verification-key"
    if path.is_file():
        return path.read_text(encoding="utf-8").strip(), False
    key = secrets.token_urlsafe(32)
    write(path, key, 0)
    return key, True


def store(configuration: dict[str, Any], texts: dict[str, str]) -> bool:
    """Write all files; say whether any changed. Raises SecretError when the directory is on a disk."""
    directory = Path(configuration["directory"])
    if not on_tmpfs(directory.parent.parent):
        raise SecretError(f"{directory} is not on tmpfs: secrets are never written to a disk", final=True)
    directory.parent.mkdir(mode=0o755, exist_ok=True)
    make_directory(directory, 0)
    key, changed = verification_key(directory)
    for secret in configuration["secrets"]:
        path, owner = directory / secret["path"], secret.get("owner", 0)
        if path.parent != directory:
            make_directory(path.parent, owner)
        content = texts[secret["path"]]
        if secret.get("verification"):
            line = f"{VERIFICATION_NAME}:{hashlib.sha256(key.encode()).hexdigest()}"
            content = f"{content.rstrip()}\n{line}\n"
        changed = write(path, content, owner) or changed
    expected = {directory / secret["path"] for secret in configuration["secrets"]} | {directory / "verification-key"}
    for path in directory.rglob("*"):
        if path.is_file() and path not in expected:
            path.unlink()  # A secret that is no longer listed does not stay.
            changed = True
    return changed


def main() -> int:
    """Fetch and store; return 1 with the problem in the JSON when a secret cannot be read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--configuration", type=Path, default=DEFAULT_CONFIGURATION, help="names of the secrets")
    parser.add_argument("--adopt", type=Path, help="where to keep these names for the next boot")
    parser.add_argument("--patience", type=float, default=10, help="seconds to retry when AWS cannot be reached")
    arguments = parser.parse_args()
    names = arguments.configuration.read_text(encoding="utf-8")
    configuration = json.loads(names)
    try:
        with LOCK.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # The unit at boot and a deployment may come at the same time.
            changed = store(configuration, read_all(configuration, arguments.patience))
            if arguments.adopt:
                changed = write(arguments.adopt, names, 0) or changed
    except SecretError as error:
        sys.stdout.write(json.dumps({"ok": False, "changed": False, "problem": str(error)}) + "\n")
        return 1
    fetched = [secret["name"] for secret in configuration["secrets"]]
    sys.stdout.write(json.dumps({"ok": True, "changed": changed, "secrets": fetched}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
