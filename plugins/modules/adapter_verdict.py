#!/usr/bin/python
"""Say whether an adapter may take the place of the one that serves, by their evaluations.

An own module, because it fetches two files, runs the gateway's comparison and weighs what is missing: all of it on the
controller, before anything is touched.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

DOCUMENTATION = r"""
module: adapter_verdict
short_description: Compare an adapter's evaluation with that of the adapter that serves
description:
  - An adapter at C(s3://bucket/prefix/STAMP/adapter) has its evaluation beside it, at C(.../STAMP/evaluation.json).
  - Changes nothing.
options:
  candidate:
    description: Source of the adapter that is to serve.
    type: str
    required: true
  serving:
    description: Source of the adapter that serves; empty when that is not known.
    type: str
    default: ""
  root:
    description: The directory that holds the package C(gateway).
    type: path
    required: true
  timeout:
    description: Seconds for the comparison.
    type: int
    default: 120
"""

RETURN = r"""
allowed:
  description: Whether the candidate may serve.
  type: bool
note:
  description: Why not, or what was not compared; empty when there is nothing to say.
  type: str
table:
  description: The comparison.
  type: list
"""

WORSE = 3
GONE = ["NoSuchKey", "NoSuchBucket", "404"]


class GateError(Exception):
    """Why there is no verdict, in words for the operator."""


def evaluation_address(source: str) -> tuple[str, str] | None:
    """Return bucket and key of the evaluation beside an adapter; None where that is not in S3 or in no folder."""
    if not source.startswith("s3://"):
        return None
    bucket, _, prefix = source.removeprefix("s3://").rstrip("/").partition("/")
    folder, slash, _ = prefix.rpartition("/")
    return (bucket, f"{folder}{slash}evaluation.json") if prefix else None


def fetch(client: object, source: str) -> bytes | None:
    """Return the evaluation of an adapter, None where there is none."""
    address = evaluation_address(source)
    if address is None:
        return None
    try:
        return client.get_object(Bucket=address[0], Key=address[1])["Body"].read()
    except is_boto3_error_code(GONE):
        return None


def weigh(candidate: bytes | None, serving: bytes | None) -> tuple[bool, str] | None:
    """Return the verdict and a note where an evaluation is missing; None when both are there."""
    if candidate is not None and serving is not None:
        return None
    if candidate is None and serving is not None:
        return False, "the adapter that serves has an evaluation, and this one has none"
    if candidate is not None:
        return True, "the adapter that serves has no evaluation, so this one was not compared with it"
    return True, "neither this adapter nor the one that serves has an evaluation, so they were not compared"


def compare(before: bytes, after: bytes, root: str, timeout: float) -> tuple[bool, str, list[str]]:
    """Return verdict, note and the table of the gateway's comparison; raises GateError."""
    with tempfile.TemporaryDirectory(prefix="slm-ft-serving-") as folder:
        for name, content in (("serving.json", before), ("candidate.json", after)):
            (Path(folder) / name).write_bytes(content)
        command = [sys.executable, "-m", "gateway", "compare", "serving.json", "candidate.json", "--fail-if-worse"]
        try:
            result = subprocess.run(
                command, cwd=folder, env=environment(root), capture_output=True, text=True, check=False, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise GateError(f"the comparison did not end within {timeout:.0f} s") from None
    table = result.stdout.splitlines()
    if result.returncode == WORSE:
        return False, "its evaluation is really worse than that of the adapter that serves", table
    if result.returncode == 2:
        return False, f"the two evaluations cannot be compared: {result.stderr.strip()}", table
    if result.returncode != 0:
        raise GateError(f"the comparison failed: {(result.stderr.strip() or 'no reason given').splitlines()[-1]}")
    return True, "", table


def environment(root: str) -> dict[str, str]:
    """Return an environment in which Python finds the package gateway."""
    return {**os.environ, "PYTHONPATH": root}


def main() -> None:
    """Fetch, weigh, compare."""
    module = AnsibleAWSModule(
        argument_spec={
            "candidate": {"type": "str", "required": True},
            "serving": {"type": "str", "default": ""},
            "root": {"type": "path", "required": True},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    options = module.params
    candidate, serving = options["candidate"].rstrip("/"), options["serving"].rstrip("/")
    if not serving or serving == candidate:
        module.exit_json(changed=False, allowed=True, note="", table=[])
    table: list[str] = []
    try:
        client = module.client("s3")
        after, before = fetch(client, candidate), fetch(client, serving)
        verdict = weigh(after, before)
        if verdict is None:
            allowed, note, table = compare(before or b"", after or b"", options["root"], options["timeout"])
        else:
            allowed, note = verdict
    except GateError as error:
        module.fail_json(msg=f"Whether {candidate} is worse than {serving} cannot be told: {error}")
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(
            error,
            msg=f"The evaluations of {candidate} and {serving} cannot be read: your credentials need s3:GetObject on"
            " the files evaluation.json beside them, and s3:ListBucket on the bucket",
        )
    module.exit_json(changed=False, allowed=allowed, note=note, table=table)


if __name__ == "__main__":
    main()
