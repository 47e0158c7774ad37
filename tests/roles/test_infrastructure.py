"""What teardown removes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.settings import Settings
from tests.local_region.names import REPOSITORY_ROOT
from tests.support.rendering import value
from tests.support.role_variables import ROLES, defaults, load


def kept_and_removed(**variables: Any) -> tuple[set[str], set[str]]:
    """Return what teardown keeps and what it removes, of two buckets and a repository that hold data, and a role."""
    things: list[dict[str, Any]] = [
        {"kind": "bucket", "name": "transfer", "holds_data": True},
        {"kind": "bucket", "name": "models", "holds_data": True},
        {"kind": "repository", "name": "engine", "holds_data": True},
        {"kind": "role", "name": "role"},
        {"kind": "bucket", "name": "theirs", "holds_data": True, "ours": False},
    ]
    looked = {"things": [{"ours": True, "key": f"{each['kind']} {each['name']}", **each} for each in things]}
    variables = {
        "infrastructure_region": "us-east-1",
        "infrastructure_account": "1",
        "infrastructure_settings": {"s3/transfer-bucket": "transfer", "s3/models-bucket": "models"},
        "_infrastructure_found": looked,
        **variables,
    }
    kept, removed = (value("infrastructure", f"_infrastructure_{name}", variables) for name in ("kept", "removal"))
    return {each["name"] for each in kept}, {each["name"] for each in removed}


def test_teardown_keeps_data_but_not_the_leftovers_of_transfers() -> None:
    assert kept_and_removed() == ({"models", "engine"}, {"transfer", "role"})


def test_teardown_removes_data_that_is_named() -> None:
    assert kept_and_removed(infrastructure_delete_data=["images"]) == ({"models"}, {"transfer", "role", "engine"})


def test_teardown_keeps_models_in_the_transfer_bucket() -> None:
    kept, _ = kept_and_removed(infrastructure_models_bucket="transfer")
    assert "transfer" in kept


def test_teardown_knows_every_parameter_that_other_roles_write() -> None:
    """Compare with the tasks of other roles that put one, and with the names that they use by default."""
    tasks = {
        path.parents[1].name
        for path in ROLES.glob("*/tasks/*.yml")
        if "ssm_parameter:" in path.read_text(encoding="utf-8")
    }
    # The records of the waker and of the group are removed by their own roles, after all else of them.
    assert tasks - {"infrastructure", "scaling_group", "waker"} == {"adapter_gate", "finetune"}
    inventory = (REPOSITORY_ROOT / "inventory/group_vars/all.yml").read_text(encoding="utf-8")
    (serving,) = re.findall(r'adapter_gate_parameter: "{{ stack_parameter_path }}/(.+)"', inventory)
    candidate = value("finetune", "finetune_parameter", {}).removeprefix("/slm-ft-serving/")
    assert value("infrastructure", "_infrastructure_records", {}) == [serving, candidate]


BUDGET = {"kind": "budget", "name": "slm-ft-serving-monthly", "id": "slm-ft-serving-monthly", "key": "budget x"}


def test_teardown_removes_the_budget_and_says_when_it_could_not_be_looked_at() -> None:
    for unseen in ([], ["AWS does not answer about the budget: AccessDenied"]):
        found = {"things": [] if unseen else [{**BUDGET, "ours": True}], "unseen": unseen}
        variables = {
            "infrastructure_region": "us-east-1",
            "infrastructure_account": "1",
            "infrastructure_settings": {},
            "_infrastructure_found": found,
        }
        text = value("infrastructure", "lookup('ansible.builtin.template', 'removal.txt.j2')", variables)
        assert ("slm-ft-serving-monthly" in text, "Not looked at: AWS does not answer" in text) == (
            not unseen,
            bool(unseen),
        )


def test_a_budget_that_cannot_be_looked_at_stands_in_the_way() -> None:
    variables = {"infrastructure_budget_usd": "100", "infrastructure_budget_email": "a@b.example"}
    assert value("infrastructure", "_infrastructure_budget_wanted", variables)
    for found, problems in (({}, []), ({"unseen": ["no right"]}, ["no right"])):
        asked = variables | {"_infrastructure_found": found}
        assert value("infrastructure", "_infrastructure_budget_problems", asked) == problems
    assert not value("infrastructure", "_infrastructure_budget_wanted", {})


def test_the_report_names_the_budget_and_what_is_to_do_for_it() -> None:
    text = report(infrastructure_budget_usd="100", infrastructure_budget_email="a@b.example")
    assert "100.00 USD a month, and mail to a@b.example" in text
    assert "budget" not in report()


VOLUME = {
    "id": "vol-1",
    "zone": "us-east-1a",
    "size": 200,
    "volume_type": "gp3",
    "throughput": 500,
    "iops": 3000,
    "encrypted": True,
    "root": True,
}
INSTANCE = {
    "id": "i-1",
    "zone": "us-east-1a",
    "vpc": "vpc-1",
    "state": "running",
    "type": "g6.2xlarge",
    "metadata_tokens": "required",
    "metadata_hops": 1,
    "key_pair": "",
    "security_groups": ["slm-ft-serving-gateway"],
    "public_address": "",
    "ours": True,
    "volumes": [VOLUME],
}
PRICE = {"known": True, "instance_hour": 1.0, "volume_gib_month": 0.08, "source": "a test"}


def report(*, open_to: tuple[str, ...] = (), named: str = "", deleted: bool = False, **changes: Any) -> str:
    """Return what provision.yml reports of an account whose one secret and instance were there before.

    Args:
        open_to: networks that could call the gateway before.
        named: those that the run names.
        deleted: whether the secret was marked for deletion.
        changes: other values of the role's variables.
    """
    name = "slm-ft-serving/gateway-api-keys"
    thing = {"kind": "secret", "name": name, "key": f"secret {name}", "ours": True, "deleted": deleted}
    variables = {
        "infrastructure_region": "us-east-1",
        "infrastructure_account": "1",
        "infrastructure_settings": {},
        "ansible_check_mode": False,
        "_infrastructure_found": {"things": [thing], "problems": []},
        "_infrastructure_there": {"secret": [thing], "security group": [{"networks": list(open_to)}]},
        "infrastructure_gateway_cidrs": named,
        "_infrastructure_foreign_keys": [],
        "_infrastructure_keys_there": [thing["key"]],
        "_infrastructure_secrets_named": {"secrets/gateway-api-keys": name},
        "_infrastructure_settings_to_put": {},
        "_infrastructure_adopting": False,
        "_infrastructure_instances": [INSTANCE],
        "_infrastructure_price": {"known": False},
        "_infrastructure_price_type": "g6.2xlarge",
        **changes,
    }
    return str(value("infrastructure", "lookup('ansible.builtin.template', 'report.txt.j2')", variables))


def test_a_deleted_secret_that_comes_back_with_its_old_value_is_reported() -> None:
    assert "came back with the value that it had" in report(deleted=True)
    assert "came back" not in report()


def test_a_port_that_is_closed_again_is_reported_with_whom_that_shuts_out() -> None:
    text = report(open_to=("198.51.100.0/24", "10.0.0.0/8"), named="10.0.0.0/8")
    assert "198.51.100.0/24 can no longer call port 8080" in text
    assert "10.0.0.0/8 can no longer" not in text
    assert "port 8080 is open to 10.0.0.0/8" in text
    assert "no longer call" not in report()
    assert "port 8080 is closed: playbooks/connect.yml is the way in" in report(open_to=("10.0.0.0/8",))


@pytest.mark.parametrize(
    ("mode", "named", "words", "not_said"),
    [
        ("certificate", "10.0.0.0/8", "port 443 is open to 10.0.0.0/8", "plain HTTP"),
        ("certificate", "", "port 443 is closed", "plain HTTP"),
        ("plain", "10.0.0.0/8", "port 80 is open to 10.0.0.0/8 in plain HTTP", "certificate authority"),
        ("acme", "0.0.0.0/0", "ports 80 and 443 are open to 0.0.0.0/0", "certificate authority"),
        ("acme", "10.0.0.0/8", "but not to the certificate authority", "plain HTTP"),
    ],
)
def test_with_an_edge_its_ports_are_opened_and_the_gateways_is_not(
    mode: str, named: str, words: str, not_said: str
) -> None:
    settings = {"edge/mode": mode}
    text = " ".join(report(named=named, infrastructure_settings=settings).split())
    assert words in text
    assert not_said not in text
    assert "8080" not in text
    variables = {"infrastructure_settings": settings, "infrastructure_gateway_cidrs": "10.0.0.0/8"}
    (rule,) = value("infrastructure", "_infrastructure_rules", variables)
    assert rule["ports"] == {"acme": [80, 443], "certificate": [443], "plain": [80]}[mode]


def test_repository_and_secret_of_an_edge_are_made_for_who_has_one() -> None:
    def made(settings: dict[str, str]) -> tuple[list[str], list[str]]:
        variables = {"infrastructure_settings": settings}
        secrets = value("infrastructure", "_infrastructure_secrets", variables)
        return value("infrastructure", "_infrastructure_repositories", variables), [each["name"] for each in secrets]

    repositories, secrets = made({})
    assert "slm-ft-serving-edge" not in repositories
    # One that was switched off again is still known to teardown.yml.
    for settings in ({"edge/mode": "acme"}, {"edge/mode": "off"}, {"images/edge-tag": "v1"}):
        assert made(settings) == ([*repositories, "slm-ft-serving-edge"], [*secrets, "slm-ft-serving/edge-certificate"])


@pytest.mark.parametrize(
    ("choice", "settings", "opened"),
    [
        ("auto", {}, False),
        ("auto", {"engine/pooled": "false"}, False),
        ("auto", {"engine/pooled": "true"}, True),
        ("true", {}, True),
        ("false", {"engine/pooled": "true"}, False),
    ],
)
def test_the_instances_reach_each_others_engines_only_where_they_are_pooled(
    choice: str, settings: dict[str, str], opened: bool
) -> None:
    variables = {"infrastructure_engine_pool": choice, "infrastructure_settings": settings}
    rules = value("infrastructure", "_infrastructure_group_rules", variables)
    # From the group to itself, and from nobody else.
    rule = {"proto": "tcp", "ports": [8444], "group_name": "slm-ft-serving-gateway", "rule_desc": "engine pool"}
    assert rules == ([rule] if opened else [])
    names = [each["name"] for each in value("infrastructure", "_infrastructure_secrets", variables)]
    assert ("slm-ft-serving/engine-pool" in names) is (opened or "engine/pooled" in settings)
    repositories = value("infrastructure", "_infrastructure_repositories", variables)
    assert ("slm-ft-serving-edge" in repositories) is (opened or "engine/pooled" in settings)


def test_a_rule_among_the_instances_is_not_said_to_be_lost() -> None:
    there = {"security group": [{"id": "sg-1", "networks": ["sg-1"], "vpc": "vpc-1"}]}
    variables = {"_infrastructure_there": there, "infrastructure_engine_pool": "true"}
    assert value("infrastructure", "_infrastructure_networks_lost", variables) == []
    variables["infrastructure_engine_pool"] = "false"
    assert value("infrastructure", "_infrastructure_networks_lost", variables) == ["sg-1"]


def test_the_cost_of_a_month_is_computed_from_instance_address_disk_and_throughput() -> None:
    text = " ".join(report(_infrastructure_price=PRICE).split())
    # 200 GiB and 375 MiB/s above what gp3 includes.
    volume = 200 * 0.08 + 375 * 0.04
    assert f"{volume / 730:.4f} USD an hour always (200 GiB of gp3 with 500 MiB/s)" in text
    assert "0.0050 USD an hour while it runs" in text
    assert f"{730 + volume + 730 * 0.005:.2f} USD in a month of 730 hours without a stop, {volume:.2f} USD in" in text
    assert "secrets 0.40 USD (1)" in text


def test_the_month_of_several_instances_and_their_load_balancer_is_computed() -> None:
    balancer = {"dns_name": "slm-1.us-east-1.elb.amazonaws.com", "availability_zones": [{}, {}]}
    text = " ".join(
        report(
            _infrastructure_price=PRICE | {"load_balancer": {"known": True, "hour": 0.02, "capacity_unit_hour": 0.008}},
            _infrastructure_instances=[INSTANCE | {"id": f"i-{number}"} for number in range(3)],
            _infrastructure_balancer_made=balancer,
            infrastructure_instances=2,
            infrastructure_domain="notes.example.org",
            named="10.0.0.0/8",
        ).split()
    )
    volumes, balanced = 3 * (200 * 0.08 + 375 * 0.04), 730 * (0.02 + 2 * 0.005)
    assert "3.0000 USD an hour while the instances run (3 g6.2xlarge)" in text
    assert f"{volumes / 730:.4f} USD an hour always (600 GiB of gp3 with 500 MiB/s)" in text
    assert "0.0300 USD an hour always (the load balancer, with 2 public IPv4 addresses), and 0.0080 for each" in text
    assert f"{3 * 730 + volumes + 730 * 0.015 + balanced:.2f} USD in a month of 730 hours without a stop" in text
    assert f"{volumes + balanced:.2f} USD in one with the instances stopped" in text
    assert "port 8080 is open to the load balancer alone" in text
    assert "port 443 is open to 10.0.0.0/8 in HTTPS" in text
    assert "at https://notes.example.org once a record of that name leads to slm-1.us-east-1.elb" in text
    assert "3 are there, and infrastructure_instances is 2: none is terminated" in text


@pytest.mark.parametrize(
    ("given", "domain", "address"),
    [
        ({}, "", "https://own.us-east-1.elb.amazonaws.com"),
        ({}, "notes.example.org", "https://notes.example.org"),
        ({"load-balancer/address": "https://notes.example.org"}, "", "https://notes.example.org"),
        ({"load-balancer/address": "https://notes.example.org"}, "other.example.org", "https://other.example.org"),
        # Of a load balancer that is gone.
        (
            {"load-balancer/address": "https://old.us-east-1.elb.amazonaws.com"},
            "",
            "https://own.us-east-1.elb.amazonaws.com",
        ),
    ],
)
def test_the_address_that_was_given_once_stays(given: dict[str, str], domain: str, address: str) -> None:
    variables = {
        "infrastructure_settings": given,
        "infrastructure_domain": domain,
        "_infrastructure_balancer_made": {"dns_name": "own.us-east-1.elb.amazonaws.com"},
    }
    assert value("infrastructure", "_infrastructure_balancer_address", variables) == address


@pytest.mark.parametrize(
    ("variables", "balanced"),
    [
        ({}, False),
        ({"infrastructure_instances": "2"}, True),
        ({"infrastructure_load_balancer": "true"}, True),
        ({"infrastructure_load_balancer": True}, True),
        ({"infrastructure_instances": 2, "infrastructure_load_balancer": "false"}, False),
        # Or a run without the variables would close the gateway's port to it.
        ({"infrastructure_settings": {"load-balancer/target-group": "arn"}}, True),
    ],
)
def test_a_load_balancer_is_before_several_instances_and_where_one_was_made(
    variables: dict[str, Any], balanced: bool
) -> None:
    given = {"infrastructure_settings": {}, **variables}
    assert value("infrastructure", "_infrastructure_balanced", given) is balanced


def test_the_load_balancer_waits_longer_than_a_request_takes_and_shorter_than_the_gateway_keeps_a_connection() -> None:
    fields = Settings.model_fields
    assert defaults("infrastructure")["infrastructure_gateway_request_timeout"] == fields["request_timeout"].default
    idle, delay = (
        value("infrastructure", f"_infrastructure_{name}", {}) for name in ("idle_timeout", "deregistration_delay")
    )
    assert fields["request_timeout"].default < int(idle) < fields["keep_alive_timeout"].default
    assert int(delay) > fields["request_timeout"].default


def test_an_elastic_ip_is_billed_while_the_instance_is_stopped_too() -> None:
    address = {"kind": "elastic ip", "name": "192.0.2.1", "key": "elastic ip 192.0.2.1", "ours": True}
    text = report(
        _infrastructure_price=PRICE, infrastructure_elastic_ip=True, _infrastructure_there={"elastic ip": [address]}
    )
    assert "0.0050 USD an hour always (its Elastic IP)" in text
    assert "elastic ip       192.0.2.1" in text


def test_a_volume_that_was_enlarged_is_reported_with_what_is_to_do_and_its_new_cost() -> None:
    small = INSTANCE | {"volumes": [VOLUME | {"size": 80}]}
    text = " ".join(report(_infrastructure_instances=[small], _infrastructure_price=PRICE).split())
    assert "its volume vol-1 was changed to 200 GiB" in text
    assert "grows at the next boot: playbooks/stop.yml, then playbooks/start.yml" in text
    assert "(200 GiB of gp3 with 500 MiB/s)" in text


def test_zones_without_capacity_are_reported() -> None:
    started = {
        "instances": [{"id": "i-1", "zone": "us-east-1b", "public_address": ""}],
        "refused": ["us-east-1a: Insufficient"],
    }
    text = report(_infrastructure_instances=[], _infrastructure_started=started)
    assert "i-1 started in us-east-1b" in text
    assert "no capacity in us-east-1a: Insufficient" in text


def test_the_default_image_is_one_that_the_host_roles_know() -> None:
    distribution = re.search(r"ubuntu-\d\d\.\d\d", defaults("infrastructure")["infrastructure_ami_parameter"])
    assert distribution
    docker = load(ROLES / "container_runtime/vars/main.yml")["_container_runtime_sources"]
    driver = load(ROLES / "nvidia_runtime/vars/main.yml")["_nvidia_runtime_folders"]
    assert distribution[0] in docker
    assert distribution[0] in driver


ALARMS: dict[str, Any] = {"infrastructure_alarm_email": "ops@example.org", "_infrastructure_foreign": {}}
ON = {"monitoring/cloudwatch": "on"}


def test_who_wants_no_alarms_gets_nothing_for_them_and_nothing_is_asked() -> None:
    variables = {"infrastructure_settings": {}, "infrastructure_region": "us-east-1", "infrastructure_account": "1"}
    for name, expected in (
        ("_infrastructure_alarms_looked_for", False),
        ("_infrastructure_has_cloudwatch", False),
        ("_infrastructure_cloudwatch_log_groups", []),
        ("_infrastructure_alarm_problems", []),
    ):
        assert value("infrastructure", name, variables) == expected, name
    assert "monitoring/cloudwatch" not in value(
        "infrastructure",
        "_infrastructure_settings_to_put",
        variables | {"_infrastructure_secrets_named": {}, "_infrastructure_instance_id": ""},
    )
    text = report(_infrastructure_price=PRICE)
    assert not re.search("alarm|dashboard|topic|CloudWatch|/slm-ft-serving/units", text)


def test_alarms_bring_the_setting_that_they_need_and_leave_an_operators_off() -> None:
    variables = {"infrastructure_region": "us-east-1", "infrastructure_account": "1", **ALARMS}
    given = variables | {
        "infrastructure_settings": {},
        "_infrastructure_secrets_named": {},
        "_infrastructure_instance_id": "",
    }
    assert value("infrastructure", "_infrastructure_settings_to_put", given)["monitoring/cloudwatch"] == "on"
    assert value("infrastructure", "_infrastructure_alarm_problems", given) == []
    assert value("infrastructure", "_infrastructure_alarms_looked_for", given)
    off = given | {"infrastructure_settings": {"monitoring/cloudwatch": "off"}}
    (problem,) = value("infrastructure", "_infrastructure_alarm_problems", off)
    assert "monitoring/cloudwatch is off" in problem
    # What a deployment had shipped once is known to teardown.yml still.
    groups = ["/slm-ft-serving/containers", "/slm-ft-serving/units"]
    assert value("infrastructure", "_infrastructure_cloudwatch_log_groups", off) == groups


def test_an_alarm_of_somebody_elses_is_left_alone_and_one_of_ours_that_is_not_wanted_goes() -> None:
    ours = {"kind": "alarm", "name": "slm-ft-serving-CertificateEnds", "ours": True}
    theirs = {"kind": "alarm", "name": "slm-ft-serving-DiskFull", "ours": False}
    variables = {
        "infrastructure_region": "us-east-1",
        "infrastructure_account": "1",
        "ansible_check_mode": False,
        "_infrastructure_instances": [INSTANCE],
        "infrastructure_settings": ON,
        "infrastructure_alarm_email": "ops@example.org",
        "_infrastructure_there": {"alarm": [ours, theirs]},
        "_infrastructure_foreign": {"alarm": [theirs]},
    }
    names = [each["AlarmName"] for each in value("infrastructure", "_infrastructure_alarms", variables)]
    assert "slm-ft-serving-GatewayDown" in names
    assert "slm-ft-serving-DiskFull" not in names
    assert value("infrastructure", "_infrastructure_alarms_to_remove", variables) == [ours["name"]]


def test_the_report_names_alarms_dashboard_topic_and_what_they_cost() -> None:
    text = " ".join(report(_infrastructure_price=PRICE, infrastructure_settings=ON, **ALARMS).split())
    for words in (
        "topic slm-ft-serving-alarms made",
        "ops@example.org gets a mail to confirm first",
        "alarm slm-ft-serving-GatewayDown made",
        "dashboard slm-ft-serving made",
        "log group /slm-ft-serving/containers made",
        # 20 metrics; 16 that alarms read, and the dashboard: docs/monitoring.md.
        "metrics 6.00 USD, alarms and dashboard 4.60 USD, logs 0.50 USD for each GB",
    ):
        assert words in text
    shipped = report(_infrastructure_price=PRICE, infrastructure_settings=ON)
    assert "metrics 6.00 USD, logs" in shipped
    assert "alarm" not in shipped


def test_an_instance_that_no_alarm_watches_is_named() -> None:
    instance = {"id": "i-2", "zone": "us-east-1b", "public_address": ""}
    started: dict[str, Any] = {"_infrastructure_started": {"instances": [instance]}}
    settings: dict[str, Any] = {"infrastructure_settings": {"monitoring/cloudwatch": "on"}}
    assert "none watches an instance that this run started" in report(**settings, **started)
    for changes in (settings, started, settings | started | {"infrastructure_alarm_email": "ops@example.org"}):
        assert "none watches" not in report(**changes)


@pytest.mark.parametrize(("check", "ids"), [(False, ["i-1", "i-2"]), (True, ["", "i-1", "i-2"])])
def test_alarms_watch_every_instance_in_an_order_that_stays(check: bool, ids: list[str]) -> None:
    variables = {
        "infrastructure_settings": {},
        "infrastructure_region": "us-east-1",
        "infrastructure_account": "1",
        "infrastructure_instances": 3,
        "ansible_check_mode": check,
        "_infrastructure_instances": [INSTANCE | {"id": "i-2"}, INSTANCE],
    }
    assert value("infrastructure", "_infrastructure_watched.instance_ids", variables) == ids


def test_an_empty_account_in_check_mode_has_alarms_to_name() -> None:
    variables = {
        "infrastructure_settings": {},
        "infrastructure_region": "us-east-1",
        "infrastructure_account": "1",
        "ansible_check_mode": True,
        "_infrastructure_instances": [],
    }
    assert value("infrastructure", "_infrastructure_watched | slm.serving.cloudwatch_alarms | length", variables) > 0


@pytest.mark.parametrize(("balanced", "alarms"), [("true", 2), ("false", 0)])
def test_a_load_balancer_is_watched_by_what_its_metrics_are_called(balanced: str, alarms: int) -> None:
    balancing = "arn:aws:elasticloadbalancing:us-east-1:123456789012"
    variables = {
        "infrastructure_settings": {},
        "infrastructure_region": "us-east-1",
        "infrastructure_account": "1",
        "infrastructure_load_balancer": balanced,
        "ansible_check_mode": False,
        "_infrastructure_instances": [INSTANCE],
        "_infrastructure_balancer_made": {"load_balancer_arn": f"{balancing}:loadbalancer/app/slm-ft-serving/0123"},
        "_infrastructure_target_group_made": {"arn": f"{balancing}:targetgroup/slm-ft-serving/4567"},
    }
    watched = value("infrastructure", "_infrastructure_watched", variables)
    dimensions = {"LoadBalancer": "app/slm-ft-serving/0123", "TargetGroup": "targetgroup/slm-ft-serving/4567"}
    assert watched["balancer"] == (dimensions if alarms else {})
    names = [
        each["AlarmName"]
        for each in value("infrastructure", "_infrastructure_watched | slm.serving.cloudwatch_alarms", variables)
    ]
    assert len([name for name in names if name.endswith(("TargetsUnhealthy", "BalancerFailing"))]) == alarms


def test_a_load_balancer_that_would_be_made_has_alarms_to_name() -> None:
    variables = {
        "infrastructure_settings": {},
        "infrastructure_region": "us-east-1",
        "infrastructure_account": "1",
        "infrastructure_load_balancer": "true",
        "ansible_check_mode": True,
        "_infrastructure_instances": [],
        "_infrastructure_balancer_made": {"skipped": True},
        "_infrastructure_target_group_made": {"arn": ""},
    }
    names = value(
        "infrastructure",
        "_infrastructure_watched | slm.serving.cloudwatch_alarms | map(attribute='AlarmName')",
        variables,
    )
    assert "slm-ft-serving-TargetsUnhealthy" in list(names)
