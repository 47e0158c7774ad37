"""provision.yml and teardown.yml with an Auto Scaling group that is to be: what they refuse, record and remove."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from tests.fakes.account import Api, forget, served
from tests.local_region import environment, names
from tests.local_region.state import RegionState
from tests.playbooks.isolated.account_runner import play
from tests.playbooks.isolated.certificates import DOMAIN, certificate
from tests.support.runner import PlaybookRun

# Three runs of provision.yml and one of teardown.yml.
pytestmark = [pytest.mark.region, pytest.mark.nightly]

KEYS = {"SLM_GATEWAY_API_KEYS": f"demo:{'0' * 64}"}
OPERATOR = {"AWS_ACCESS_KEY_ID": environment.OPERATORS_ACCESS_KEYS["operator-scaling"]}
CONFIRMED = ("-e", f"infrastructure_confirmation={names.APPLICATION}")
SHIPPED = ("-e", json.dumps({"infrastructure_parameters": {"monitoring/cloudwatch": "on"}}))
POLICY = f"{names.APPLICATION}-scaling"


@dataclass
class Life:
    """What the playbooks said, and what AWS had after each."""

    runs: dict[str, PlaybookRun] = field(default_factory=dict)
    most: dict[str, list[str]] = field(default_factory=dict)
    rights: dict[str, list[str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Take an account from empty over one that is ready for a group to removed."""
    life, state = Life(), RegionState("scaling", root=Path(tmp_path_factory.mktemp("scaling")))
    state.prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        with served(state, DomainDispatcherApplication(create_backend_app)) as api:

            def step(name: str, playbook: str, *arguments: str) -> None:
                life.runs[name] = play(api, playbook, *arguments, **KEYS, **OPERATOR)
                life.most[name], life.rights[name] = recorded(api), rights(api)

            given = (
                *("-e", "infrastructure_instances=2", "-e", f"infrastructure_certificate_arn={certificate(api)}"),
                *("-e", f"infrastructure_domain={DOMAIN}", "-e", "scaling_group_most=4"),
            )
            step("refused", "provision", *given)
            step("provisioned", "provision", *given, *SHIPPED)
            step("again", "provision")
            step("removed", "teardown", *CONFIRMED)
    forget()
    return life


def recorded(api: Api) -> list[str]:
    """Return the setting, where it is there."""
    found = api.client("ssm").get_parameters(Names=["/slm-ft-serving/autoscaling/most"])["Parameters"]
    return [each["Value"] for each in found]


def rights(api: Api) -> list[str]:
    """Return the names of the instance's policies."""
    roles = {each["RoleName"] for each in api.client("iam").list_roles()["Roles"]}
    if names.INSTANCE_ROLE not in roles:
        return []
    found: list[str] = api.client("iam").list_role_policies(RoleName=names.INSTANCE_ROLE)["PolicyNames"]
    return found


def test_a_group_without_its_signal_is_refused_before_anything_is_made(life: Life) -> None:
    life.runs["refused"].must_fail_naming("monitoring/cloudwatch")
    assert (life.most["refused"], life.rights["refused"]) == ([], [])


def test_the_number_and_the_instances_right_are_there_and_the_end_says_where_the_group_comes_from(life: Life) -> None:
    output = " ".join(life.runs["provisioned"].must_succeed().output.split())
    assert life.most["provisioned"] == ["4"]
    assert POLICY in life.rights["provisioned"]
    assert "playbooks/scale.yml" in output


def test_a_run_without_the_number_keeps_it_and_changes_nothing(life: Life) -> None:
    assert life.runs["again"].must_succeed().changed == 0, life.runs["again"].output
    assert life.most["again"] == ["4"]


def test_teardown_lists_the_group_and_leaves_nothing_of_it(life: Life) -> None:
    assert "Auto Scaling group slm-ft-serving" in " ".join(life.runs["removed"].must_succeed().output.split())
    assert (life.most["removed"], life.rights["removed"]) == ([], [])
