"""The lock against two deployments at once, with moto's S3: who gets it, who is refused, who may take it over."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from ansible_collections.slm.serving.plugins.modules import deployment_lock as lock_module
from moto.server import ThreadedMotoServer

from tests.plugins.run import run_module
from tests.support.role_variables import defaults

BUCKET, KEY = "transfer", "lock/deployment.json"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """URL of an S3 of this module's own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def client(endpoint: str) -> Any:
    """Return a client of that S3, with the transfer bucket."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket=BUCKET)
    return client


@pytest.fixture
def s3(client: Any) -> Iterator[Any]:
    """Return the client; the bucket is empty."""
    yield client
    client.delete_object(Bucket=BUCKET, Key=KEY)


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that lives, as the ansible-playbook of another deployment does."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


CALLER = "arn:aws:iam::123456789012:user/someone"
OPTIONS = {
    "bucket": BUCKET,
    "key": KEY,
    "playbook": "deploy.yml",
    "caller": CALLER,
    "lifetime": 21600,
    "lifetime_limit": 604800,
    "force": False,
    "pid": 0,
}


def take(s3: Any, **options: Any) -> str:
    """Take the lock; return the note."""
    note: str = lock_module.Lock(s3, OPTIONS | options).take()[0]
    return note


def release(s3: Any) -> str:
    """Release the lock; return the note."""
    note: str = lock_module.Lock(s3, OPTIONS).release()[0]
    return note


def refusal(s3: Any, **options: Any) -> str:
    """Try to take the lock; return why it is refused."""
    with pytest.raises(lock_module.LockError) as raised:
        take(s3, **options)
    return str(raised.value)


def run(endpoint: str, state: str = "taken", **options: Any) -> dict[str, Any]:
    """Run the module; return what it answers."""
    access = {"region": "us-east-1", "endpoint_url": endpoint, "access_key": "test", "secret_key": "test"}
    return run_module("deployment_lock", OPTIONS | access | {"state": state} | options)


def holder(s3: Any) -> dict[str, Any]:
    """Return what the lock says."""
    content: dict[str, Any] = json.loads(s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read())
    return content


def rewrite(s3: Any, **changes: Any) -> None:
    """Change what the lock says."""
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=json.dumps(holder(s3) | changes).encode())


def is_free(s3: Any) -> bool:
    """Say whether nobody holds the lock."""
    return "Contents" not in s3.list_objects_v2(Bucket=BUCKET)


def test_taken_and_released_by_the_module(endpoint: str, s3: Any) -> None:
    taken = run(endpoint)
    assert (taken["changed"], taken["note"]) == (False, "")
    assert holder(s3)["caller"] == CALLER
    assert run(endpoint, "released")["note"] == ""
    assert is_free(s3)


def test_releasing_a_free_lock_is_no_error(s3: Any) -> None:
    assert release(s3) == ""


def test_second_deployment_is_refused_and_the_holder_is_named(s3: Any, other: subprocess.Popen[bytes]) -> None:
    take(s3, playbook="finetune.yml", pid=other.pid)
    message = refusal(s3)
    for word in ("finetune.yml", "user/someone", f"process {other.pid}", "expires at", "deployment_lock_break=true"):
        assert word in message
    assert holder(s3)["pid"] == other.pid


def test_of_many_concurrent_deployments_one_gets_the_lock(s3: Any) -> None:
    """Each has looked and found the lock free before any of them writes."""
    sleepers = [subprocess.Popen(["sleep", "600"]) for _ in range(4)]
    try:
        locks = [lock_module.Lock(s3, OPTIONS | {"pid": each.pid}) for each in sleepers]
        assert [lock.read() for lock in locks] == [None] * len(locks)
        with ThreadPoolExecutor(len(locks)) as pool:
            written = list(pool.map(lambda lock: lock._write(IfNoneMatch="*"), locks))
    finally:
        for each in sleepers:
            each.kill()
            each.wait()
    assert written.count(True) == 1


def test_playbook_that_holds_the_lock_takes_it_again(s3: Any) -> None:
    take(s3)
    rewrite(s3, lifetime=0)
    assert take(s3) == ""
    assert holder(s3)["lifetime"] > 0


def test_lock_of_a_dead_process_on_this_machine_is_taken_over(s3: Any, other: subprocess.Popen[bytes]) -> None:
    take(s3, pid=other.pid)
    other.kill()
    other.wait()
    assert f"process {other.pid} no longer runs on this machine" in take(s3)
    assert holder(s3)["pid"] != other.pid


def test_process_with_a_reused_number_is_not_the_holder(s3: Any, other: subprocess.Popen[bytes]) -> None:
    take(s3, pid=other.pid)
    rewrite(s3, started="1")
    assert "no longer runs" in take(s3)


def test_lock_from_before_a_reboot_is_taken_over(s3: Any, other: subprocess.Popen[bytes]) -> None:
    take(s3, pid=other.pid)
    rewrite(s3, boot="another")
    assert "was rebooted since" in take(s3)


@pytest.mark.parametrize("where", ["host", "machine", "processes"])
def test_process_of_another_machine_is_not_taken_for_dead(s3: Any, where: str) -> None:
    take(s3)
    rewrite(s3, **{where: "elsewhere"}, pid=1, started="never")
    assert "Another deployment is under way" in refusal(s3)


def test_expired_lock_is_taken_over(s3: Any) -> None:
    take(s3)
    rewrite(s3, host="elsewhere", lifetime=0)
    assert "had expired" in take(s3)


def test_lock_is_broken_by_force(s3: Any) -> None:
    take(s3)
    rewrite(s3, host="elsewhere")
    note = take(s3, force=True)
    assert "broken by deployment_lock_break" in note
    assert "elsewhere" in note


def test_unreadable_lock_says_how_to_break_it(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"not JSON")
    message = refusal(s3)
    assert "cannot be read" in message
    assert "deployment_lock_break=true" in message


@pytest.mark.parametrize(
    ("lifetime", "seconds"),
    [
        ("1e30", 604800),
        ("Infinity", 604800),
        ("315360000", 604800),
        ("1" + "0" * 400, 604800),
        ("NaN", 21600),
        ("-Infinity", 21600),
        ("-5", 21600),
        ('"600"', 21600),
        ("true", 21600),
        ("null", 21600),
        ("[]", 21600),
        ("{}", 21600),
        ("1800.9", 1800),
    ],
)
def test_lifetime_that_cannot_be_right_is_not_believed(s3: Any, lifetime: str, seconds: int) -> None:
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=f'{{"host": "elsewhere", "lifetime": {lifetime}}}'.encode())
    lock = lock_module.Lock(s3, OPTIONS).read()
    assert lock is not None
    _, _, since, until = lock
    assert (until - since).total_seconds() == seconds
    assert "Another deployment is under way" in refusal(s3)


def test_long_training_of_another_is_believed(s3: Any) -> None:
    """Its lifetime is longer than that of the playbook which looks."""
    take(s3)
    rewrite(s3, host="elsewhere", lifetime=64800)
    lock = lock_module.Lock(s3, OPTIONS).read()
    assert lock is not None
    assert (lock[3] - lock[2]).total_seconds() == 64800


HOSTILE = [
    b"",
    b"not JSON",
    b"null",
    b"[]",
    b"3",
    b"\xff\xfe",
    b"[" * 5000,
    b'{"lifetime": 1e30, "pid": "abc"}',
    b'{"host": {"a": 1}, "caller": 3, "playbook": null, "lifetime": NaN}',
    b'{"host": "\\u001b[2J\\nfree", "lifetime": Infinity}',
    b'{"pid": ' + b"9" * 400 + b"}",
]


@pytest.mark.parametrize("body", HOSTILE)
def test_lock_of_any_content_is_refused_in_words_broken_by_force_and_told(s3: Any, body: bytes) -> None:
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=body)
    message = refusal(s3)
    assert "Another deployment is under way" in message
    assert message.isprintable()
    assert "The deployment lock is held by" in lock_module.Lock(s3, OPTIONS).check()[0]
    assert "it was left alone" in release(s3)
    assert "broken by deployment_lock_break" in take(s3, force=True)
    assert holder(s3)["caller"] == CALLER


@pytest.mark.parametrize("pid", ["abc", -1, 0, True, 1.5, None, 10**30, [1]])
def test_holder_on_this_machine_without_a_process_may_be_alive(s3: Any, pid: Any) -> None:
    take(s3)
    rewrite(s3, pid=pid)
    assert "process unknown" in refusal(s3)


def test_holder_that_had_ended_when_it_was_written_is_dead(s3: Any, other: subprocess.Popen[bytes]) -> None:
    take(s3, pid=other.pid)
    other.kill()
    other.wait()
    rewrite(s3, started="")
    assert "no longer runs" in take(s3)


def test_two_processes_of_one_parent_are_two_holders(s3: Any, other: subprocess.Popen[bytes]) -> None:
    """As two playbooks that one script runs side by side."""
    second = subprocess.Popen(["sleep", "600"])
    try:
        take(s3, pid=other.pid)
        assert f"process {other.pid}" in refusal(s3, pid=second.pid)
    finally:
        second.kill()
        second.wait()


def test_dead_holder_is_told_with_what_the_next_playbook_does(
    endpoint: str, s3: Any, other: subprocess.Popen[bytes]
) -> None:
    take(s3, pid=other.pid)
    other.kill()
    other.wait()
    note = run(endpoint, _ansible_check_mode=True)["note"]
    assert "left over from deploy.yml" in note
    assert f"its process {other.pid} no longer runs on this machine" in note
    assert "The next playbook takes it over by itself" in note
    assert holder(s3)["pid"] == other.pid


def test_release_leaves_the_lock_of_another_alone(s3: Any) -> None:
    take(s3)
    rewrite(s3, host="elsewhere")
    assert "elsewhere" in release(s3)
    assert holder(s3)["host"] == "elsewhere"


def test_check_mode_only_reads_the_lock(endpoint: str, s3: Any, other: subprocess.Popen[bytes]) -> None:
    assert run(endpoint, _ansible_check_mode=True)["note"] == ""
    assert is_free(s3)
    take(s3, pid=other.pid)
    assert f"process {other.pid}" in run(endpoint, _ansible_check_mode=True)["note"]
    assert holder(s3)["pid"] == other.pid


def test_missing_bucket_is_reported_in_one_sentence(endpoint: str) -> None:
    answer = run(endpoint, bucket="no-such-bucket")
    assert answer["failed"] is True
    assert (
        "The transfer bucket no-such-bucket does not exist: correct the parameter s3/transfer-bucket" in answer["msg"]
    )
    assert set(answer) <= {"failed", "msg", "invocation", "boto3_version", "botocore_version", "resource_actions"}


def test_details_of_aws_are_shown_to_those_who_ask(endpoint: str) -> None:
    assert "response_metadata" in run(endpoint, bucket="no-such-bucket", _ansible_verbosity=1)


def test_lifetime_is_longer_than_all_time_limits_of_a_deployment() -> None:
    longest = (
        defaults("ec2_instance")["ec2_instance_timeout"]
        + defaults("ec2_instance")["ec2_instance_online_timeout"]
        + defaults("model_store")["model_store_timeout"]
        + 2 * defaults("images")["images_timeout"]
        + 2 * defaults("release")["release_timeout"]
        + defaults("rollback")["rollback_timeout"]
        # Two verifications, each asked again where its session is lost.
        + 2 * defaults("health_verification")["health_verification_sessions"] * 640
    )
    assert longest < defaults("deployment_lock")["deployment_lock_lifetime"]
