"""An Auto Scaling group beside two instances: what its role makes, corrects, holds back and removes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from tests.fakes.account import Api, forget, served
from tests.local_region import environment, names
from tests.local_region.state import RegionState
from tests.playbooks.isolated.account_runner import play
from tests.support.runner import PlaybookRun

pytestmark = pytest.mark.slow

GROUP = names.APPLICATION
FIRST, SECOND = "20261128T100000Z", "20261128T110000Z"
# Beside the playbooks, whose folder the runner begins in.
PLAYBOOK = "../tests/playbooks/isolated/scaling_image"
OPERATOR = {"AWS_ACCESS_KEY_ID": environment.OPERATORS_ACCESS_KEYS["operator-scaling"]}
# The program is looked for; no session is opened.
PLUGIN = {"AWS_SESSION_MANAGER_PLUGIN": "/bin/true"}


@dataclass
class Life:
    """What the playbooks said, and what AWS had after each."""

    runs: dict[str, PlaybookRun] = field(default_factory=dict)
    after: dict[str, dict[str, Any]] = field(default_factory=dict)


def look(api: Api) -> dict[str, Any]:
    """Return what there is of a group."""
    scaling, ec2 = api.client("autoscaling"), api.client("ec2")
    reservations = ec2.describe_instances()["Reservations"]
    every = [each for reservation in reservations for each in reservation["Instances"]]
    alive = [each for each in every if each["State"]["Name"] not in {"terminated", "shutting-down"}]
    templates = ec2.describe_launch_templates()["LaunchTemplates"]
    ours = [{"Name": f"tag:{key}", "Values": [value]} for key, value in {"Application": GROUP}.items()]
    groups = scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    parameters = api.client("ssm").get_parameters(Names=["/slm-ft-serving/autoscaling/most"])["Parameters"]
    there: dict[str, Any] = {
        "group": groups[0] if groups else {},
        "instances": [each["InstanceId"] for each in alive],
        "copies": [
            each for each in alive if "aws:autoscaling:groupName" in {tag["Key"] for tag in each.get("Tags", [])}
        ],
        "images": ec2.describe_images(Owners=["self"], Filters=ours)["Images"],
        "snapshots": ec2.describe_snapshots(OwnerIds=["self"], Filters=ours)["Snapshots"],
        "template": {},
        "alarms": {each["AlarmName"]: each for each in api.client("cloudwatch").describe_alarms()["MetricAlarms"]},
        "most": [each["Value"] for each in parameters],
        "rights": [],
    }
    if templates:
        (template,) = templates
        versions = ec2.describe_launch_template_versions(LaunchTemplateId=template["LaunchTemplateId"])
        newest = max(versions["LaunchTemplateVersions"], key=lambda each: int(each["VersionNumber"]))
        there["template"] = newest
    if groups:
        there["hooks"] = scaling.describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"]
        there["policies"] = scaling.describe_policies(AutoScalingGroupName=GROUP)["ScalingPolicies"]
    roles = {each["RoleName"] for each in api.client("iam").list_roles()["Roles"]}
    if names.INSTANCE_ROLE in roles:
        there["rights"] = api.client("iam").list_role_policies(RoleName=names.INSTANCE_ROLE)["PolicyNames"]
    return there


def seed(api: Api) -> None:
    """Give an account two instances of provision.yml's behind a load balancer, as far as a group looks at them."""
    iam, ec2 = api.client("iam"), api.client("ec2")
    iam.create_role(RoleName=names.INSTANCE_ROLE, AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName=names.INSTANCE_ROLE)
    iam.add_role_to_instance_profile(InstanceProfileName=names.INSTANCE_ROLE, RoleName=names.INSTANCE_ROLE)
    subnet = ec2.describe_subnets()["Subnets"][0]
    image = api.client("ssm").get_parameter(Name=names.DEEP_LEARNING_AMI_PARAMETER)["Parameter"]["Value"]
    volume = {"VolumeSize": 200, "VolumeType": "gp3", "Encrypted": True}
    ec2.run_instances(
        ImageId=image,
        InstanceType="g6.2xlarge",
        MinCount=2,
        MaxCount=2,
        SubnetId=subnet["SubnetId"],
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": volume}],
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Application", "Value": names.APPLICATION}]}],
    )
    made = api.client("elbv2").create_target_group(
        Name=names.TARGET_GROUP, Protocol="HTTP", Port=8080, VpcId=subnet["VpcId"]
    )
    settings = {
        "s3/transfer-bucket": names.TRANSFER_BUCKET,
        "monitoring/cloudwatch": "on",
        "load-balancer/target-group": made["TargetGroups"][0]["TargetGroupArn"],
    }
    for name, setting in settings.items():
        api.client("ssm").put_parameter(Name=f"/slm-ft-serving/{name}", Value=setting, Type="String")


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Take an account from two instances over a group with a first and a second image to none."""
    life, state = Life(), RegionState("scaling", root=Path(tmp_path_factory.mktemp("scaling")))
    state.prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        with served(state, DomainDispatcherApplication(create_backend_app)) as api:
            seed(api)

            def step(name: str, steps: str, *arguments: str) -> None:
                given = ("-e", f"steps={steps}", *arguments)
                # Each goes on from what the one before has made.
                life.runs[name] = play(api, PLAYBOOK, *given, **OPERATOR, **PLUGIN, SLM_OUTCOME="json").must_succeed()
                life.after[name] = look(api)

            step("provisioned", "provision", "-e", "scaling_group_most=4")
            step("made", "scale", "-e", f"release={FIRST}")
            step("again", "scale", "-e", f"release={FIRST}")
            step("larger", "provision", "-e", "scaling_group_most=5")
            step("deployed", "deploy", "-e", f"release={SECOND}")
            step("imaged", "scale", "-e", f"release={SECOND}")
            step("removed", "provision", "-e", "scaling_group_most=0")
    forget()
    return life


def said(life: Life, name: str) -> str:
    """Return what a run said, in one line."""
    return " ".join(life.runs[name].output.split())


def test_provisioning_records_the_number_and_the_right_and_says_where_the_group_comes_from(life: Life) -> None:
    after = life.after["provisioned"]
    assert (after["most"], after["group"], len(after["instances"])) == (["4"], {}, 2)
    assert f"{GROUP}-scaling" in after["rights"]
    assert "playbooks/scale.yml" in said(life, "provisioned")


def test_the_image_is_of_the_first_instance_and_bears_the_release(life: Life) -> None:
    (image,) = life.after["made"]["images"]
    assert image["Name"] == f"{GROUP}-{FIRST}"
    assert {each["Key"]: each["Value"] for each in image["Tags"]}["Release"] == FIRST
    assert len(life.after["made"]["snapshots"]) == 1


def test_the_template_is_as_the_instance_is(life: Life) -> None:
    data = life.after["made"]["template"]["LaunchTemplateData"]
    assert data["ImageId"] == life.after["made"]["images"][0]["ImageId"]
    assert data["InstanceType"] == "g6.2xlarge"
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert data["IamInstanceProfile"]["Arn"].endswith(f"/{names.INSTANCE_ROLE}")
    (mapping,) = data["BlockDeviceMappings"]
    assert (mapping["Ebs"]["Encrypted"], mapping["Ebs"]["VolumeSize"]) == (True, 200)
    (interface,) = data["NetworkInterfaces"]
    assert len(interface["Groups"]) == 1


def test_the_group_may_add_what_is_left_of_the_number_and_begins_with_none(life: Life) -> None:
    group = life.after["made"]["group"]
    assert (group["MinSize"], group["MaxSize"], group["DesiredCapacity"]) == (0, 2, 0)
    assert group["HealthCheckType"] == "ELB"
    assert len(group["TargetGroupARNs"]) == 1
    assert group["WarmPoolConfiguration"]["PoolState"] == "Stopped"
    # Each on its way into the warm pool; nobody deploys to them, and provision.yml does not count them.
    assert len(life.after["made"]["copies"]) == 2
    assert {each["LifecycleHookName"] for each in life.after["made"]["hooks"]} == {"serves", "drained"}


def test_the_alarms_follow_the_mean_at_work_and_what_it_would_be_with_one_fewer(life: Life) -> None:
    alarms = life.after["made"]["alarms"]
    policies = {each["PolicyName"]: each["PolicyARN"] for each in life.after["made"]["policies"]}
    more, fewer = alarms[f"scale-out-{GROUP}"], alarms[f"scale-in-{GROUP}"]
    assert (more["MetricName"], more["Statistic"], more["Threshold"]) == ("requests_at_work", "Average", 16.0)
    assert (more["EvaluationPeriods"], more["AlarmActions"]) == (3, [policies["more"]])
    assert (fewer["EvaluationPeriods"], fewer["AlarmActions"]) == (15, [policies["fewer"]])
    assert fewer["Threshold"] == pytest.approx(14.4)
    assert {each["Id"] for each in fewer["Metrics"]} == {"result", "work", "count"}


def test_the_same_release_changes_nothing(life: Life) -> None:
    assert life.runs["again"].changed == 0, life.runs["again"].output
    group = json.loads(life.runs["again"].output.splitlines()[-1])["group"]
    assert f"0 wanted of 2 at most; 2 running, 0 warm; image of {FIRST}" in " ".join(group.split())


def test_another_number_changes_the_group_alone(life: Life) -> None:
    run = life.runs["larger"]
    assert life.after["larger"]["group"]["MaxSize"] == 3
    assert life.after["larger"]["most"] == ["5"]
    assert len(life.after["larger"]["instances"]) == 2 + 3
    assert run.changed == 2, run.output  # the setting, and the group


def test_after_another_release_nothing_is_launched_until_its_image_is_there(life: Life) -> None:
    assert f"the image of {FIRST}, and {SECOND} serves" in said(life, "deployed")
    suspended = [each["ProcessName"] for each in life.after["deployed"]["group"]["SuspendedProcesses"]]
    assert suspended == ["Launch"]
    after = life.after["imaged"]
    assert after["group"]["SuspendedProcesses"] == []
    assert [each["Name"] for each in after["images"]] == [f"{GROUP}-{SECOND}"]
    assert len(after["snapshots"]) == 1
    assert after["group"]["LaunchTemplate"]["Version"] == "2"
    assert {each["ImageId"] for each in after["copies"]} == {after["images"][0]["ImageId"]}


def test_nothing_of_it_is_left(life: Life) -> None:
    left = life.after["removed"]
    assert len(left.pop("instances")) == 2
    assert [name for name, there in left.items() if there] == []
