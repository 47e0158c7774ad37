"""provision.yml and teardown.yml with three instances behind a load balancer."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from gateway.settings import Settings
from tests.fakes.account import Api, forget, served
from tests.local_region import names
from tests.local_region.faults import Faults
from tests.local_region.state import RegionState
from tests.playbooks.isolated.account_runner import play
from tests.playbooks.isolated.certificates import DOMAIN, certificate
from tests.support.runner import PlaybookRun

# Four runs of provision.yml and teardown.yml. The ordinary run has test_provision.py, with one instance.
pytestmark = [pytest.mark.region, pytest.mark.nightly]

NETWORK = "198.51.100.0/24"
FULL_ZONE = f"{names.AWS_REGION}b"
OURS = {"Application": names.APPLICATION, "ManagedBy": "provision.yml"}
OPEN = ("-e", f"infrastructure_gateway_cidrs={NETWORK}")
SECRETS = {"SLM_GATEWAY_API_KEYS": f"demo:{'0' * 64}"}


@dataclass
class Life:
    """What the playbooks said, and what AWS then had."""

    runs: dict[str, PlaybookRun] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    corrected: dict[str, Any] = field(default_factory=dict)
    left: dict[str, Any] = field(default_factory=dict)
    certificate: str = ""
    taken_out: str = ""


def look(api: Api) -> dict[str, Any]:
    """Return what AWS has of the load balancer and the instances behind it."""
    elb, ec2 = api.client("elbv2"), api.client("ec2")
    chosen = [{"Name": "tag:ManagedBy", "Values": [OURS["ManagedBy"]]}]
    found = [each for one in ec2.describe_instances(Filters=chosen)["Reservations"] for each in one["Instances"]]
    pages = api.client("ssm").get_paginator("get_parameters_by_path").paginate(Path="/slm-ft-serving", Recursive=True)
    there: dict[str, Any] = {
        "groups": {each["GroupName"]: each for each in ec2.describe_security_groups()["SecurityGroups"]},
        "instances": {each["InstanceId"]: each for each in found if each["State"]["Name"] == "running"},
        "balancers": elb.describe_load_balancers()["LoadBalancers"],
        "targets": elb.describe_target_groups()["TargetGroups"],
        "settings": {
            each["Name"].removeprefix("/slm-ft-serving/"): each["Value"] for p in pages for each in p["Parameters"]
        },
    }
    if there["balancers"]:
        (balancer,), (group,) = there["balancers"], there["targets"]
        arns = [balancer["LoadBalancerArn"], group["TargetGroupArn"]]
        attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=arns[0])["Attributes"]
        of_the_group = elb.describe_target_group_attributes(TargetGroupArn=arns[1])["Attributes"]
        health = elb.describe_target_health(TargetGroupArn=arns[1])["TargetHealthDescriptions"]
        there |= {
            "listeners": elb.describe_listeners(LoadBalancerArn=arns[0])["Listeners"],
            "attributes": {each["Key"]: each["Value"] for each in [*attributes, *of_the_group]},
            "registered": {each["Target"]["Id"] for each in health},
            "tags": [
                {tag["Key"]: tag["Value"] for tag in each["Tags"]}
                for each in elb.describe_tags(ResourceArns=arns)["TagDescriptions"]
            ],
        }
    return there


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Take an account from empty over three instances and a change by hand to removed."""
    life, state = Life(), RegionState("fleet", root=Path(tmp_path_factory.mktemp("fleet")))
    state.prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        with served(state, DomainDispatcherApplication(create_backend_app)) as api:
            life.certificate = certificate(api)
            given = (
                "-e",
                f"infrastructure_certificate_arn={life.certificate}",
                "-e",
                f"infrastructure_domain={DOMAIN}",
            )
            Faults(api.state.faults).switch_on("zone-capacity", FULL_ZONE)
            life.runs["first"] = play(api, "provision", "-e", "infrastructure_instances=3", *OPEN, *given, **SECRETS)
            Faults(api.state.faults).switch_off()
            life.made = look(api)
            life.taken_out = change_by_hand(api, life.made)
            # Without what the first run was given: only who may call has to be said again.
            life.runs["corrected"] = play(api, "provision", *OPEN)
            life.corrected = look(api)
            life.runs["again"] = play(api, "provision", "--check", *OPEN)
            life.runs["removed"] = play(api, "teardown", "-e", f"infrastructure_confirmation={names.APPLICATION}")
            life.left = look(api)
    forget()
    return life


def change_by_hand(api: Api, made: dict[str, Any]) -> str:
    """Change attributes and the health check, as somebody might, and take an instance out, as a deployment does."""
    elb = api.client("elbv2")
    balancer, group = made["balancers"][0]["LoadBalancerArn"], made["targets"][0]["TargetGroupArn"]
    attributes = [{"Key": "idle_timeout.timeout_seconds", "Value": "30"}]
    elb.modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=attributes)
    attributes = [{"Key": "load_balancing.algorithm.type", "Value": "round_robin"}]
    elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=attributes)
    elb.modify_target_group(TargetGroupArn=group, HealthCheckPath="/live")
    out = min(str(instance) for instance in made["instances"])
    elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": out}])
    return out


def test_three_instances_are_spread_over_the_zones_that_have_room(life: Life) -> None:
    life.runs["first"].must_succeed()
    zones = [each["Placement"]["AvailabilityZone"] for each in life.made["instances"].values()]
    assert len(zones) == len(set(zones)) == 3
    assert FULL_ZONE not in zones
    assert f"no capacity in {FULL_ZONE}" in " ".join(life.runs["first"].output.split())
    assert life.made["settings"]["ec2/instance-id"] in life.made["instances"]


def test_the_load_balancer_speaks_https_alone_in_the_instances_zones(life: Life) -> None:
    (balancer,), (listener,) = life.made["balancers"], life.made["listeners"]
    assert (listener["Protocol"], listener["Port"]) == ("HTTPS", 443)
    assert listener["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"
    assert [each["CertificateArn"] for each in listener["Certificates"]] == [life.certificate]
    zones = {each["Placement"]["AvailabilityZone"] for each in life.made["instances"].values()}
    assert {each["ZoneName"] for each in balancer["AvailabilityZones"]} == zones
    assert all(tags.items() >= OURS.items() for tags in life.made["tags"])


def test_only_the_load_balancer_reaches_the_gateways_port_and_only_the_named_networks_that(life: Life) -> None:
    gateway = life.made["groups"]["slm-ft-serving-gateway"]
    balancer = life.made["groups"]["slm-ft-serving-load-balancer"]
    (rule,) = gateway["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"], rule["IpRanges"]) == (8080, 8080, [])
    assert [each["GroupId"] for each in rule["UserIdGroupPairs"]] == [balancer["GroupId"]]
    (rule,) = balancer["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"], rule["UserIdGroupPairs"]) == (443, 443, [])
    assert [each["CidrIp"] for each in rule["IpRanges"]] == [NETWORK]
    assert life.made["balancers"][0]["SecurityGroups"] == [balancer["GroupId"]]


def test_times_are_longer_than_the_gateways_for_a_request(life: Life) -> None:
    attributes, fields = life.made["attributes"], Settings.model_fields
    request, kept = fields["request_timeout"].default, fields["keep_alive_timeout"].default
    assert request < float(attributes["idle_timeout.timeout_seconds"]) < kept
    assert request < float(attributes["deregistration_delay.timeout_seconds"])
    assert attributes["load_balancing.algorithm.type"] == "least_outstanding_requests"
    assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert attributes["deletion_protection.enabled"] == "false"


def test_instances_are_registered_and_known_to_serve_by_the_gateways_health(life: Life) -> None:
    (group,) = life.made["targets"]
    assert (group["Protocol"], group["Port"], group["TargetType"]) == ("HTTP", 8080, "instance")
    assert (group["HealthCheckPath"], group["Matcher"]) == ("/health", {"HttpCode": "200"})
    assert life.made["registered"] == set(life.made["instances"])


def test_later_playbooks_are_told_the_target_group_and_the_address(life: Life) -> None:
    settings = life.made["settings"]
    assert settings["load-balancer/target-group"] == life.made["targets"][0]["TargetGroupArn"]
    assert settings["load-balancer/address"] == f"https://{DOMAIN}"


def test_a_run_without_the_variables_corrects_what_was_changed_and_keeps_the_rest(life: Life) -> None:
    run = life.runs["corrected"].must_succeed()
    assert life.corrected["attributes"] == life.made["attributes"]
    assert [each["HealthCheckPath"] for each in life.corrected["targets"]] == ["/health"]
    for kept in ("settings", "listeners", "groups"):
        assert life.corrected[kept] == life.made[kept]
    assert life.corrected["instances"].keys() == life.made["instances"].keys()
    # Who took it out puts it in again.
    assert life.corrected["registered"] == set(life.made["instances"]) - {life.taken_out}
    assert "3 are there, and infrastructure_instances is 1: none is terminated" in " ".join(run.output.split())


def test_another_run_would_change_nothing(life: Life) -> None:
    assert life.runs["again"].must_succeed().changed == 0, life.runs["again"].output


def test_the_month_of_all_instances_is_reported(life: Life) -> None:
    output = " ".join(life.runs["first"].output.split())
    assert f"{3 * 0.9776:.4f} USD an hour while the instances run (3 g6.2xlarge)" in output
    assert "600 GiB of gp3" in output
    assert "not known: what the load balancer costs" in output


def test_teardown_lists_and_removes_all_of_it(life: Life) -> None:
    output = life.runs["removed"].must_succeed().output
    listed = (*life.made["instances"], "load balancer", "target group", "slm-ft-serving-load-balancer")
    assert [name for name in listed if name not in output] == []
    assert (life.left["instances"], life.left["balancers"], life.left["targets"], life.left["settings"]) == (
        {},
        [],
        [],
        {},
    )
    assert life.left["groups"].keys() == {"default"}
