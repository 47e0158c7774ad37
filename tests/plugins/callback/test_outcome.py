"""The last lines of a run: the cause of a failure, or what serves."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.callback.outcome import cause, described, message

LOCK = "deployment_lock"


def test_the_last_failure_is_the_cause_because_a_rescue_names_the_first() -> None:
    assert cause([("model_store", "no such model"), ("rollback", "It failed: no such model.")]) == (
        "It failed: no such model."
    )


def test_a_lock_that_could_not_be_released_does_not_hide_the_cause() -> None:
    assert cause([("rollback", "It failed."), (LOCK, "S3 is away.")]) == "It failed.\nS3 is away."


def test_a_refused_lock_is_the_cause_once() -> None:
    refusal = "Another deployment is under way."
    assert cause([(LOCK, refusal), ("", refusal)]) == refusal


def test_a_run_that_failed_without_a_failed_task_says_so() -> None:
    assert cause([]) == "no task reported why"


def test_of_a_loop_each_failed_round_is_reported() -> None:
    rounds = [{"failed": True, "msg": "first"}, {"msg": "well"}, {"failed": True, "msg": "third"}]
    assert message({"msg": "One or more items failed", "results": rounds}) == "first\nthird"
    assert message({"censored": "hidden"}) == "no reason given"


def test_a_failure_ends_with_its_cause() -> None:
    lines = described({"playbook": "deploy.yml", "result": "failed", "seconds": 87, "cause": "a\nb"}).splitlines()
    assert lines == ["deploy.yml failed after 87 s:", "a", "b"]


def test_a_good_deployment_ends_with_what_serves() -> None:
    outcome = {
        "playbook": "deploy.yml",
        "result": "succeeded",
        "seconds": 30,
        "changed": 4,
        "serves": "20260101T000000Z",
        "images": {"gateway": {"repository": "slm-gateway", "tag": "v2", "digest": "sha256:abc"}},
        "address": "http://203.0.113.7:8080",
        "open_to": ["198.51.100.0/24", "sg-1"],
        "address_unseen": "",
    }
    assert described(outcome).splitlines() == [
        "deploy.yml succeeded in 30 s, changed=4",
        "release   20260101T000000Z, verified",
        "gateway   slm-gateway:v2 sha256:abc",
        "address   http://203.0.113.7:8080, open to 198.51.100.0/24, sg-1",
    ]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"open_to": []}, "none, the port is closed; ansible-playbook playbooks/connect.yml opens a way in"),
        ({"open_to": ["2001:db8::/32"]}, "none that 2001:db8::/32 could call; ansible-playbook playbooks/connect.yml"),
        ({"address_unseen": "not allowed"}, "whether the port is open cannot be seen: not allowed"),
    ],
)
def test_without_an_address_the_way_in_is_told(found: dict[str, Any], words: str) -> None:
    base = {"playbook": "start.yml", "result": "succeeded", "seconds": 1, "changed": 0, "address": ""}
    last = described(base | found).splitlines()[-1]
    assert last.startswith("address   ")
    assert words in last


@pytest.mark.parametrize(
    ("golden", "words"),
    [
        ({"right": 14, "total": 14, "needed": 14, "wrong": []}, "verified (14 of 14 golden values right)"),
        ({"right": 12, "total": 14, "needed": 10, "wrong": ["x"]}, "12 of 14 golden values right, 10 were needed)"),
        ({"right": 0, "total": 0, "needed": 0, "wrong": []}, "verified"),
    ],
)
def test_what_serves_is_told_with_how_many_golden_values_are_right(golden: dict[str, object], words: str) -> None:
    outcome = {"playbook": "deploy.yml", "result": "succeeded", "seconds": 1, "changed": 0, "serves": "A"}
    assert described({**outcome, "golden": golden}).endswith(words)


FLEET = {"playbook": "deploy.yml", "result": "failed", "seconds": 1, "cause": "It failed."}


def test_of_several_instances_each_is_named_with_its_release_and_how_to_go_on_or_back() -> None:
    lines = described({**FLEET, "instances": {"i-1": "B", "i-2": "A", "i-3": "", "i-4": "B"}}).splitlines()
    assert lines[2:6] == [
        f"instance  {said}" for said in ("i-1 serves B", "i-2 serves A", "i-3 serves nothing", "i-4 serves B")
    ]
    assert "Go on: ansible-playbook playbooks/deploy.yml;" in lines[6]
    assert lines[6].endswith("playbooks/rollback.yml --limit i-1,i-4 -e rollback_to=A")


@pytest.mark.parametrize("serve", [{"i-1": "A", "i-2": "A"}, {"i-1": "A", "i-2": ""}, {}])
def test_where_no_releases_differ_nothing_is_advised(serve: dict[str, str]) -> None:
    assert "differ" not in described({**FLEET, "instances": serve})


def test_clients_of_several_instances_are_told_the_load_balancers_address() -> None:
    outcome = {"playbook": "start.yml", "result": "succeeded", "seconds": 1, "changed": 0, "address": "http://1.2.3.4"}
    last = described({**outcome, "load_balancer": "https://balancer.example"}).splitlines()[-1]
    assert last == "address   https://balancer.example"


def test_check_mode_says_that_nothing_was_changed() -> None:
    outcome = {"playbook": "deploy.yml", "result": "succeeded", "seconds": 30, "changed": 4, "check": True}
    assert described(outcome) == "deploy.yml succeeded in 30 s in check mode, so nothing was changed, changed=4"
