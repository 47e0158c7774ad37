"""An instance that nobody uses: it stops itself, requests keep it on, and a client's calls bring it back."""

from __future__ import annotations

import http
import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.drills.test_instance import instance_id
from tests.local_region.region import LocalRegion
from tests.support import waker
from tests.support.gateway_client import golden_note, request
from tests.support.runner import run_playbook

# Three deployments, a stop and a start.
pytestmark = [pytest.mark.region, pytest.mark.nightly]

IDLE_SECONDS = 15
SETTING = "/slm-ft-serving/instance/idle-minutes"
CALLS = 12
PATIENCE = 240
# The role's own script, which looks more often and waits shorter. All of it is gone with the next boot.
QUICK = f"""
set -eu
units=/run/systemd/system
jq '.minutes = {IDLE_SECONDS} / 60' /opt/slm-ft-serving/shared/idle-stop.json > /run/quick-idle-stop.json
mkdir -p $units/slm-ft-serving-idle-stop.service.d $units/slm-ft-serving-idle-stop.timer.d
cat > $units/slm-ft-serving-idle-stop.service.d/quick.conf <<END
[Service]
ExecStart=
ExecStart=/opt/slm-ft-serving/shared/bin/idle-stop --configuration /run/quick-idle-stop.json
END
cat > $units/slm-ft-serving-idle-stop.timer.d/quick.conf <<END
[Timer]
OnBootSec=
OnActiveSec=1s
OnUnitInactiveSec=2s
AccuracySec=100ms
END
systemctl daemon-reload
rm -f /run/slm-ft-serving/idle-stop.json
systemctl restart slm-ft-serving-idle-stop.timer
"""


@pytest.fixture
def watched(region: LocalRegion) -> Iterator[LocalRegion]:
    """Return the region with an instance that stops itself, by the setting; afterwards it does not any more."""
    parameters = region.client("ssm")
    parameters.put_parameter(Name=SETTING, Value="5", Type="String", Overwrite=True)
    run_playbook(region, "deploy").must_succeed()
    yield region
    region.repair()
    parameters.put_parameter(Name=SETTING, Value="0", Type="String", Overwrite=True)
    run_playbook(region, "deploy").must_succeed()
    off = region.exec("/opt/slm-ft-serving/shared/bin/idle-stop --dry-run").stdout
    parameters.delete_parameter(Name=SETTING)
    assert off == "", "with 0 it looks at nothing"


def instance(region: LocalRegion) -> dict[str, Any]:
    """Return what EC2 says of the instance."""
    answer = region.client("ec2").describe_instances(InstanceIds=[instance_id(region)])
    found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
    return found


def extract(region: LocalRegion) -> None:
    """Have the gateway extract the golden note."""
    note = golden_note()
    status, answer = request(region, "/api/v1/extract", {"text": note["text"]})
    assert status == http.HTTPStatus.OK, answer
    assert {name: answer[name] for name in note["expected"]} == note["expected"]


@contextmanager
def journal(region: LocalRegion) -> Iterator[list[str]]:
    """Follow what the units of stack and timer say until the machine is off; nothing of it outlives that."""
    units = ["--unit", "slm-ft-serving.service", "--unit", "slm-ft-serving-idle-stop.service"]
    command = ["docker", "exec", region.container, "journalctl", "--follow", "--lines=0", "--output=cat", *units]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield lines
        process.terminate()
        lines += (process.stdout.read() if process.stdout else "").splitlines()


def test_an_idle_instance_stops_itself_and_a_burst_of_calls_starts_it_once(watched: LocalRegion) -> None:
    region = watched
    with journal(region) as lines:
        region.exec(QUICK)
        begin = used = time.monotonic()
        while used - begin < 2 * IDLE_SECONDS:
            extract(region)
            used = time.monotonic()
            time.sleep(IDLE_SECONDS / 5)
        assert instance(region)["State"]["Name"] == "running"
        while instance(region)["State"]["Name"] != "stopped":
            assert time.monotonic() - used < PATIENCE, region.exec("journalctl --unit slm-ft-serving-idle-stop").stdout
            time.sleep(1)
    assert time.monotonic() - used >= IDLE_SECONDS
    assert instance(region)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    decisions = [json.loads(line) for line in lines if line.startswith("{")]
    assert any(each["use"] == "requests were answered" for each in decisions)
    assert [each["stop"] for each in decisions].count(True) == 1
    # The gateway drains and stops before the machine goes down.
    assert any("Container slm-ft-serving-gateway-1" in line and "Stopped" in line for line in lines), lines

    region.client("secretsmanager").create_secret(Name=waker.SECRET, SecretString=waker.KEY)
    with waker.served(region.endpoint, region.gateway_url) as url:
        wake(region, url)
    region.client("secretsmanager").delete_secret(SecretId=waker.SECRET, ForceDeleteWithoutRecovery=True)
    extract(region)


def wake(region: LocalRegion, url: str) -> None:
    """Call the waker without a key, many times at once, and until the gateway serves."""
    assert waker.call(url, "another")[0] == http.HTTPStatus.UNAUTHORIZED
    assert instance(region)["State"]["Name"] == "stopped"
    log = region.state.api_log
    before = log.stat().st_size
    with ThreadPoolExecutor(CALLS) as pool:
        answers = list(pool.map(lambda _: waker.call(url), range(CALLS)))
    assert {(status, body["state"]) for status, body, _ in answers} == {(503, "starting")}
    deadline = time.monotonic() + PATIENCE
    while (answer := waker.call(url))[0] != http.HTTPStatus.OK:
        assert answer[1]["state"] == "starting"
        assert time.monotonic() < deadline, answer
        time.sleep(1)
    assert (answer[1]["state"], answer[1]["url"]) == ("serving", region.gateway_url)
    # As docs/operating.md has it.
    command = ["curl", "--silent", "--request", "POST", "--header", f"Authorization: Bearer {waker.KEY}", url]
    assert json.loads(subprocess.check_output(command, timeout=60))["state"] == "serving"
    assert log.read_text(encoding="utf-8", errors="replace")[before:].count("is pending") == 1
