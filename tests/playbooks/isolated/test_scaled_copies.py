"""A group in a region: copies serve the release without Ansible, and come and go without a lost request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.local_region import environment, names
from tests.local_region.region import LocalRegion
from tests.support.gateway_client import golden_note
from tests.support.prober import Prober
from tests.support.runner import PlaybookRun, run_playbook

# A region of three instances, of which one comes from a machine image of another.
pytestmark = [pytest.mark.region, pytest.mark.nightly]

GROUP = names.APPLICATION
RELEASE = "basename $(readlink /opt/slm-ft-serving/current)"
EXTRACT = "/api/v1/extract"
# Amazon's agent, which that setting installs, is not to be had here; the group's metric is not followed here either.
SHIPPED = ("-e", "scaling_group_cloudwatch=on")
OPERATOR = {"AWS_ACCESS_KEY_ID": environment.OPERATORS_ACCESS_KEYS["operator-scaling"]}
PATIENCE_SECONDS = 300
CLIENTS = 4


@pytest.fixture(scope="module")
def scaled() -> Iterator[tuple[LocalRegion, PlaybookRun]]:
    """Make a region of two instances with a release, and the group that may add a third."""
    with LocalRegion(names.of_this_copy("scaled"), engine="stand-in", instances=2).fresh() as region:
        region.account().put_parameters({"autoscaling/most": "3"})
        run_playbook(region, "deploy", *SHIPPED, environment=OPERATOR).must_succeed()
        yield region, run_playbook(region, "scale", *SHIPPED, environment=OPERATOR).must_succeed()


def becomes(what: Callable[[], Any], wanted: Any) -> Any:
    """Return what something is once it is as wanted, or in the end."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := what()) != wanted and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def copies(region: LocalRegion) -> dict[str, str]:
    """Return the state of each instance that the group has made, by its id."""
    filters = [{"Name": "tag:aws:autoscaling:groupName", "Values": [GROUP]}]
    reservations = region.client("ec2").describe_instances(Filters=filters)["Reservations"]
    every = [each for reservation in reservations for each in reservation["Instances"]]
    return {each["InstanceId"]: each["State"]["Name"] for each in every}


def in_service(region: LocalRegion) -> list[str]:
    """Return the lifecycle state of each that is not in the warm pool."""
    groups = region.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])
    return [each["LifecycleState"] for each in groups["AutoScalingGroups"][0]["Instances"]]


def healthy(region: LocalRegion) -> int:
    """Return how many instances the load balancer sends requests to."""
    elbv2 = region.client("elbv2")
    group = elbv2.describe_target_groups()["TargetGroups"][0]["TargetGroupArn"]
    targets = elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return [each["TargetHealth"]["State"] for each in targets].count("healthy")


def want(region: LocalRegion, count: int) -> None:
    """Size the group, as its policies do."""
    region.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=count)


def test_a_copy_is_started_once_and_waits_in_the_warm_pool(scaled: tuple[LocalRegion, PlaybookRun]) -> None:
    region, _ = scaled
    assert becomes(lambda: list(copies(region).values()), ["stopped"]) == ["stopped"]
    assert in_service(region) == []
    assert healthy(region) == 2


def test_one_more_serves_the_release_without_a_playbook_and_none_fails(
    scaled: tuple[LocalRegion, PlaybookRun],
) -> None:
    region, _ = scaled
    (warm,) = copies(region)
    note = {"text": golden_note()["text"]}
    with Prober(region, EXTRACT, note, address=region.load_balancer_url, clients=CLIENTS) as load:
        want(region, 1)
        assert becomes(lambda: healthy(region), 3) == 3
        time.sleep(3)
    assert copies(region) == {warm: "running"}
    assert in_service(region) == ["InService"]
    releases = {region.exec(RELEASE, number=number).stdout.strip() for number in (1, 2, 3)}
    assert len(releases) == 1
    assert {probe.status for probe in load.probes} == {200}


def test_a_copy_is_another_machine_than_its_original(scaled: tuple[LocalRegion, PlaybookRun]) -> None:
    region, _ = scaled
    ids = {region.exec("cat /etc/machine-id", number=number).stdout.strip() for number in (1, 3)}
    assert len(ids) == 2
    # The original's unit has ended, the copy's is at work.
    unit = "systemctl is-active slm-ft-serving-lifecycle.service || true"
    assert [region.exec(unit, number=number).stdout.strip() for number in (1, 3)] == ["inactive", "active"]


def test_no_playbook_goes_to_a_copy(scaled: tuple[LocalRegion, PlaybookRun]) -> None:
    region, _ = scaled
    (copy,) = copies(region)
    run = run_playbook(region, "status", *SHIPPED, environment=OPERATOR).must_succeed()
    assert copy not in run.output
    assert "1 wanted of 1 at most; 1 running, 0 warm" in " ".join(run.output.split())


def test_one_fewer_ends_its_requests_and_goes_back_into_the_pool(scaled: tuple[LocalRegion, PlaybookRun]) -> None:
    region, _ = scaled
    (copy,) = copies(region)
    note = {"text": golden_note()["text"]}
    with Prober(region, EXTRACT, note, address=region.load_balancer_url, clients=CLIENTS) as load:
        want(region, 0)
        assert becomes(lambda: copies(region), {copy: "stopped"}) == {copy: "stopped"}
    assert {probe.status for probe in load.probes} == {200}
    assert len(load.probes) > 0
    assert healthy(region) == 2
