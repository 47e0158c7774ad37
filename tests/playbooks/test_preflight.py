"""Whatever would make a deployment fail is reported in one run, before anything is touched."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.local_region import names
from tests.local_region.environment import ADMINISTRATOR_ACCESS_KEY
from tests.local_region.region import LocalRegion
from tests.support.runner import PlaybookRun, run_playbook

pytestmark = pytest.mark.region

# What no machine has: bytes that have to stay free, of the disk and of the memory.
TOO_MUCH = {"preflight_disk_reserve": 10**15, "preflight_memory_reserve": 10**15}
PREFERENCES = "SSM-SessionManagerRunShell"
UNKNOWN_TAGS = {"images_engine_tag": "never-pushed", "images_gateway_tag": "nor-this"}


@pytest.fixture
def unready(bare: LocalRegion) -> Iterator[LocalRegion]:
    """Return a region in which much is wrong at once."""
    bare.faults.switch_on("deny", "GetSecretValue")
    bare.faults.switch_on("clock", "3600")
    bare.client("ssm").delete_parameter(Name=f"{names.PARAMETER_PREFIX}/model/adapter")
    bare.client("s3").put_bucket_acl(Bucket=names.TRANSFER_BUCKET, ACL="public-read")
    bare.client("s3").delete_public_access_block(Bucket=names.TRANSFER_BUCKET)
    bare.exec("systemd-run --unit other-server python3 -m http.server 8080")
    yield bare
    bare.faults.switch_off()
    bare.exec("systemctl stop other-server", check=False)
    bare.client("s3").delete_bucket(Bucket=names.TRANSFER_BUCKET)
    bare.up()


def problems(run: PlaybookRun) -> list[str]:
    """Return the numbered lines that the run reported last; behind the recap its end repeats them."""
    reported = run.output.rpartition("fatal: ")[2].partition("PLAY RECAP")[0]
    lines = [line.strip() for line in reported.splitlines()]
    return [line.partition(". ")[2] for line in lines if line.partition(". ")[0].isdigit()]


def touched(region: LocalRegion) -> str:
    """Return what a deployment leaves on an instance, and the lock."""
    places = "/opt/slm-ft-serving /var/lib/slm-ft-serving /run/slm-ft-serving"
    left = region.exec(f"find {places} -type f 2>/dev/null; docker images --all --quiet", check=False).stdout
    objects = region.client("s3").list_objects_v2(Bucket=names.TRANSFER_BUCKET).get("Contents", [])
    return str(left) + "".join(each["Key"] for each in objects)


def test_preflight_reports_all_problems_in_one_run_and_touches_nothing(unready: LocalRegion) -> None:
    run = run_playbook(unready, "deploy", "-e", json.dumps(TOO_MUCH | UNKNOWN_TAGS))
    assert run.returncode != 0
    reported = problems(run)
    for words in (
        ["/slm-ft-serving/model/adapter", "not set"],
        [names.ENGINE_REPOSITORY, "never-pushed"],
        [names.GATEWAY_REPOSITORY, "nor-this"],
        [names.TRANSFER_BUCKET, "public"],
        [names.INSTANCE_ROLE, names.SECRET_GATEWAY_API_KEYS, "secretsmanager:GetSecretValue"],
        [names.INSTANCE_ROLE, names.SECRET_HF_TOKEN, "secretsmanager:GetSecretValue"],
        ["clock", "behind", "timedatectl"],
        ["disk", "new models", "enlarge the volume"],
        ["memory", "take a larger one"],
        ["python3", "gateway's port 8080"],
    ):
        assert [line for line in reported if all(word in line for word in words)], f"{words} not in {run.output}"
    assert len(reported) == 10, reported
    assert run.sessions == 1
    assert touched(unready) == ""


def prevent_sessions(region: LocalRegion) -> None:
    """Give the account preferences under which no playbook gets a session, and the application no document."""
    inputs = {"runAsEnabled": True, "runAsDefaultUser": "nobody", "kmsKeyId": "alias/sessions"}
    content = {"schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": inputs}
    region.client("ssm").create_document(Name=PREFERENCES, Content=json.dumps(content), DocumentType="Session")
    region.client("ssm").delete_parameter(Name=f"{names.PARAMETER_PREFIX}/ssm/session-document")


def test_problems_of_the_account_are_reported_without_starting_the_instance(bare: LocalRegion) -> None:
    ec2 = bare.client("ec2")
    instance = bare.up()
    prevent_sessions(bare)
    ec2.stop_instances(InstanceIds=[instance])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    run = run_playbook(
        bare,
        "deploy",
        "-e",
        json.dumps(UNKNOWN_TAGS | {"model_store_base": "s3://no-such-bucket/x"}),
        # With the rights of operator-deploy nobody is told whether another bucket exists.
        environment={"AWS_ACCESS_KEY_ID": ADMINISTRATOR_ACCESS_KEY},
    )
    bare.client("ssm").delete_document(Name=PREFERENCES)
    bare.up()
    assert run.returncode != 0
    assert len(problems(run)) == 5, run.output
    for words in ("never-pushed", "nor-this", "no-such-bucket", "is stopped", "run as nobody", "kms:Decrypt"):
        assert words in run.output
    assert run.sessions == 0
    assert "instance_running" not in run.output
