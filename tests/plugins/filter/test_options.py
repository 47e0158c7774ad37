"""Options of the engine, variables of the gateway: what either would ignore or refuse is told before a deployment."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.slm.serving.plugins.filter.options import (
    GATEWAY_SETTINGS,
    engine_option_problems,
    gateway_environment_problems,
)

from gateway.settings import Settings
from tests.support.release_files import ALL_PROFILES, ENGINE, rendered
from tests.support.role_variables import ROOT


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max-num-seq": 4}, "has no option max-num-seq. Did you mean max-num-seqs?"),
        ({"Max-Num-Seqs": 4}, "Did you mean max-num-seqs?"),
        ({"gpu-memory-utilisation": 0.9}, "Did you mean gpu-memory-utilization?"),
        ({"max_num_seqs": 4}, "write max-num-seqs in place of max_num_seqs"),
        ({"--max-num-seqs": 4}, "write max-num-seqs in place of --max-num-seqs"),
        ({"enable_prefix_caching": False}, "write enable-prefix-caching"),
        ({"compilation-confg.level": 3}, "Did you mean compilation-config?"),
        ({"disable-log-stats": False}, "ignores false for disable-log-stats"),
        ({"lora-target-modules": []}, "ignores the empty list for lora-target-modules"),
    ],
)
def test_option_that_the_engine_would_not_take_as_it_was_given_is_a_problem(given: dict[str, Any], words: str) -> None:
    (problem,) = engine_option_problems(given, ENGINE)
    assert problem.startswith("inference_stack_engine_options: ")
    assert words in problem


@pytest.mark.parametrize(
    "given",
    [
        *({"max-num-seqs": 4}, {"enable-prefix-caching": False}, {"quantization": None}, {"seed": 0}),
        *({"compilation-config": {"level": 3}}, {"compilation-config.level": 3}, {"no-enable-lora": True}),
        # Of a later engine, and of the stand-in.
        *({"quite-another": 1}, {"stand-in": "crash"}, {"stand-in-load": 8}),
    ],
)
def test_option_that_the_engine_takes_or_may_take_is_none(given: dict[str, Any]) -> None:
    assert engine_option_problems(given, ENGINE) == []


@pytest.mark.parametrize(("accelerator", "profile"), ALL_PROFILES)
def test_what_the_role_gives_the_engine_itself_is_right(accelerator: str, profile: str) -> None:
    assert engine_option_problems(rendered(accelerator, profile), ENGINE) == []


def test_the_gateways_settings_are_those_that_it_has() -> None:
    assert {name.lower() for name in GATEWAY_SETTINGS} == set(Settings.model_fields)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"GATEWAY_MAX_QUEU": "8"}, "has no setting GATEWAY_MAX_QUEU. Did you mean GATEWAY_MAX_QUEUE?"),
        ({"GATWAY_MAX_QUEUE": "8"}, "Did you mean GATEWAY_MAX_QUEUE?"),
        ({"gateway_max_queue": "8"}, "Did you mean GATEWAY_MAX_QUEUE?"),
        ({"GATEWAY_WORKERS_OF_ANOTHER_KIND": "8"}, "has no setting GATEWAY_WORKERS_OF_ANOTHER_KIND."),
        ({"GATEWAY_PORT": "9000"}, "Give inference_stack_gateway_port in its place."),
        (yaml.safe_load("GATEWAY_PAGE: off"), "such as 'off', in quotes"),
    ],
)
def test_variable_that_the_gateway_would_ignore_or_misunderstand_is_a_problem(
    given: dict[str, Any], words: str
) -> None:
    (problem,) = gateway_environment_problems(given)
    assert problem.startswith("inference_stack_gateway_environment: ")
    assert words in problem


@pytest.mark.parametrize("given", [{"GATEWAY_PAGE": "off"}, {"GATEWAY_MAX_QUEUE": 8}, {"HTTPS_PROXY": "x"}, {}])
def test_variable_that_the_gateway_reads_or_that_is_anothers_is_none(given: dict[str, Any]) -> None:
    assert gateway_environment_problems(given) == []


def test_the_inventory_hands_both_over_with_the_options_of_the_pinned_engine() -> None:
    loader = DataLoader()
    variables = loader.load_from_file(str(ROOT / "inventory/group_vars/all.yml"), trusted_as_template=True) | {
        "inventory_dir": str(ROOT / "inventory"),
        "playbook_dir": str(ROOT / "playbooks"),
        "inference_stack_engine_options": {"max-num-seq": 4},
        "inference_stack_gateway_environment": {"GATEWAY_MAX_QUEU": 4},
    }
    found = Templar(loader=loader, variables=variables).template(trust_as_template("{{ stack_option_problems }}"))
    assert [problem.partition(":")[0] for problem in found] == list(variables)[-2:]


def test_deployment_reports_the_problems_before_anything_is_touched() -> None:
    plays = yaml.safe_load((ROOT / "playbooks/deploy.yml").read_text(encoding="utf-8"))
    known = [task["vars"]["preflight_known_problems"] for task in plays[0]["tasks"] if "preflight" in str(task)]
    assert any("stack_option_problems" in problems for problems in known)
