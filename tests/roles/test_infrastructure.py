"""What teardown removes."""

from __future__ import annotations

import re
from typing import Any

from tests.local_region.names import REPOSITORY_ROOT
from tests.support.rendering import value
from tests.support.role_variables import ROLES


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
    assert tasks - {"infrastructure"} == {"adapter_gate", "finetune"}
    inventory = (REPOSITORY_ROOT / "inventory/group_vars/all.yml").read_text(encoding="utf-8")
    (serving,) = re.findall(r'adapter_gate_parameter: "{{ stack_parameter_path }}/(.+)"', inventory)
    candidate = value("finetune", "finetune_parameter", {}).removeprefix("/slm-ft-serving/")
    assert value("infrastructure", "_infrastructure_records", {}) == [serving, candidate]


def report(open_to: tuple[str, ...] = (), named: str = "", **secret: Any) -> str:
    """Return what provision.yml reports of an account whose one secret was there before.

    Args:
        open_to: networks that could call the gateway before.
        named: those that the run names.
        secret: what is known of the secret.
    """
    name = "slm-ft-serving/gateway-api-keys"
    thing = {"kind": "secret", "name": name, "key": f"secret {name}", "ours": True, "deleted": False, **secret}
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
        "_infrastructure_instance": {"state": "running", "public_address": ""},
        "_infrastructure_instance_id": "i-1",
        "_infrastructure_instance_differences": [],
        "_infrastructure_price": {"known": False},
        "_infrastructure_price_type": "g6.2xlarge",
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
