"""EC2 and SSM follow the instance's machine."""

from __future__ import annotations

import datetime as dt
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from tests.fakes.account import Api
from tests.local_region import names
from tests.local_region.aws_api import ssm
from tests.local_region.aws_api.calls import INSTANCE_ACCESS_KEY
from tests.local_region.faults import Faults

pytestmark = pytest.mark.slow


@pytest.fixture
def instance(api: Api) -> str:
    """Seed the account and return its instance's id."""
    return api.account.seed(api.state)


def _state(api: Api, instance: str) -> str:
    described = api.client("ec2").describe_instances(InstanceIds=[instance])
    return str(described["Reservations"][0]["Instances"][0]["State"]["Name"])


def _information(api: Api, instance: str) -> dict[str, Any]:
    """Return what Systems Manager lists of the instance; empty when it does not know it."""
    filters = [{"Key": "InstanceIds", "Values": [instance]}]
    listed = api.client("ssm").describe_instance_information(Filters=filters)["InstanceInformationList"]
    return dict(listed[0]) if listed else {}


def _ping(api: Api, instance: str) -> str:
    return str(_information(api, instance).get("PingStatus", "unknown"))


def _connection(api: Api, instance: str) -> str:
    return str(api.client("ssm").get_connection_status(Target=instance)["Status"])


def _launched(api: Api, instance: str) -> dt.datetime:
    described = api.client("ec2").describe_instances(InstanceIds=[instance])
    launched: dt.datetime = described["Reservations"][0]["Instances"][0]["LaunchTime"]
    return launched


def _wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline, "did not happen within 10 s"
        time.sleep(0.02)


def test_stopping_takes_as_long_as_the_machine_takes(api: Api, instance: str) -> None:
    api.machine.may_stop.clear()
    change = api.client("ec2").stop_instances(InstanceIds=[instance])["StoppingInstances"][0]
    assert change["CurrentState"]["Name"] == "stopping"
    assert _state(api, instance) == "stopping"
    assert _connection(api, instance) == "notconnected"
    api.machine.may_stop.set()
    _wait_for(lambda: _state(api, instance) == "stopped")
    assert not api.machine.running


def test_an_instance_that_is_stopping_cannot_be_started(api: Api, instance: str) -> None:
    api.machine.may_stop.clear()
    api.client("ec2").stop_instances(InstanceIds=[instance])
    with pytest.raises(botocore.exceptions.ClientError, match="IncorrectInstanceState"):
        api.client("ec2").start_instances(InstanceIds=[instance])
    api.machine.may_stop.set()


def test_a_start_brings_the_machine_back_and_it_is_connected_only_when_booted(api: Api, instance: str) -> None:
    api.client("ec2").stop_instances(InstanceIds=[instance])
    _wait_for(lambda: _state(api, instance) == "stopped")
    api.machine.active = False
    change = api.client("ec2").start_instances(InstanceIds=[instance])["StartingInstances"][0]
    assert change["CurrentState"]["Name"] == "pending"
    _wait_for(lambda: _state(api, instance) == "running")
    assert _connection(api, instance) == "notconnected"
    with pytest.raises(botocore.exceptions.ClientError, match="TargetNotConnected"):
        api.client("ssm").start_session(Target=instance)
    api.machine.active = True
    assert _connection(api, instance) == "connected"


def test_an_instance_whose_agent_never_reported_is_not_listed(api: Api, instance: str) -> None:
    api.machine.active = False
    assert _information(api, instance) == {}


@pytest.fixture
def ping_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Have Systems Manager's clock be so many seconds off; EC2 names a start to the second."""

    def set_clock(seconds: float) -> None:
        monkeypatch.setattr(ssm, "_now", lambda: time.time() + seconds)

    return set_clock


def _restart(api: Api, instance: str) -> None:
    api.client("ec2").stop_instances(InstanceIds=[instance])
    _wait_for(lambda: _state(api, instance) == "stopped")
    api.client("ec2").start_instances(InstanceIds=[instance])
    _wait_for(lambda: _state(api, instance) == "running")


def test_a_stopped_instance_stays_online_until_a_ping_is_missed(
    api: Api, instance: str, ping_at: Callable[[float], None]
) -> None:
    """Even where nobody had asked before the stop."""
    ping_at(-100)
    api.client("ec2").stop_instances(InstanceIds=[instance])
    _wait_for(lambda: _state(api, instance) == "stopped")
    ping_at(0)
    assert _ping(api, instance) == "Online"
    ping_at(300)
    assert _ping(api, instance) == "ConnectionLost"


def test_until_the_agent_is_up_again_its_last_ping_is_from_before_the_start(
    api: Api, instance: str, ping_at: Callable[[float], None]
) -> None:
    ping_at(-100)
    before = _information(api, instance)["LastPingDateTime"]
    api.machine.active = False
    ping_at(1)
    _restart(api, instance)
    assert _information(api, instance)["LastPingDateTime"] == before < _launched(api, instance)
    assert _ping(api, instance) == "Online"
    api.machine.active = True
    assert _information(api, instance)["LastPingDateTime"] > _launched(api, instance)


def test_an_agent_pings_at_its_interval(api: Api, instance: str, ping_at: Callable[[float], None]) -> None:
    ping_at(0)
    first = _information(api, instance)["LastPingDateTime"]
    ping_at(200)
    assert _information(api, instance)["LastPingDateTime"] == first
    ping_at(301)
    assert _information(api, instance)["LastPingDateTime"] > first


def test_stop_and_start_may_be_repeated(api: Api, instance: str) -> None:
    api.client("ec2").start_instances(InstanceIds=[instance])
    assert _state(api, instance) == "running"
    api.client("ec2").stop_instances(InstanceIds=[instance])
    _wait_for(lambda: _state(api, instance) == "stopped")
    api.client("ec2").stop_instances(InstanceIds=[instance])
    assert _state(api, instance) == "stopped"


def test_a_reboot_is_orderly_and_the_instance_stays_running(api: Api, instance: str) -> None:
    api.machine.may_stop.clear()
    api.client("ec2").reboot_instances(InstanceIds=[instance])
    assert _state(api, instance) == "running"
    api.machine.active = False
    api.machine.may_stop.set()
    _wait_for(lambda: api.machine.stops == 1 and api.machine.running)
    assert _state(api, instance) == "running"
    assert _ping(api, instance) == "Online", "AWS does not notice"
    assert _connection(api, instance) == "notconnected"


def test_a_machine_that_will_not_start_leaves_the_instance_stopped(api: Api, instance: str) -> None:
    api.client("ec2").stop_instances(InstanceIds=[instance])
    _wait_for(lambda: _state(api, instance) == "stopped")
    api.machine.broken = True
    api.client("ec2").start_instances(InstanceIds=[instance])
    _wait_for(lambda: _state(api, instance) == "stopped")


def test_a_machine_that_shut_itself_down_is_seen_as_stopped(api: Api, instance: str) -> None:
    api.machine.running = False
    assert _state(api, instance) == "stopped"


def test_a_session_names_container_and_log_and_is_counted(api: Api, instance: str) -> None:
    ssm = api.client("ssm")
    first = ssm.start_session(Target=instance, DocumentName=names.SESSION_DOCUMENT)
    second = ssm.start_session(Target=instance)
    assert first["StreamUrl"] == "docker://fake-instance"
    assert Path(second["TokenValue"]).name == f"00002-{second['SessionId']}.log"
    assert (api.state.sessions / "count").read_text(encoding="ascii") == "2"
    ssm.terminate_session(SessionId=first["SessionId"])
    _wait_for(lambda: api.machine.ended == [first["SessionId"]])
    assert [each["SessionId"] for each in ssm.describe_sessions(State="Active")["Sessions"]] == [second["SessionId"]]
    assert [each["SessionId"] for each in ssm.describe_sessions(State="History")["Sessions"]] == [first["SessionId"]]

    # What a document makes of a session is the plugin's to know.
    port: dict[str, Any] = {"portNumber": ["8080"]}
    opened = ssm.start_session(Target=instance, DocumentName="AWS-StartPortForwardingSession", Parameters=port)
    assert opened["StreamUrl"] == "docker://fake-instance?port=8080&local_port=0"
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidDocument"):
        ssm.start_session(Target=instance, DocumentName="no-such-document")


@pytest.mark.parametrize("why", ["stopped", "unknown"])
def test_a_session_with_an_instance_that_is_not_there_is_refused_as_by_aws(api: Api, instance: str, why: str) -> None:
    api.machine.running = why != "stopped"
    target = instance if why == "stopped" else "i-00000000000000000"
    with pytest.raises(botocore.exceptions.ClientError, match="TargetNotConnected"):
        api.client("ssm").start_session(Target=target)


def test_the_fault_session_refusal_refuses_every_session(api: Api, instance: str) -> None:
    Faults(api.state.faults).switch_on("session-refusal", "ThrottlingException")
    with pytest.raises(botocore.exceptions.ClientError, match="ThrottlingException"):
        api.client("ssm").start_session(Target=instance)
    Faults(api.state.faults).switch_off("session-refusal")
    assert api.client("ssm").start_session(Target=instance)["SessionId"]


def test_the_same_instance_comes_back_after_the_memory_was_lost(api: Api, instance: str) -> None:
    api.client("ec2").terminate_instances(InstanceIds=[instance])
    assert api.account.seed(api.state) == instance


def test_the_deep_learning_ami_is_a_public_parameter(api: Api) -> None:
    image = api.client("ssm").get_parameter(Name=names.DEEP_LEARNING_AMI_PARAMETER)["Parameter"]["Value"]
    assert "Deep Learning" in api.client("ec2").describe_images(ImageIds=[image])["Images"][0]["Name"]


def _metadata(api: Api, path: str, *, token: str | None = None, put: bool = False) -> str:
    request = urllib.request.Request(f"{api.account.endpoint}/latest/{path}", method="PUT" if put else "GET")
    if put:
        request.add_header("X-aws-ec2-metadata-token-ttl-seconds", "60")
    if token is not None:
        request.add_header("X-aws-ec2-metadata-token", token)
    with urllib.request.urlopen(request, timeout=5) as answer:
        content: bytes = answer.read()
    return content.decode()


def test_metadata_service_answers_only_with_a_token(api: Api, instance: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        _metadata(api, "meta-data/instance-id")
    refused.value.close()
    token = _metadata(api, "api/token", put=True)
    assert _metadata(api, "meta-data/instance-id", token=token) == instance
    assert _metadata(api, "meta-data/placement/region", token=token) == names.AWS_REGION
    role = _metadata(api, "meta-data/iam/security-credentials/", token=token)
    assert INSTANCE_ACCESS_KEY in _metadata(api, f"meta-data/iam/security-credentials/{role}", token=token)


def test_fault_instance_start_refuses_delays_or_isolates_the_instance(
    api: Api, instance: str, ping_at: Callable[[float], None]
) -> None:
    ping_at(-100)
    faults = Faults(api.state.faults)
    api.client("ec2").stop_instances(InstanceIds=[instance])
    _wait_for(lambda: _state(api, instance) == "stopped")
    faults.switch_on("instance-start", "capacity")
    with pytest.raises(botocore.exceptions.ClientError, match="InsufficientInstanceCapacity"):
        api.client("ec2").start_instances(InstanceIds=[instance])
    faults.switch_on("instance-start", "stuck")
    api.client("ec2").start_instances(InstanceIds=[instance])
    assert _state(api, instance) == "pending"
    faults.switch_on("instance-start", "offline")
    _wait_for(lambda: _state(api, instance) == "running")
    assert _connection(api, instance) == "notconnected"
    assert _information(api, instance)["LastPingDateTime"] < _launched(api, instance)
    faults.switch_off()
    ping_at(1)
    assert _connection(api, instance) == "connected"
    assert _information(api, instance)["LastPingDateTime"] > _launched(api, instance)


ZONE = "us-east-1a"  # of the seeded instance


def _refusal(call: Callable[..., object], **arguments: object) -> str:
    """Return the code with which a call is refused."""
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        call(**arguments)
    return str(refused.value.response["Error"]["Code"])


def _launch(api: Api, zone: str, **more: object) -> str:
    """Launch a stranger in a zone and return its id."""
    ec2 = api.client("ec2")
    subnet = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": [zone]}])["Subnets"][0]["SubnetId"]
    image = api.client("ssm").get_parameter(Name=names.DEEP_LEARNING_AMI_PARAMETER)["Parameter"]["Value"]
    network: dict[str, object] = {"NetworkInterfaces": [{"DeviceIndex": 0, "SubnetId": subnet}]}
    made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, **network, **more)
    return str(made["Instances"][0]["InstanceId"])


def test_a_full_zone_refuses_to_launch_and_to_start_and_another_does_not(api: Api, instance: str) -> None:
    ec2 = api.client("ec2")
    ec2.stop_instances(InstanceIds=[instance])
    _wait_for(lambda: _state(api, instance) == "stopped")
    Faults(api.state.faults).switch_on("zone-capacity", f"us-east-1c {ZONE}")
    assert _refusal(ec2.start_instances, InstanceIds=[instance]) == "InsufficientInstanceCapacity"
    assert _state(api, instance) == "stopped"
    assert _refusal(_launch, api=api, zone=ZONE) == "InsufficientInstanceCapacity"
    assert _state(api, _launch(api, "us-east-1b")) == "running"


def test_a_new_profile_is_unknown_to_ec2_for_as_long_as_the_fault_says(api: Api, instance: str) -> None:
    ec2, profile = api.client("ec2"), {"Name": names.INSTANCE_ROLE}
    Faults(api.state.faults).switch_on("profile-delay", "3600")
    assert _refusal(_launch, api=api, zone=ZONE, IamInstanceProfile=profile) == "InvalidParameterValue"
    associate = ec2.associate_iam_instance_profile
    assert _refusal(associate, InstanceId=instance, IamInstanceProfile=profile) == "InvalidParameterValue"
    Faults(api.state.faults).switch_off("profile-delay")
    assert _launch(api, ZONE, IamInstanceProfile=profile)


def test_a_volume_is_attached_in_its_own_zone_only(api: Api, instance: str) -> None:
    ec2 = api.client("ec2")
    own, other = (ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"] for zone in (ZONE, "us-east-1b"))
    attachment = {"InstanceId": instance, "Device": "/dev/sdf"}
    assert _refusal(ec2.attach_volume, VolumeId=other, **attachment) == "InvalidVolume.ZoneMismatch"
    assert ec2.attach_volume(VolumeId=own, **attachment)["InstanceId"] == instance


def _address(api: Api, instance: str) -> str:
    described = api.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return str(described.get("PublicIpAddress", ""))


def _stop_and_start(api: Api, instance: str) -> tuple[str, str, str]:
    """Return the address before, while it is stopped, and after."""
    before = _address(api, instance)
    api.client("ec2").stop_instances(InstanceIds=[instance])
    _wait_for(lambda: _state(api, instance) == "stopped")
    stopped = _address(api, instance)
    api.client("ec2").start_instances(InstanceIds=[instance])
    _wait_for(lambda: _state(api, instance) == "running")
    return before, stopped, _address(api, instance)


def test_the_public_address_changes_at_a_start_unless_it_is_an_elastic_ip(api: Api, instance: str) -> None:
    before, stopped, after = _stop_and_start(api, instance)
    assert (before != "", stopped, after not in ("", before)) == (True, "", True)
    ec2 = api.client("ec2")
    allocated = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(InstanceId=instance, AllocationId=allocated["AllocationId"])
    assert _stop_and_start(api, instance) == (allocated["PublicIp"],) * 3


def test_the_fault_deny_refuses_the_instance_and_not_the_operator(
    api: Api, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Faults(api.state.faults).switch_on("deny", "GetSecretValue")
    secret = {"SecretId": names.SECRET_HF_TOKEN}
    assert api.client("secretsmanager").get_secret_value(**secret)["SecretString"].startswith("hf_local_region_")
    monkeypatch.setattr("tests.local_region.environment.ADMINISTRATOR_ACCESS_KEY", INSTANCE_ACCESS_KEY)
    as_instance = type(api.account)(api.account.endpoint).client("secretsmanager")
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        as_instance.get_secret_value(**secret)


def test_an_unknown_fault_is_refused(api: Api) -> None:
    with pytest.raises(ValueError, match="not one of"):
        Faults(api.state.faults).switch_on("meteorite", "1")


def test_machine_comes_and_goes_with_its_instance(api: Api) -> None:
    api.machine.running = False
    made = api.account.seed(api.state)
    _wait_for(lambda: _state(api, made) == "running")
    assert api.machine.running
    api.machine.may_stop.clear()
    api.client("ec2").terminate_instances(InstanceIds=[made])
    assert _state(api, made) == "shutting-down"
    api.machine.may_stop.set()
    _wait_for(lambda: _state(api, made) == "terminated")
    assert not api.machine.running


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        (
            "iam",
            "simulate_principal_policy",
            {"PolicySourceArn": "arn:aws:iam::1:role/instance", "ActionNames": []},
        ),
        ("pricing", "get_products", {"ServiceCode": "AmazonEC2"}),
    ],
)
def test_what_the_region_lacks_is_refused_as_aws_refuses(
    api: Api, service: str, operation: str, arguments: dict[str, object]
) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="the local region has no"):
        getattr(api.client(service), operation)(**arguments)


def test_an_instance_has_the_groups_of_its_interface(api: Api) -> None:
    ec2 = api.client("ec2")
    group = ec2.create_security_group(GroupName="ours", Description="x", VpcId=ec2.describe_vpcs()["Vpcs"][0]["VpcId"])
    interface = {
        "DeviceIndex": 0,
        "SubnetId": ec2.describe_subnets()["Subnets"][0]["SubnetId"],
        "Groups": [group["GroupId"]],
    }
    made = ec2.run_instances(
        ImageId=api.client("ssm").get_parameter(Name=names.DEEP_LEARNING_AMI_PARAMETER)["Parameter"]["Value"],
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[interface],
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Application", "Value": names.APPLICATION}]}],
    )["Instances"][0]
    (reservation,) = ec2.describe_instances(InstanceIds=[made["InstanceId"]])["Reservations"]
    assert reservation["Instances"][0]["SecurityGroups"] == [{"GroupId": group["GroupId"], "GroupName": "ours"}]


def test_an_address_is_described_under_the_word_that_aws_has_for_it(api: Api) -> None:
    ec2 = api.client("ec2")
    tags = [{"Key": "Application", "Value": names.APPLICATION}]
    ec2.allocate_address(Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}])
    described = ec2.describe_tags(Filters=[{"Name": "resource-type", "Values": ["elastic-ip"]}])["Tags"]
    assert [each["Value"] for each in described] == [names.APPLICATION]
