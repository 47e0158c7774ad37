"""A deployment with an edge: TLS for clients, and releases that they do not notice."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.local_region import names
from tests.local_region.region import LocalRegion
from tests.support.gateway_client import golden_note
from tests.support.release_kinds import EDGE, ENGINE, GATEWAY, release
from tests.support.runner import run_playbook

# However long a slow machine takes to make an engine anew, requests are held for it.
PATIENT = {
    "inference_stack_edge_patience": 240,
    # More than the gateway waits for a body: preflight insists.
    "inference_stack_edge_body_timeout": 315,
    "inference_stack_engine_patience": 240,
    "inference_stack_gateway_environment": {"GATEWAY_REQUEST_TIMEOUT": "300", "GATEWAY_QUEUE_TIMEOUT": "300"},
}
DEPLOYED = {**EDGE, **PATIENT}

pytestmark = [pytest.mark.region, pytest.mark.nightly]


@pytest.fixture(scope="module")
def region() -> Iterator[LocalRegion]:
    with LocalRegion(
        names.of_this_copy("edge"), engine="stand-in", pushed=("engine", "gateway", "edge")
    ).fresh() as region:
        run_playbook(region, "deploy", "-e", json.dumps(DEPLOYED)).must_succeed()
        yield region


def call(region: LocalRegion, path: str, body: object = None, *, is_trusted: bool = True) -> tuple[int, bytes]:
    """Call the edge with its certificate checked, against the region's authority or against the machine's own."""
    authority = region.state.certificates / "ca.crt"
    context = ssl.create_default_context(cafile=str(authority)) if is_trusted else ssl.create_default_context()
    key = region.state.gateway_api_key.read_text(encoding="ascii").strip()
    request = urllib.request.Request(
        f"https://localhost:{region.ports.gateway}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "X-API-Key": key},
    )
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_note_is_answered_over_tls(region: LocalRegion) -> None:
    note = golden_note()
    status, body = call(region, "/api/v1/extract", {"text": note["text"]})
    assert status == 200
    answer = json.loads(body)
    assert {field: answer[field] for field in note["expected"]} == note["expected"]


def test_the_certificate_is_of_the_regions_authority_alone(region: LocalRegion) -> None:
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        call(region, "/health", is_trusted=False)


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/metrics", 404), ("/docs", 404)])
def test_only_what_clients_need_is_open(region: LocalRegion, path: str, status: int) -> None:
    assert call(region, path)[0] == status


def test_clients_do_not_notice_releases(region: LocalRegion) -> None:
    variables = dict(DEPLOYED)
    for kind in (GATEWAY, ENGINE):
        variables |= kind.variables
        seen = release(region, variables, has_edge=True)
        assert seen.sent > 10
        assert (seen.failed, seen.refused) == (0, 0), kind.name
