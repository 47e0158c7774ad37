"""What provisioning finds out before it makes anything: networks, secrets, what others made, the instance."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.filter.infrastructure import (
    budget_problems,
    disks_to_pay,
    foreign_problems,
    gateway_rules,
    instance_differences,
    instance_problems,
    named_secrets,
    network_problems,
    secret_plan,
    volume_growth,
)


@pytest.mark.parametrize(
    ("usd", "email", "named"),
    [
        (0.0, "", None),
        (100.0, "operator@example.com", None),
        (100.0, "", "infrastructure_budget_email"),
        (100.0, "operator", "infrastructure_budget_email"),
        (100.0, "a b@example.com", "infrastructure_budget_email"),
        (-1.0, "operator@example.com", "infrastructure_budget_usd"),
    ],
)
def test_a_budget_needs_an_amount_and_somebody_to_tell(usd: float, email: str, named: str | None) -> None:
    problems = budget_problems(usd, email)
    assert [problem.partition(":")[0] for problem in problems] == ([named] if named else [])


def test_valid_networks_are_no_problem() -> None:
    assert network_problems(["10.0.0.0/8", "2001:db8::/32", "198.51.100.7/32"], allow_everyone=False) == []


@pytest.mark.parametrize(
    ("network", "word"),
    [
        ("0.0.0.0/0", "whole internet"),
        ("::/0", "whole internet"),
        ("10.0.0.1/8", "host bits"),
        ("everyone", "not a network"),
        ("10.0.0.1", "write 10.0.0.1/32"),
    ],
)
def test_invalid_network_is_a_problem(network: str, word: str) -> None:
    (problem,) = network_problems([network], allow_everyone=False)
    assert word in problem


def test_whole_internet_is_no_problem_when_everyone_is_allowed() -> None:
    assert network_problems(["0.0.0.0/0", "::/0"], allow_everyone=True) == []


def test_no_network_closes_the_port_and_is_no_problem() -> None:
    assert network_problems([], allow_everyone=False) == []
    assert gateway_rules([], 8080) == []


def test_gateway_rules_tell_ipv4_from_ipv6() -> None:
    assert gateway_rules(["10.0.0.0/8", "2001:db8::/32"], 8080) == [
        {"proto": "tcp", "ports": [8080], "rule_desc": "gateway", "cidr_ip": "10.0.0.0/8"},
        {"proto": "tcp", "ports": [8080], "rule_desc": "gateway", "cidr_ipv6": "2001:db8::/32"},
    ]


SECRET = {"name": "ours/keys", "parameter": "secrets/keys", "environment": "KEYS", "required": True, "pattern": "^k"}


@pytest.mark.parametrize(
    ("settings", "name"),
    [({}, "ours/keys"), ({"secrets/keys": ""}, "ours/keys"), ({"secrets/keys": "team/keys"}, "team/keys")],
)
def test_setting_names_the_secret(settings: dict[str, str], name: str) -> None:
    assert named_secrets([SECRET], settings) == [SECRET | {"name": name}]


@pytest.mark.parametrize(
    ("secret", "existing", "environment", "typed", "expected"),
    [
        ({}, ["ours/keys"], "", "", {"exists": True, "create": False, "ask": False}),
        ({}, [], "k1", "", {"exists": False, "create": True, "ask": False, "valid": True}),
        ({}, [], "", "", {"create": True, "ask": True, "valid": False}),
        ({}, [], "", "k1", {"create": True, "ask": True, "valid": True}),
        ({}, [], "no", "", {"create": True, "ask": False, "valid": False}),
        ({"required": False}, [], "", "", {"create": False, "ask": False}),
        ({"required": False}, [], "k1", "", {"create": True, "ask": False, "valid": True}),
    ],
)
def test_secret_is_created_where_it_is_missing_and_asked_for_where_it_has_no_value(
    secret: dict[str, Any], existing: list[str], environment: str, typed: str, expected: dict[str, bool]
) -> None:
    answers = {"ours/keys": typed} if typed else {}
    (plan,) = secret_plan([SECRET | secret], existing, {"KEYS": environment}, answers)
    assert {name: plan[name] for name in expected} == expected


def test_secret_plan_holds_no_value() -> None:
    assert "k-secret" not in str(secret_plan([SECRET], [], {"KEYS": "k-secret"}, {"ours/keys": "k-secret"}))


@pytest.mark.parametrize(
    ("resource", "variable"),
    [
        ({"kind": "role", "name": "r"}, "infrastructure_role"),
        ({"kind": "security group", "name": "g"}, "infrastructure_security_group"),
        ({"kind": "bucket", "name": "t", "foreign": True}, "infrastructure_transfer_bucket"),
        ({"kind": "bucket", "name": "m", "foreign": True}, "infrastructure_models_bucket"),
    ],
)
def test_resource_of_others_is_reported_with_the_variable_that_names_another(
    resource: dict[str, Any], variable: str
) -> None:
    (problem,) = foreign_problems([resource | {"ours": False}], "t")
    assert f"-e {variable}=NAME" in problem


@pytest.mark.parametrize(
    "resource", [{"kind": "role", "name": "r", "ours": True}, {"kind": "repository", "name": "e", "ours": False}]
)
def test_resource_that_can_be_used_as_it_is_is_no_problem(resource: dict[str, Any]) -> None:
    assert foreign_problems([resource], "t") == []


def problems_of(*instances: dict[str, Any], named: str = "", replace: bool = False) -> list[str]:
    """Return the problems of instances that have the tag and are not ours unless they say so."""
    base = {"ours": False, "tags": {}, "profile": ""}
    return instance_problems([base | each for each in instances], named, "app", "app-instance", replace_profile=replace)


def test_no_instance_yet_is_no_problem() -> None:
    assert problems_of() == []


@pytest.mark.parametrize(
    "instance", [{"ours": True}, {"tags": {"AdoptedBy": "provision.yml"}}, {"profile": "app-instance"}]
)
def test_own_or_adopted_instance_is_no_problem(instance: dict[str, Any]) -> None:
    assert problems_of({"id": "i-1", **instance}, named="i-1") == []


def test_other_profile_may_be_replaced_where_that_is_allowed() -> None:
    assert problems_of({"id": "i-1", "profile": "theirs"}, named="i-1", replace=True) == []


@pytest.mark.parametrize(
    ("instances", "named", "word"),
    [
        ([], "i-1", "no instance i-1"),
        ([{"id": "i-1"}, {"id": "i-2"}], "", "More than one instance is meant: i-1, i-2"),
        ([{"id": "i-1"}], "", "-e infrastructure_instance_id=i-1"),
        ([{"id": "i-1", "profile": "theirs"}], "i-1", "-e infrastructure_replace_profile=true"),
    ],
)
def test_unclear_instance_is_a_problem(instances: list[dict[str, Any]], named: str, word: str) -> None:
    (problem,) = problems_of(*instances, named=named)
    assert word in problem


EXPECTED = {
    "type": "g6.2xlarge",
    "volume_gib": 200,
    "throughput": 500,
    "iops": 3000,
    "security_group": "gateway",
}
VOLUME = {
    "id": "vol-1",
    "zone": "us-east-1a",
    "size": 200,
    "volume_type": "gp3",
    "throughput": 500,
    "iops": 3000,
    "encrypted": True,
    "root": True,
}
INSTANCE = {
    "id": "i-1",
    "ours": False,
    "type": "g6.2xlarge",
    "metadata_hops": 1,
    "metadata_tokens": "required",
    "key_pair": "",
    "security_groups": ["gateway"],
    "volumes": [VOLUME],
}


def test_instance_as_provisioned_has_no_differences() -> None:
    assert instance_differences(INSTANCE, EXPECTED) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"type": "t3.large"}, "t3.large"),
        ({"metadata_tokens": "optional"}, "IMDSv1"),
        ({"metadata_hops": 2}, "--http-put-response-hop-limit 1 --instance-id i-1"),
        ({"metadata_hops": 64}, "over 64 hops"),
        ({"key_pair": "k"}, "SSH"),
        ({"security_groups": ["default"]}, "default"),
        ({"volumes": [VOLUME | {"size": 8}]}, "modify-volume --volume-id vol-1 --size 200`"),
        ({"volumes": [VOLUME | {"throughput": 125}]}, "modify-volume --volume-id vol-1 --size 200 --throughput 500`"),
        ({"volumes": [VOLUME | {"encrypted": False}]}, "not encrypted"),
        ({"volumes": [VOLUME | {"volume_type": "gp2"}]}, "gp2"),
    ],
)
def test_each_difference_is_reported(change: dict[str, Any], word: str) -> None:
    (difference,) = instance_differences(INSTANCE | change, EXPECTED)
    assert word in difference


@pytest.mark.parametrize(
    ("change", "growth"),
    [
        ({}, {}),
        ({"size": 80}, {"size": 200}),
        ({"size": 300, "throughput": 1000, "iops": 16000}, {}),
        ({"size": 300, "throughput": 125}, {"size": 300, "throughput": 500}),
        ({"size": 80, "iops": 300}, {"size": 200, "iops": 3000}),
        ({"size": 80, "throughput": None, "iops": None}, {"size": 200}),
        ({"size": 80, "volume_type": "gp2", "throughput": None, "iops": 240}, {"size": 200}),
        ({"size": 80, "volume_type": "io2", "throughput": None, "iops": 100}, {"size": 200, "iops": 100}),
        ({"size": 80, "root": False}, {}),
    ],
)
def test_a_volume_grows_and_never_shrinks(change: dict[str, Any], growth: dict[str, Any]) -> None:
    # Its type is always told, and always its own.
    own = {"id": "vol-1", "zone": "us-east-1a", "volume_type": change.get("volume_type", "gp3")}
    expected = own | growth if growth else {}
    assert volume_growth(INSTANCE | {"volumes": [VOLUME | change]}, EXPECTED) == expected


def test_the_root_volume_counts_and_not_the_largest() -> None:
    data = VOLUME | {"id": "vol-2", "size": 900, "root": False}
    grown = volume_growth(INSTANCE | {"volumes": [data, VOLUME | {"size": 80}]}, EXPECTED)
    assert (grown["id"], grown["size"]) == ("vol-1", 200)


def test_what_provisioning_enlarges_itself_is_no_difference() -> None:
    assert instance_differences(INSTANCE | {"ours": True, "volumes": [VOLUME | {"size": 80}]}, EXPECTED) == []


def test_what_is_billed_of_several_volumes_is_that_of_all_instances_and_of_those_to_come() -> None:
    def instance(size: int, throughput: int | None, *, ours: bool = True) -> dict[str, Any]:
        root = {"id": "vol-1", "zone": "a", "size": size, "volume_type": "gp3", "throughput": throughput, "iops": 3000}
        return {"ours": ours, "volumes": [root | {"root": True}, root | {"id": "vol-2", "size": 10, "root": False}]}

    expected = {"volume_gib": 200, "throughput": 500, "iops": 3000}
    assert disks_to_pay([], expected, 1) == {"gib": 200, "throughput": 500, "extra_throughput": 375}
    # One of ours grows to what is expected, another's stays as it is.
    disks = disks_to_pay([instance(80, 125), instance(80, 125, ours=False), instance(300, None)], expected, 2)
    assert disks == {"gib": 210 + 90 + 310 + 400, "throughput": 500, "extra_throughput": 3 * 375}
    assert disks_to_pay([instance(80, None, ours=False)], expected, 0) == {
        "gib": 90,
        "throughput": 0,
        "extra_throughput": 0,
    }


def test_several_instances_are_fine_where_provisioning_made_all_of_them() -> None:
    def problems(ours: str, wanted: int, instance_id: str = "") -> list[str]:
        instances = [
            {"id": f"i-{number}", "ours": mark == "o", "tags": {"AdoptedBy": "x"}, "profile": ""}
            for number, mark in enumerate(ours)
        ]
        return instance_problems(instances, instance_id, "app", "role", replace_profile=False, wanted=wanted)

    assert [problems("ooo", wanted) for wanted in (1, 2, 5)] == [[], [], []]
    assert "provision.yml did not make i-1" in problems("oto", 3)[0]
    assert "an adopted instance serves alone" in problems("t", 2)[0]
    assert "a whole number from 1" in problems("", 0)[0]
