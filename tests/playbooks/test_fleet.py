"""Three instances behind a load balancer: a roll loses no request, a failure ends it, and two serve for three."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.local_region import names
from tests.local_region.region import LocalRegion
from tests.support.gateway_client import golden_note, request
from tests.support.prober import Prober
from tests.support.runner import run_playbook

pytestmark = [pytest.mark.region, pytest.mark.nightly]

INSTANCES = 3
RELEASE = "basename $(readlink /opt/slm-ft-serving/current)"
EXTRACT = "/api/v1/extract"
# What a client tries again: no byte of an answer had come.
NOTHING_CAME = {0, 502, 503, 504}
CLIENTS = 4
REQUESTS = 80


@pytest.fixture(scope="module")
def fleet() -> Iterator[LocalRegion]:
    """Make a region of three instances with a release that serves on all of them."""
    with LocalRegion(names.of_this_copy("fleet"), engine="stand-in", instances=INSTANCES).fresh() as region:
        run_playbook(region, "deploy", "-e", setting("31")).must_succeed()
        yield region


def setting(queue: str, **more: object) -> str:
    """Return an argument of -e with a setting of the gateway's, by which a release is another one."""
    return json.dumps({"inference_stack_gateway_environment": {"GATEWAY_MAX_QUEUE": queue}, **more})


def releases(region: LocalRegion) -> dict[str, str]:
    """Return what each instance serves, by its id in the order of the inventory."""
    found = {
        name: region.exec(RELEASE, number=number).stdout.strip()
        for number, name in enumerate(region.instance_ids(), start=1)
    }
    return dict(sorted(found.items()))


def healthy(region: LocalRegion) -> set[str]:
    """Return the instances that the load balancer sends requests to."""
    elbv2 = region.client("elbv2")
    group = elbv2.describe_target_groups()["TargetGroups"][0]["TargetGroupArn"]
    targets = elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return {each["Target"]["Id"] for each in targets if each["TargetHealth"]["State"] == "healthy"}


def becomes_healthy(region: LocalRegion, instances: set[str]) -> bool:
    """Return whether the load balancer sends requests to all of some instances again, within a generous time."""
    deadline = time.monotonic() + 180
    while healthy(region) != instances:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def is_locked(region: LocalRegion) -> bool:
    """Return whether a playbook's lock is left."""
    return bool(region.client("s3").list_objects_v2(Bucket=names.TRANSFER_BUCKET, Prefix="lock/").get("Contents"))


def test_a_release_rolls_over_all_of_them_and_no_request_fails(fleet: LocalRegion) -> None:
    before = releases(fleet)
    note = {"text": golden_note()["text"]}
    with Prober(fleet, EXTRACT, note, address=fleet.load_balancer_url, clients=CLIENTS) as load:
        run = run_playbook(fleet, "deploy", "-e", setting("32")).must_succeed()
    after = releases(fleet)
    assert {probe.status for probe in load.probes} == {200}
    assert len(set(after.values())) == 1
    assert set(after.values()) != set(before.values())
    assert healthy(fleet) == set(after)
    assert all(f"{name} serves {release}" in run.output for name, release in after.items())
    assert not is_locked(fleet)


def test_an_adapter_rolls_over_all_of_them_and_no_request_fails(fleet: LocalRegion) -> None:
    before = releases(fleet)
    s3 = fleet.client("s3")
    for each in s3.list_objects_v2(Bucket=names.MODELS_BUCKET, Prefix="small/adapter/")["Contents"]:
        key = each["Key"].replace("small/adapter/", "small/another-adapter/")
        s3.copy_object(
            Bucket=names.MODELS_BUCKET, Key=key, CopySource={"Bucket": names.MODELS_BUCKET, "Key": each["Key"]}
        )
    fleet.account().put_parameters(
        {"model/adapter": f"s3://{names.MODELS_BUCKET}/small/another-adapter"}, overwrite=True
    )
    note = {"text": golden_note()["text"]}
    with Prober(fleet, EXTRACT, note, address=fleet.load_balancer_url, clients=CLIENTS) as load:
        run_playbook(fleet, "deploy", "-e", setting("32")).must_succeed()
    after = releases(fleet)
    assert {probe.status for probe in load.probes} == {200}
    assert len(set(after.values())) == 1
    assert set(after.values()) != set(before.values())
    assert healthy(fleet) == set(after)


def test_a_failure_ends_the_roll_and_the_others_are_left(fleet: LocalRegion) -> None:
    before = releases(fleet)
    first, second, third = before
    wrong = "{{ 'wrong' if inventory_hostname == '" + second + "' else '' }}"
    with Prober(fleet, EXTRACT, {"text": golden_note()["text"]}, address=fleet.load_balancer_url) as load:
        run = run_playbook(
            fleet, "deploy", "-e", setting("33", inference_stack_engine_options={"stand-in": wrong})
        ).must_fail_naming("is back and verified")
    after = releases(fleet)
    assert after[first] != before[first]
    assert (after[second], after[third]) == (before[second], before[third])
    assert healthy(fleet) == set(after)
    assert {probe.status for probe in load.probes} == {200}
    assert f"--limit {first} -e rollback_to={before[first]}" in run.output.rpartition("Releases differ.")[2]
    assert not is_locked(fleet)

    back = ("--limit", first, "-e", f"rollback_to={before[first]}")
    run_playbook(fleet, "rollback", *back).must_succeed()
    assert releases(fleet) == before


def test_one_that_is_killed_under_load_costs_no_more_than_a_second_try(fleet: LocalRegion) -> None:
    """What was accepted is answered: by another instance, where nothing of an answer had come."""
    every = set(releases(fleet))
    # Of the process, as a crash is: what `docker kill` ends, Docker does not start again.
    container = "$(docker ps --quiet --filter label=com.docker.compose.service=gateway)"
    kill = f"kill -KILL $(docker inspect --format '{{{{.State.Pid}}}}' {container})"
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = [clients.submit(answered, fleet) for _ in range(REQUESTS)]
        next(answer for answer in answers if answer.result() == 200)
        fleet.exec(kill, number=2)
    assert {answer.result() for answer in answers} == {200}
    assert becomes_healthy(fleet, every)


def answered(region: LocalRegion) -> int:
    """Return the status of an extraction, which is tried again for as long as nothing comes."""
    body, status = {"text": golden_note()["text"]}, 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            status, _ = request(region, EXTRACT, body, address=region.load_balancer_url)
        if status not in NOTHING_CAME:
            return status
        time.sleep(0.1)
    return status


def test_one_can_be_stopped_and_started_by_itself(fleet: LocalRegion) -> None:
    every = releases(fleet)
    one = list(every)[-1]
    with Prober(fleet, EXTRACT, {"text": golden_note()["text"]}, address=fleet.load_balancer_url) as load:
        run_playbook(fleet, "stop", "--limit", one).must_succeed()
        states = {name: fleet.instance_state(number) for number, name in enumerate(fleet.instance_ids(), start=1)}
        assert [name for name, state in states.items() if state != "running"] == [one]
        run_playbook(fleet, "start", "--limit", one).must_succeed()
    assert {probe.status for probe in load.probes} == {200}
    assert becomes_healthy(fleet, set(every))
