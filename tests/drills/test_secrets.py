"""Secrets that cannot be read, and one that was rotated."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.access.keys import create_key
from tests.local_region import names
from tests.local_region.region import LocalRegion
from tests.support.drill import Begin
from tests.support.gateway_client import golden_note, request
from tests.support.runner import run_playbook

pytestmark = pytest.mark.region


@pytest.fixture
def keys(region: LocalRegion) -> Iterator[str]:
    """Return the secret with the gateway's keys, as it was before the drill and is again after it."""
    manager = region.client("secretsmanager")
    value: str = manager.get_secret_value(SecretId=names.SECRET_GATEWAY_API_KEYS)["SecretString"]
    yield value
    region.up()  # Makes it anew where the drill deleted it.
    manager.put_secret_value(SecretId=names.SECRET_GATEWAY_API_KEYS, SecretString=value)


@pytest.mark.usefixtures("keys")
def test_missing_secret(region: LocalRegion, begin: Begin) -> None:
    region.client("secretsmanager").delete_secret(
        SecretId=names.SECRET_GATEWAY_API_KEYS, ForceDeleteWithoutRecovery=True
    )
    with begin("secret missing") as drill:
        drill.failed(run_playbook(region, "deploy"), names.SECRET_GATEWAY_API_KEYS, "does not exist")


@pytest.mark.nightly
def test_access_to_the_secret_denied(region: LocalRegion, begin: Begin) -> None:
    region.faults.switch_on("deny", "GetSecretValue")
    with begin("access to the secret denied") as drill:
        run = run_playbook(region, "deploy")
        drill.failed(run, names.SECRET_GATEWAY_API_KEYS, "secretsmanager:GetSecretValue")


def test_secret_rotated(region: LocalRegion, begin: Begin, keys: str) -> None:
    """Old and new key are both good for a while, as in a rotation that no client notices."""
    key, line = create_key("rotated")
    region.client("secretsmanager").put_secret_value(
        SecretId=names.SECRET_GATEWAY_API_KEYS, SecretString=f"{keys}{line}\n"
    )
    body = {"text": golden_note()["text"]}
    assert request(region, "/api/v1/extract", body, key=key)[0] == 401
    with begin("secret rotated") as drill:
        run_playbook(region, "deploy").must_succeed()
        assert request(region, "/api/v1/extract", body, key=key)[0] == 200
        drill.succeeded("deploy.yml fetches the new keys; the gateway takes them with no restart and no new release")


@pytest.mark.usefixtures("keys")
@pytest.mark.nightly
def test_secret_rotated_to_what_holds_no_key(region: LocalRegion, begin: Begin) -> None:
    region.client("secretsmanager").put_secret_value(
        SecretId=names.SECRET_GATEWAY_API_KEYS, SecretString="this is no line of a keys file\n"
    )
    with begin("secret rotated to a value that holds no key") as drill:
        drill.failed(run_playbook(region, "deploy"), names.SECRET_GATEWAY_API_KEYS)
