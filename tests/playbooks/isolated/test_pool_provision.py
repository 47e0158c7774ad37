"""provision.yml where engines are pooled: the instances let each other in at one port, and share a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from tests.fakes.account import Api, forget, served
from tests.local_region import names
from tests.local_region.state import RegionState
from tests.playbooks.isolated.account_runner import play
from tests.support import pool_certificate

pytestmark = [pytest.mark.region, pytest.mark.nightly]

GROUP = "slm-ft-serving-gateway"


def rules(api: Api) -> tuple[str, list[dict[str, Any]]]:
    """Return the id of the instances' group, and whom it lets in."""
    chosen = [{"Name": "group-name", "Values": [GROUP]}]
    (group,) = api.client("ec2").describe_security_groups(Filters=chosen)["SecurityGroups"]
    return group["GroupId"], group["IpPermissions"]


def test_the_members_port_is_open_among_the_instances_as_long_as_engines_are_pooled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = RegionState("pool", root=tmp_path)
    state.prepare()
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    certificate = pool_certificate.make(tmp_path)
    secrets = {"SLM_GATEWAY_API_KEYS": f"demo:{'0' * 64}", "SLM_ENGINE_POOL_CERTIFICATE": certificate}
    with served(state, DomainDispatcherApplication(create_backend_app)) as api:
        play(api, "provision", "-e", "infrastructure_engine_pool=true", **secrets).must_succeed()
        group, (rule,) = rules(api)
        assert (rule["FromPort"], rule["ToPort"], rule["IpRanges"]) == (8444, 8444, [])
        assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [group]
        secret = api.client("secretsmanager").get_secret_value(SecretId=f"{names.APPLICATION}/engine-pool")
        assert secret["SecretString"].strip() == certificate.strip()
        name = f"/{names.APPLICATION}/secrets/engine-pool"
        assert api.client("ssm").get_parameter(Name=name)["Parameter"]["Value"] == secret["Name"]

        # The setting says so as well.
        api.client("ssm").put_parameter(Name=f"/{names.APPLICATION}/engine/pooled", Value="true", Type="String")
        again = play(api, "provision").must_succeed()
        assert group not in again.output
        assert rules(api) == (group, [rule])

        play(api, "provision", "-e", "infrastructure_engine_pool=false").must_succeed()
        assert rules(api) == (group, [])
        play(api, "teardown", "-e", f"infrastructure_confirmation={names.APPLICATION}").must_succeed()
    forget()
