"""Alarms of CloudWatch, each set off on purpose: a fault, what the instance sends of it, and the alarm's own terms.

The script is the role's and sends to the region's CloudWatch; whether the alarm goes off is computed from what is
there, as no emulator does. Where the fault is the host's, a GPU's or AWS's own, or the agent reads it, the region has
none, and tests/plugins/filter/test_cloudwatch.py has the readings.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.filter.cloudwatch import cloudwatch_alarms

from tests.drills.test_instance import instance_id
from tests.local_region import names
from tests.local_region.region import LocalRegion
from tests.support.alarms import Readings, evaluated
from tests.support.gateway_client import golden_note, is_serving, request
from tests.support.rendering import value
from tests.support.role_variables import ROLES

# Some minutes, and the same faults as other drills.
pytestmark = [pytest.mark.region, pytest.mark.nightly]

GATEWAY, ENGINE = "slm-ft-serving-gateway-1", "slm-ft-serving-engine-1"
EDGE_PORT = 9443
BACK_SECONDS = 60
# Above one reading of what EC2 tells of an instance that runs.
RUNNING = {"CPUUtilization": 20.0, "StatusCheckFailed": 0.0}
CERTIFICATE = f"""
set -eu
cd /run
openssl req -x509 -newkey rsa:2048 -nodes -days 13 -subj /CN=localhost -keyout edge.key -out edge.pem 2>/dev/null
serve="openssl s_server -quiet -accept {EDGE_PORT}"
systemd-run --quiet --unit stand-in-edge $serve -key /run/edge.key -cert /run/edge.pem
sleep 1
"""


class Watch:
    """The role's script on the instance, and the alarms on what it sends."""

    def __init__(self, region: LocalRegion, accelerator: str = "cpu", edge_mode: str = "off") -> None:
        """Put script and configuration on the instance, and have it look once: counters are compared with that.

        Args:
            region: Where a release serves.
            accelerator: As the role's variable.
            edge_mode: The same.
        """
        self.region = region
        self.instance: dict[str, Any] = {
            "application": names.APPLICATION,
            "instance_ids": [instance_id(region)],
            "accelerator": accelerator,
            "edge_mode": edge_mode,
            "topic": "arn:aws:sns:us-east-1:123456789012:slm-ft-serving-alarms",
            "no_traffic_hours": 6,
            "balancer": {},
        }
        given = {"cloudwatch_mode": "on", "cloudwatch_region": names.AWS_REGION, "cloudwatch_edge_port": EDGE_PORT}
        given |= {"cloudwatch_accelerator": accelerator, "cloudwatch_edge_mode": edge_mode}
        given |= {"cloudwatch_edge_domain": "localhost"}
        settings = json.dumps(value("cloudwatch", "_cloudwatch_settings", given))
        for path, text in (
            ("send-metrics", (ROLES / "cloudwatch/files/send_metrics.py").read_text(encoding="utf-8")),
            ("send-metrics.json", settings),
        ):
            region.exec(f"base64 --decode > /run/{path} <<END\n{base64.b64encode(text.encode()).decode()}\nEND")
        region.exec("rm -f /run/send-metrics.state")
        self._send()

    def _send(self) -> None:
        self.region.exec(
            ". /etc/environment; export AWS_ENDPOINT_URL AWS_EC2_METADATA_SERVICE_ENDPOINT AWS_DEFAULT_REGION\n"
            "python3 /run/send-metrics --configuration /run/send-metrics.json --state /run/send-metrics.state"
        )

    def going_off(self) -> set[str]:
        """Return the alarms that go off where each of their periods is as the time since the last look."""
        # The script's times are whole seconds.
        time.sleep(1.1)
        begin = dt.datetime.now(dt.UTC).replace(microsecond=0)
        self._send()
        return self.evaluated(self._sent(begin))

    def evaluated(self, sent: Readings) -> set[str]:
        """Return the alarms that go off for what was sent, of an instance that runs."""
        senders = {self.instance["instance_ids"][0]: {**RUNNING, **sent}}
        alarms = [each for each in cloudwatch_alarms(self.instance) if evaluated(each, senders)]
        return {each["AlarmName"].removeprefix(f"{names.APPLICATION}-") for each in alarms}

    def _sent(self, begin: dt.datetime) -> dict[str, float]:
        """Return what CloudWatch has of each metric since a time."""
        client = self.region.client("cloudwatch")
        span: dict[str, Any] = {"StartTime": begin, "EndTime": begin + dt.timedelta(hours=1), "Period": 3600}
        found = {}
        for metric in client.list_metrics(Namespace=names.APPLICATION)["Metrics"]:
            asked = {"Namespace": names.APPLICATION, "MetricName": metric["MetricName"], **span}
            points = client.get_metric_statistics(**asked, Statistics=["Average"])["Datapoints"]
            if points:
                found[metric["MetricName"]] = float(points[0]["Average"])
        return found


def extract(region: LocalRegion) -> int:
    """Have the golden note extracted; return the status, 0 where nothing answers."""
    with suppress(OSError):
        return request(region, "/api/v1/extract", {"text": golden_note()["text"]})[0]
    return 0


@pytest.fixture
def mended(region: LocalRegion) -> Iterator[LocalRegion]:
    """Return the region, whose containers run again afterwards."""
    yield region
    for container in (ENGINE, GATEWAY):
        region.exec(f"docker unpause {container} 2>/dev/null; docker start {container}", check=False)
    region.exec("systemctl stop stand-in-edge.service", check=False)
    # Else the next test begins with a deployment.
    deadline = time.monotonic() + BACK_SECONDS
    while not is_serving(region) and time.monotonic() < deadline:
        time.sleep(1)


def test_an_instance_that_is_used_and_well_sets_off_none(mended: LocalRegion) -> None:
    watch = Watch(mended)
    assert extract(mended) == 200
    assert watch.going_off() == set()


def test_without_a_request_there_is_no_traffic(mended: LocalRegion) -> None:
    assert Watch(mended).going_off() == {"NoTraffic"}


def test_a_gateway_that_is_stopped_is_down(mended: LocalRegion) -> None:
    watch = Watch(mended)
    mended.exec(f"docker stop {GATEWAY}", timeout=90)
    assert "GatewayDown" in watch.going_off()


def test_an_instance_that_sends_nothing_is_missed(mended: LocalRegion) -> None:
    assert "MetricsMissing" in Watch(mended).evaluated({})


def test_an_engine_that_is_stopped_is_unavailable(mended: LocalRegion) -> None:
    watch = Watch(mended)
    mended.exec(f"docker stop {ENGINE}", timeout=90)
    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(lambda _: extract(mended), range(8)))
    assert statuses == {503}
    assert "EngineUnavailable" in watch.going_off()


def test_an_instance_without_the_gpu_that_it_should_have_misses_it(mended: LocalRegion) -> None:
    assert "GpuMissing" in Watch(mended, accelerator="gpu").going_off()


def test_a_certificate_of_thirteen_days_ends(mended: LocalRegion) -> None:
    mended.exec(CERTIFICATE)
    assert "CertificateEnds" in Watch(mended, edge_mode="certificate").going_off()
