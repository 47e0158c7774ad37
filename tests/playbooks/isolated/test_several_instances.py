"""Two instances with the tag: they are looked at together, or one by its name, and one of them can be stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from tests.fakes.account import Api, served
from tests.local_region import names, recorded_calls
from tests.local_region.state import RegionState
from tests.playbooks.isolated.account_runner import play

pytestmark = pytest.mark.slow

STOPPED = "NOT SERVING: the instance is stopped"
# The program is looked for; no session is opened with what is stopped.
PLUGIN = {"AWS_SESSION_MANAGER_PLUGIN": "/bin/true"}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Serve an account with a transfer bucket and two stopped instances that have the tag."""
    state = RegionState("several", root=Path(tmp_path_factory.mktemp("several")))
    state.prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        with served(state, DomainDispatcherApplication(create_backend_app)) as api:
            api.client("s3").create_bucket(Bucket=names.TRANSFER_BUCKET)
            api.client("ssm").put_parameter(
                Name="/slm-ft-serving/s3/transfer-bucket", Value=names.TRANSFER_BUCKET, Type="String"
            )
            tags = [{"ResourceType": "instance", "Tags": [{"Key": "Application", "Value": names.APPLICATION}]}]
            image = api.client("ssm").get_parameter(Name=names.DEEP_LEARNING_AMI_PARAMETER)["Parameter"]["Value"]
            api.client("ec2").run_instances(
                ImageId=image, InstanceType="g6.2xlarge", MinCount=2, MaxCount=2, TagSpecifications=tags
            )
            api.client("ec2").stop_instances(InstanceIds=ids(api))
            yield api


def ids(api: Api) -> list[str]:
    """Return the ids of the account's instances."""
    reservations = api.client("ec2").describe_instances()["Reservations"]
    return [each["InstanceId"] for reservation in reservations for each in reservation["Instances"]]


def test_status_shows_both(account: Api) -> None:
    run = play(account, "status", SLM_OUTCOME="json", **PLUGIN).must_succeed()
    assert run.output.count(STOPPED) == 2
    assert json.loads(run.output.splitlines()[-1])["instances"] == dict.fromkeys(sorted(ids(account)), "")


def test_a_training_is_for_one_of_two(account: Api) -> None:
    play(account, "finetune", **PLUGIN).must_fail_naming("This playbook is for one instance", *ids(account), "--limit")


@pytest.mark.parametrize("way", ["-e ec2_instance_id={}", "--limit {}"])
def test_status_shows_the_one_that_was_named(account: Api, way: str) -> None:
    other, named = ids(account)
    run = play(account, "status", *way.format(named).split(), SLM_OUTCOME="json", **PLUGIN).must_succeed()
    assert STOPPED in run.output
    status = json.loads(run.output.splitlines()[-1])["status"]
    assert (status["serving"], status["instance"]["state"]) == (False, "stopped")
    assert named in run.output
    assert other not in run.output


def test_one_of_two_can_be_stopped(account: Api) -> None:
    named, other = ids(account)
    run = play(account, "stop", "--limit", named, **PLUGIN).must_succeed()
    assert "stop.yml succeeded" in run.output
    assert other not in run.output


def test_the_permissions_are_written_for_the_account_and_asked_for_nothing_else(account: Api, tmp_path: Path) -> None:
    bucket = ("-e", "infrastructure_transfer_bucket=some-bucket", "-e", f"infrastructure_policies_folder={tmp_path}")
    before = recorded_calls.size(account.state.api_calls)
    run = play(account, "permissions", *bucket, **PLUGIN).must_succeed()
    deploy, provision, _ = (
        json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("operator-deploy", "operator-provision", "instance")
    )
    assert "arn:aws:s3:::some-bucket" in [each["Resource"] for each in deploy["Statement"]]
    assert f"arn:aws:iam::{names.ACCOUNT_ID}:role/{names.INSTANCE_ROLE}" in json.dumps(provision)
    assert "create-policy --policy-name slm-ft-serving-operator-deploy" in run.output
    asked = {each.question.action for each in recorded_calls.read(account.state.api_calls, before)}
    assert asked == {"ec2:DescribeInstances"}  # the inventory's
