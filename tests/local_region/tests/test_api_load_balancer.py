"""Several instances: which machine each has, and a load balancer whose targets have the health that is real."""

from __future__ import annotations

import pytest

from tests.local_region.aws_api.machines import Machines
from tests.local_region.docker.load_balancer_container import Place, parsed
from tests.local_region.tests.conftest import Api


def test_an_instance_keeps_its_machine_and_the_next_gets_the_lowest_that_is_free() -> None:
    machines = Machines(lambda number: f"machine {number}")
    assert [machines.of(name) for name in ("i-a", "i-b", "i-c", "i-a")] == [
        "machine 1",
        "machine 2",
        "machine 3",
        "machine 1",
    ]
    machines.give_back("i-b")
    assert [machines.of(name) for name in ("i-d", "i-e", "i-c")] == ["machine 2", "machine 4", "machine 3"]


def test_what_haproxy_says_of_its_servers_is_read() -> None:
    statistics = (
        "# pxname,svname,qcur,scur,status,\nlistener,FRONTEND,,3,OPEN,\ntargets,target-1,0,2,UP,\n"
        "targets,target-2,0,0,UP 1/2,\ntargets,target-3,0,1,DRAIN,\ntargets,target-4,0,0,MAINT (resolution),\n"
        "targets,target-5,0,0,DOWN 1/2,\ntargets,BACKEND,0,3,UP,\n\n"
    )
    assert parsed(statistics) == {
        1: Place(up=True, requests=2),
        2: Place(up=True, requests=0),
        3: Place(up=False, requests=1),
        4: Place(up=False, requests=0),
        5: Place(up=False, requests=0),
    }


@pytest.mark.parametrize("said", ["", "\n", "# pxname,svname,scur,status,\n"])
def test_a_load_balancer_that_does_not_run_has_no_servers(said: str) -> None:
    assert parsed(said) == {}


class Group:
    """The target group of three instances."""

    def __init__(self, api: Api) -> None:
        """Seed them."""
        api.account.seed(api.state, 3)
        reservations = api.client("ec2").describe_instances()["Reservations"]
        self.ids = [each["InstanceId"] for reservation in reservations for each in reservation["Instances"]]
        self.zones = [
            each["Placement"]["AvailabilityZone"] for reservation in reservations for each in reservation["Instances"]
        ]
        api.account.give_load_balancer(self.ids)
        self.client = api.client("elbv2")
        self.arn = self.client.describe_target_groups()["TargetGroups"][0]["TargetGroupArn"]

    def health(self, *named: str) -> dict[str, str]:
        """Return the state of each target that is registered, or of those that are named."""
        targets = {"Targets": [{"Id": each} for each in named]} if named else {}
        found = self.client.describe_target_health(TargetGroupArn=self.arn, **targets)["TargetHealthDescriptions"]
        return {each["Target"]["Id"]: each["TargetHealth"]["State"] for each in found}


def test_three_instances_are_in_three_zones_and_in_the_load_balancer(api: Api) -> None:
    group = Group(api)
    assert len({*group.ids}) == len({*group.zones}) == 3
    assert group.health() == dict.fromkeys(group.ids, "healthy")
    assert api.proxy.did == [("in", 1), ("in", 2), ("in", 3)]
    api.account.give_load_balancer(group.ids)
    assert len(group.client.describe_load_balancers()["LoadBalancers"]) == 1


def test_one_that_leaves_drains_until_its_requests_have_ended(api: Api) -> None:
    group = Group(api)
    leaving = group.ids[1]
    api.proxy.requests = 1
    group.client.deregister_targets(TargetGroupArn=group.arn, Targets=[{"Id": leaving}])
    assert leaving not in group.health()
    assert group.health(leaving) == {leaving: "draining"}
    api.proxy.requests = 0
    assert group.health(leaving) == {leaving: "unused"}
    assert api.proxy.did[3:] == [("drain", 2), ("out", 2)]
    group.client.register_targets(TargetGroupArn=group.arn, Targets=[{"Id": leaving}])
    assert group.health() == dict.fromkeys(group.ids, "healthy")


def test_one_that_does_not_answer_is_new_at_first_and_then_unhealthy(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(api)
    monkeypatch.setattr(api.proxy, "places", dict)
    assert set(group.health().values()) == {"initial"}
    monkeypatch.setattr("tests.local_region.aws_api.load_balancers.INITIAL_SECONDS", 0.0)
    assert set(group.health().values()) == {"unhealthy"}
