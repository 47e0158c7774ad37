"""A planted secret is looked for wherever a deployment could have left it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator

import pytest

from tests.local_region import names
from tests.local_region.region import LocalRegion
from tests.support.runner import run_playbook

pytestmark = pytest.mark.region

SECRETS_FOLDER = "/run/slm-ft-serving/secrets"
ARGUMENTS_LOG = "/run/arguments-seen"
# Reads every process's arguments about 20 times a second while the deployment runs; ends with its marker file.
WATCH_ARGUMENTS = (
    f"touch {ARGUMENTS_LOG}.on; (while [ -e {ARGUMENTS_LOG}.on ]; do "
    "for process in /proc/[0-9]*; do tr '\\0' ' ' <$process/cmdline; echo; done 2>/dev/null; sleep 0.05; done "
    f"| grep -v '^ *$' | sort -u >{ARGUMENTS_LOG}) >/dev/null 2>&1 &"
)


@pytest.fixture
def planted(serving: LocalRegion) -> Iterator[str]:
    """Set a secret value that the instance has to fetch anew: the Hugging Face token."""
    marker = f"hf_{secrets.token_hex(16)}"
    manager = serving.client("secretsmanager")
    old = manager.get_secret_value(SecretId=names.SECRET_HF_TOKEN)["SecretString"]
    manager.put_secret_value(SecretId=names.SECRET_HF_TOKEN, SecretString=marker)
    yield marker
    manager.put_secret_value(SecretId=names.SECRET_HF_TOKEN, SecretString=old)
    serving.repair()


def test_planted_secret_is_only_in_its_file_on_tmpfs(serving: LocalRegion, planted: str) -> None:
    # aws_ssm deletes what it transferred; with versions kept it can still be read.
    serving.client("s3").put_bucket_versioning(
        Bucket=names.TRANSFER_BUCKET, VersioningConfiguration={"Status": "Enabled"}
    )
    serving.exec(WATCH_ARGUMENTS)
    run = run_playbook(serving, "deploy", "-vvv").must_succeed()
    serving.exec(f"rm {ARGUMENTS_LOG}.on; for try in $(seq 50); do [ -s {ARGUMENTS_LOG} ] && break; sleep 0.2; done")
    arguments = serving.exec(f"cat {ARGUMENTS_LOG}; rm {ARGUMENTS_LOG}").stdout

    # The instance did fetch it: only its hash leaves the instance here.
    hashes = serving.exec(f"find {SECRETS_FOLDER} -type f -exec sha256sum {{}} +").stdout
    assert hashlib.sha256(planted.encode()).hexdigest() in hashes
    assert serving.exec(f"stat --file-system --format %T {SECRETS_FOLDER}").stdout.strip() == "tmpfs"
    modes = serving.exec(f"find {SECRETS_FOLDER} -type f -printf '%m\\n'").stdout.split()
    assert set(modes) == {"400"}

    # The watches saw the deployment, or their silence would prove nothing.
    assert "docker" in arguments
    objects = dict(s3_objects(serving))
    assert any(key.startswith(f"{names.TRANSFER_BUCKET}/") for key in objects)
    demonstration_key = serving.state.gateway_api_key.read_text(encoding="ascii").strip()
    seen = {
        "process arguments": arguments,
        "docker inspect": serving.exec("docker inspect $(docker ps --all --quiet)").stdout,
        "releases": serving.exec("grep --recursive --text --no-filename '' /opt/slm-ft-serving").stdout,
        "systemd units": serving.exec("systemctl cat 'slm-ft-serving*'; systemctl show 'slm-ft-serving*'").stdout,
        "journal": serving.exec("journalctl --no-pager --quiet", timeout=60).stdout,
        "docker's log-in": serving.exec("cat /root/.docker/config.json", check=False).stdout,
        "session output": "\n".join(log.read_text(errors="replace") for log in serving.session_logs()),
        "the playbook's output": run.output,
        "the API server's log": serving.api_log(),
        **{f"s3://{key}": content for key, content in objects.items()},
    }
    leaks = [place for place, text in seen.items() if planted in text or demonstration_key in text]
    assert leaks == []
    assert names.ECR_PASSWORD not in seen["docker's log-in"] + arguments + seen["session output"]


def s3_objects(region: LocalRegion) -> Iterator[tuple[str, str]]:
    """Key and text of every version of every object, those that the deployment deleted again included."""
    s3 = region.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket["Name"]):
            for version in page.get("Versions", []):
                at = {"Bucket": bucket["Name"], "Key": version["Key"], "VersionId": version["VersionId"]}
                body = s3.get_object(**at)["Body"].read()
                yield f"{bucket['Name']}/{version['Key']}", body.decode("utf-8", errors="replace")
