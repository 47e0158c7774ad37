"""Two instances with pooled engines: one without its engine answers with the other's, and a roll loses no request."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_region import names
from tests.local_region.region import LocalRegion
from tests.support import pool_certificate
from tests.support.gateway_client import golden_note
from tests.support.notes_load import NotesLoad, outcome
from tests.support.prober import Prober
from tests.support.runner import run_playbook

pytestmark = [pytest.mark.region, pytest.mark.nightly]

ENGINE = "slm-ft-serving-engine-1"
EXTRACT = "/api/v1/extract"
FILE = "/var/lib/slm-ft-serving/pool/Caddyfile"
SECRET = f"{names.APPLICATION}/engine-pool"


def addresses(region: LocalRegion) -> dict[str, str]:
    """Return where each instance is in the region's network, by its id: EC2's own answer leads nowhere here."""
    # Of its own name, and not those of Docker's bridges, which all instances have alike.
    found = {
        name: region.exec("hostname --ip-address", number=number).stdout.split()[0]
        for number, name in enumerate(region.instance_ids(), start=1)
    }
    assert len(set(found.values())) == len(found)
    return found


def variables(region: LocalRegion, **more: object) -> str:
    """Return an argument of -e with each instance's others."""
    found = addresses(region)
    others = {name: [address for other, address in found.items() if other != name] for name in found}
    return json.dumps({"engine_pool_members": f"{{{{ {json.dumps(others)}[inventory_hostname] }}}}", **more})


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegion]:
    """Make a region of two instances with pooled engines."""
    certificate = pool_certificate.make(Path(tmp_path_factory.mktemp("pool")))
    pushed = ("engine", "gateway", "edge")
    with LocalRegion(names.of_this_copy("pool"), engine="stand-in", instances=2, pushed=pushed).fresh() as region:
        region.client("ssm").put_parameter(Name="/slm-ft-serving/engine/pooled", Value="true", Type="String")
        # Before anything is touched, with what to do about it.
        run_playbook(region, "deploy").must_fail_naming("/slm-ft-serving/secrets/engine-pool", "openssl req -x509")
        region.client("secretsmanager").create_secret(Name=SECRET, SecretString=certificate)
        region.client("ssm").put_parameter(Name="/slm-ft-serving/secrets/engine-pool", Value=SECRET, Type="String")
        run_playbook(region, "deploy", "-e", variables(region)).must_succeed()
        yield region


def test_both_are_open_to_each_other_and_the_status_shows_the_router(pool: LocalRegion) -> None:
    found = addresses(pool)
    for number, name in enumerate(pool.instance_ids(), start=1):
        (other,) = (address for other, address in found.items() if other != name)
        assert f"reverse_proxy {other}:8444" in pool.exec(f"cat {FILE}", number=number).stdout
    assert "router is running (healthy)" in run_playbook(pool, "status").must_succeed().output
    run_playbook(pool, "verify").must_succeed()


def test_an_instance_that_loses_its_engine_answers_with_the_others(pool: LocalRegion) -> None:
    with NotesLoad(pool, https=False) as load:
        time.sleep(3)
        # Docker does not start again what it was told to kill.
        pool.exec(f"docker kill --signal KILL {ENGINE}", number=1)
        time.sleep(10)
    pool.exec(f"docker start {ENGINE}", number=1)
    seen = outcome(load.requests)
    assert seen.sent > 20
    assert (seen.failed, seen.refused) == (0, 0)


def test_a_roll_loses_no_request(pool: LocalRegion) -> None:
    changed = {"inference_stack_engine_max_model_len": 1024}
    with Prober(pool, EXTRACT, {"text": golden_note()["text"]}, address=pool.load_balancer_url) as load:
        run_playbook(pool, "deploy", "-e", variables(pool, **changed)).must_succeed()
    assert len(load.probes) > 20
    assert {probe.status for probe in load.probes} == {200}
