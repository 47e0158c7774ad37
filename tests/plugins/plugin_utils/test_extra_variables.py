"""What `-e` may give: a name that nothing knows, one that the playbook sets itself and a wrong value are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.splitter import parse_kv
from ansible_collections.slm.serving.plugins.plugin_utils.extra_variables import known, problems

ROOT = Path(__file__).resolve().parents[3]
PLAYBOOKS = sorted(path.name for path in (ROOT / "playbooks").glob("*.yml"))


def refused(given: dict[str, Any], playbook: str = "deploy.yml") -> list[str]:
    """Return why variables are refused."""
    return problems(given, known(ROOT, ROOT / "playbooks" / playbook), playbook)


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_variables_of_roles_settings_and_ansible_are_taken_by_every_playbook(playbook: str) -> None:
    given = {
        "images_gateway_tag": "v2",
        "inference_stack_engine_options": {"max-num-seqs": 4},
        "model_store_base": "{{ lookup('env', 'BASE') }}",
        "stack_start_timeout": "60",
        "ansible_aws_ssm_timeout": 90,
        "on_instance_patience": 60,
        "release_keep_good": "5",
        "finetune_stop_engine": "yes",
        "infrastructure_gateway_cidrs": "203.0.113.0/24,198.51.100.0/24",
        "infrastructure_delete_data": ["secrets"],
    }
    assert refused(given, playbook) == []


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("images_gatewy_tag", "images_gateway_tag"),
        ("image_gateway_tag", "images_gateway_tag"),
        ("images-gateway-tag", "images_gateway_tag"),
        ("images/engine-tag", "images_engine_tag"),
        ("IMAGES_GATEWAY_TAG", "images_gateway_tag"),
        ("inference_stack_engine_option", "inference_stack_engine_options"),
        ("deployment_lock_brake", "deployment_lock_break"),
        ("release_keep", "release_keep_good"),
    ],
)
def test_a_mistyped_name_is_refused_with_the_nearest_that_there_is(mistyped: str, meant: str) -> None:
    assert refused({mistyped: "x"}) == [f"There is no variable {mistyped}. Did you mean {meant}?"]


@pytest.mark.parametrize("name", ["quite_something_else", "_gateway_task", "7", ""])
def test_a_name_like_no_other_is_refused_too(name: str) -> None:
    (problem,) = refused({name: "x"})
    assert problem.startswith(f"There is no variable {name}.")


@pytest.mark.parametrize(
    ("argument", "advice"),
    [
        ("vars.yml", "write -e @vars.yml"),
        ("more.json", "write -e @more.json"),
        ("images_gateway_tag:v2", "Write -e NAME=VALUE"),
        ("images_gateway_tag", "Write -e NAME=VALUE"),
        ("images_gateway_tag=v2 and more", "as JSON"),
    ],
)
def test_an_argument_that_is_no_pair_is_refused(argument: str, advice: str) -> None:
    (problem,) = refused(parse_kv(argument))
    assert "gives no variable a value" in problem
    assert advice in problem


@pytest.mark.parametrize("name", ["rollback_release", "release_stamp", "health_verification_release"])
def test_what_a_rollback_sets_itself_is_refused_with_what_to_use(name: str) -> None:
    (problem,) = refused({name: "20260101T000000Z"}, "rollback.yml")
    assert problem == f"rollback.yml sets {name} itself. Use -e rollback_to=VALUE."


def test_what_a_playbook_sets_itself_is_left_out_where_nothing_stands_for_it() -> None:
    (problem,) = refused({"rollback_release": "20260101T000000Z"}, "deploy.yml")
    assert problem == "deploy.yml sets rollback_release itself. Leave it out."


def test_the_variable_of_one_playbook_is_refused_by_the_others() -> None:
    assert refused({"rollback_to": "20260101T000000Z"}, "rollback.yml") == []
    assert "rollback_to is a variable of rollback.yml" in refused({"rollback_to": "20260101T000000Z"})[0]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("inference_stack_engine_options", "max-num-seqs=4", '{"max-num-seqs": 4}'),
        ("inference_stack_engine_options", '{"max-num-seqs": 4}', '{"max-num-seqs": 4}'),
        ("inference_stack_engine_options", "max-num-seqs: 4", "Give it as JSON"),
        ("inference_stack_gateway_environment", "A=b=c", '{"A": "b=c"}'),
        ("infrastructure_delete_data", "secrets,images", '["secrets", "images"]'),
        ("infrastructure_delete_data", '["secrets"]', '["secrets"]'),
        ("inference_stack_engine_options", ["max-num-seqs"], "dict"),
        ("release_keep_good", "abc", "int"),
        ("release_keep_good", "", "int"),
        ("deployment_lock_break", "perhaps", "bool"),
        ("ec2_instance_state", "runing", "running, stopped"),
    ],
)
def test_a_value_that_the_role_would_refuse_later_is_refused_now(name: str, value: Any, words: str) -> None:
    (problem,) = refused({name: value})
    assert problem.startswith(name)
    assert words in problem


def advised() -> set[str]:
    """Return every variable that a page or a message has an operator give with `-e`."""
    folders = ("docs", "playbooks", "plugins", "roles")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in {".md", ".py", ".yml"}]
    texts = (path.read_text(encoding="utf-8") for path in [*files, *ROOT.glob("*.md")])
    return {name for text in texts for name in re.findall(r"""-e (?:'{"|`)?([a-z]\w+)(?:=|": )""", text)}


def test_every_variable_that_a_page_or_a_message_advises_is_taken() -> None:
    names = advised()
    assert {"deployment_lock_break", "rollback_to", "infrastructure_delete_data"} <= names
    taken = set().union(*(known(ROOT, ROOT / "playbooks" / playbook).names for playbook in PLAYBOOKS))
    assert names - taken == set()


def test_all_problems_are_named_at_once() -> None:
    assert len(refused({"images_gatewy_tag": "v2", "release_keep_good": "abc", "_raw_params": "a:b"})) == 3
