"""provision, status and teardown.yml with a waker: what they make, tell and remove, with the documented rights."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from tests.fakes.account import Api, forget, served
from tests.local_region import environment, names
from tests.local_region.state import RegionState
from tests.playbooks.isolated.account_runner import play
from tests.support.runner import PlaybookRun

# Three runs of provision.yml, one of status.yml and one of teardown.yml.
pytestmark = [pytest.mark.region, pytest.mark.nightly]

NAME, SECRET = "slm-ft-serving-waker", "slm-ft-serving/waker"
CONFIRMED = ("-e", f"infrastructure_confirmation={names.APPLICATION}")
KEYS = {"SLM_GATEWAY_API_KEYS": f"demo:{'0' * 64}"}
# The program is looked for; no session is opened with what is stopped.
PLUGIN = {"AWS_SESSION_MANAGER_PLUGIN": "/bin/true"}
OPERATOR = {"AWS_ACCESS_KEY_ID": environment.OPERATORS_ACCESS_KEYS["operator-waking"]}


@dataclass
class Life:
    """What an account had after each step, and what the playbooks said."""

    runs: dict[str, PlaybookRun] = field(default_factory=dict)
    after: dict[str, dict[str, bool]] = field(default_factory=dict)
    key: str = ""
    function: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    policy: dict[str, Any] = field(default_factory=dict)
    retention: int = 0


def there(api: Api) -> dict[str, bool]:
    """Return what there is of a waker."""
    groups = api.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{NAME}")["logGroups"]
    listed = api.client("secretsmanager").list_secrets()["SecretList"]
    parameters = api.client("ssm").get_parameters(Names=["/slm-ft-serving/waker/mode"])["Parameters"]
    return {
        "function": bool(api.client("lambda").list_functions()["Functions"]),
        "role": NAME in {each["RoleName"] for each in api.client("iam").list_roles()["Roles"]},
        "log group": bool(groups),
        "secret": SECRET in {each["Name"] for each in listed},
        "record": bool(parameters),
    }


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Take an account from empty over one with a waker to removed; the tests look at each step's outcome."""
    life, state = Life(), RegionState("unit", root=tmp_path_factory.mktemp("account"))
    state.prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        with served(state, DomainDispatcherApplication(create_backend_app)) as api:

            def step(name: str, playbook: str, *arguments: str) -> None:
                life.runs[name] = play(api, playbook, *arguments, **KEYS, **OPERATOR)
                life.after[name] = there(api)

            step("checked", "provision", "--check", "-e", "waker_mode=on")
            step("made", "provision", "-vvv", "-e", "waker_mode=on")
            look(api, life)
            step("again", "provision")
            api.machine.running = False  # as a power-off from within leaves it
            say_woke(api)
            life.runs["shown"] = play(api, "status", SLM_OUTCOME="json", **PLUGIN)
            step("removed", "teardown", *CONFIRMED)
    forget()
    return life


def say_woke(api: Api) -> None:
    """Write into the function's log what the function writes there once it has started an instance."""
    logs, group = api.client("logs"), f"/aws/lambda/{NAME}"
    logs.create_log_stream(logGroupName=group, logStreamName="one")
    event = {"timestamp": int(time.time() * 1000), "message": json.dumps({"woke": "i-0123456789abcdef0"})}
    logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=[event])


def look(api: Api, life: Life) -> None:
    """Note what was made."""
    life.runs["made"].must_succeed()
    life.key = api.client("secretsmanager").get_secret_value(SecretId=SECRET)["SecretString"]
    life.function = dict(api.client("lambda").get_function(FunctionName=NAME))
    life.url = api.client("lambda").get_function_url_config(FunctionName=NAME)["FunctionUrl"]
    life.policy = dict(api.client("iam").get_role_policy(RoleName=NAME, PolicyName=NAME)["PolicyDocument"])
    groups = api.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{NAME}")["logGroups"]
    life.retention = groups[0]["retentionInDays"]


def test_check_mode_makes_nothing_and_says_that_it_would(life: Life) -> None:
    output = life.runs["checked"].must_succeed().output
    assert not any(life.after["checked"].values())
    assert "would be called with a POST" in output


def test_all_of_it_is_made_and_the_end_tells_address_and_secret(life: Life) -> None:
    assert all(life.after["made"].values())
    output = " ".join(life.runs["made"].output.split())
    assert life.url in output
    assert f"--secret-id {SECRET}" in output


def test_the_key_is_in_no_output(life: Life) -> None:
    assert len(life.key) >= 43
    assert life.key not in life.runs["made"].output


def test_the_function_is_as_its_variables_say(life: Life) -> None:
    configuration = life.function["Configuration"]
    assert configuration["Handler"] == "waker.handler"
    assert configuration["Timeout"] == 60
    assert life.function["Concurrency"]["ReservedConcurrentExecutions"] == 10
    assert configuration["Environment"]["Variables"] == {
        "WAKER_APPLICATION": "slm-ft-serving",
        "WAKER_SECRET": SECRET,
        "WAKER_URL": "",
        "WAKER_PORT": "8080",
        "WAKER_HOLD": "20",
        "WAKER_USUAL_START": "180",
        "WAKER_STOPPED_BY_HAND": "false",
    }
    assert life.retention == 30


def test_the_function_may_start_what_has_the_tag_and_read_its_own_secret(life: Life) -> None:
    actions = {
        action: (each["Resource"], each.get("Condition"))
        for each in life.policy["Statement"]
        for action in (each["Action"] if isinstance(each["Action"], list) else [each["Action"]])
    }
    assert actions.keys() == {
        *("ec2:DescribeInstances", "ec2:StartInstances", "secretsmanager:GetSecretValue"),
        *("logs:CreateLogStream", "logs:PutLogEvents"),
    }
    tagged = {"StringEquals": {"aws:ResourceTag/Application": "slm-ft-serving"}}
    assert actions["ec2:StartInstances"][1] == tagged
    assert json.dumps(actions["secretsmanager:GetSecretValue"][0]).endswith(f'secret:{SECRET}-??????"')


def test_a_second_run_without_the_variable_keeps_it_and_changes_nothing(life: Life) -> None:
    again = life.runs["again"].must_succeed()
    assert again.changed == 0, again.output
    assert life.url in again.output


def test_status_shows_address_wake_and_what_stopped_the_instance_to_who_may_only_deploy(life: Life) -> None:
    shown = life.runs["shown"].must_succeed()
    status = json.loads(shown.output.splitlines()[-1])["status"]
    assert (status["waker"]["url"], status["waker"]["unknown"]) == (life.url, [])
    assert [each["instance"] for each in status["waker"]["wakes"]] == ["i-0123456789abcdef0"]
    assert status["instance"]["stopped_by"] == "itself"
    text = " ".join(shown.output.split())
    assert f"waker {life.url} woke i-0123456789abcdef0 at " in text
    assert "(Client.InstanceInitiatedShutdown); a call of the waker starts it" in text


def test_teardown_removes_all_of_it(life: Life) -> None:
    life.runs["removed"].must_succeed()
    assert not any(life.after["removed"].values())
