"""provision.yml and teardown.yml against another emulator than the one that they were written beside.

What moto answers by chance, ministack answers in another way, or not at all. Each thing in which it is not as AWS is
named, here and in tests/fakes/ministack, and a test fails when one has gone or another comes.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.fakes import answers, ministack
from tests.fakes.account import Api
from tests.local_region import names
from tests.playbooks.isolated.account_runner import play
from tests.playbooks.isolated.test_provision import Holdings, holdings
from tests.support import environments
from tests.support.ports import free_port
from tests.support.runner import PlaybookRun

# Three whole runs; the answers that are taken for granted are noted in the ordinary runs too (test_provision.py).
pytestmark = [pytest.mark.slow, pytest.mark.nightly]

# It has no Deep Learning AMI, but Amazon's Linux, whose root volume is smaller.
ARGUMENTS = (
    *("-e", "infrastructure_gateway_cidrs=198.51.100.0/24"),
    *("-e", "infrastructure_ami_parameter=/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"),
)
EVERYTHING = (
    *("-e", f"infrastructure_confirmation={names.APPLICATION}"),
    *("-e", '{"infrastructure_delete_data": ["secrets", "images", "models"]}'),
)
# What a second run has to change, because RunInstances gives a volume another size than it was asked for.
CORRECTED = ["infrastructure : Enlarge the volumes"]


@dataclass
class Life:
    """What the account had after each step, and what the playbooks said."""

    routes: list[Any] = field(default_factory=list)
    runs: dict[str, PlaybookRun] = field(default_factory=dict)
    after: dict[str, Holdings] = field(default_factory=dict)
    volumes: list[int] = field(default_factory=list)
    lacking: set[str] = field(default_factory=set)
    unpromised: set[str] = field(default_factory=set)


def give_a_way_out(api: Api) -> list[Any]:
    """Give the default VPC the route to its internet gateway that AWS's has; return those that it had."""
    ec2 = api.client("ec2")
    (gateway,) = ec2.describe_internet_gateways()["InternetGateways"]
    (table,) = ec2.describe_route_tables()["RouteTables"]
    target = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway["InternetGatewayId"]}
    ec2.create_route(RouteTableId=table["RouteTableId"], **target)
    return [route for route in table["Routes"] if route.get("DestinationCidrBlock") == "0.0.0.0/0"]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Take an account from empty over provisioned to removed."""
    life, folder = Life(), tmp_path_factory.mktemp("ministack")
    noted = folder / "answers-read"
    program = environments.programs(ministack.REQUIREMENTS, environments.CACHE / "ministack") / "ministack"
    with ministack.served(program, free_port(), folder) as (api, front):
        life.routes = give_a_way_out(api)
        life.after["before"] = holdings(api)
        environment = {"SLM_GATEWAY_API_KEYS": f"demo:{secrets.token_hex(32)}", **answers.noting(noted)}

        def step(name: str, playbook: str, *arguments: str) -> None:
            life.runs[name] = play(api, playbook, *arguments, **environment)
            life.after[name] = holdings(api)

        step("first", "provision", *ARGUMENTS)
        life.volumes = [each["Size"] for each in api.client("ec2").describe_volumes()["Volumes"]]
        step("again", "provision", *ARGUMENTS)
        step("removed", "teardown", *EVERYTHING)
        life.lacking = front.lacking
    life.unpromised = answers.never_promised(noted)
    return life


def changed_tasks(output: str) -> list[str]:
    """Return the names of the tasks that changed something."""
    tasks = re.split(r"^TASK \[(.+?)\] \**$", output, flags=re.MULTILINE)
    return [name for name, said in zip(tasks[1::2], tasks[2::2], strict=True) if re.search(r"^changed: ", said, re.M)]


def test_provision_makes_what_it_makes_in_the_local_region(life: Life) -> None:
    life.runs["first"].must_succeed()
    made = {kind: there - life.after["before"][kind] for kind, there in life.after["first"].items()}
    assert made["roles"] == made["profiles"] == {names.INSTANCE_ROLE}
    # An Elastic IP is made where it is asked for.
    assert {kind for kind, there in made.items() if not there} == {"addresses"}
    assert len(made["instances"]) == 1


def test_second_provision_changes_no_more_than_the_emulator_had_got_wrong(life: Life) -> None:
    assert changed_tasks(life.runs["again"].must_succeed().output) == CORRECTED
    assert life.after["again"] == life.after["first"]


def test_teardown_leaves_nothing(life: Life) -> None:
    life.runs["removed"].must_succeed()
    assert life.after["removed"] == life.after["before"]


def test_every_operation_that_is_lacking_is_named_and_every_named_one_is_lacking(life: Life) -> None:
    assert life.lacking == {*ministack.GAPS, *ministack.UNANSWERED}


def test_the_default_vpc_still_lacks_the_route_out_that_the_test_gives_it(life: Life) -> None:
    assert life.routes == []


def test_a_volume_still_has_another_size_than_was_asked_for(life: Life) -> None:
    assert life.volumes
    assert max(life.volumes) < 200


def test_only_what_aws_always_sends_is_taken_for_granted(life: Life) -> None:
    assert life.unpromised == set()
