"""What the inventory makes of the adapters' settings: models, names, golden notes, comparisons."""

from __future__ import annotations

from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader

from tests.local_region.names import REPOSITORY_ROOT
from tests.support.rendering import value

DEFAULT = {"model/base": "s3://m/base", "model/adapter": "s3://m/1/adapter"}
FURTHER = {
    "model/adapters/assistant-intent": "s3://m/2/adapter",
    "model/adapters-serving/assistant-intent": "s3://m/0/adapter",
}
TASKS = {
    name: yaml.safe_load((REPOSITORY_ROOT / f"gateway/tasks/{name}.yaml").read_text(encoding="utf-8"))
    for name in ("medical_ie", "assistant_intent")
}


def of_inventory(name: str, settings: dict[str, str], **variables: Any) -> Any:
    """Return a variable of the instance's, with these settings and with `variables` given by -e."""
    known: dict[str, Any] = {}
    for file in ("all", "inference"):
        path = REPOSITORY_ROOT / f"inventory/group_vars/{file}.yml"
        known |= DataLoader().load_from_file(str(path), trusted_as_template=True)
    known |= {"playbook_dir": str(REPOSITORY_ROOT / "playbooks"), "stack_settings": settings, **variables}
    return value("inference_stack", name, known)


def test_one_adapter_is_deployed_as_ever() -> None:
    assert of_inventory("model_store_models", DEFAULT) == {"base": "s3://m/base", "adapter": "s3://m/1/adapter"}
    assert of_inventory("inference_stack_verification", DEFAULT) == {
        "adapters": ["medical-ie"],
        "gateway_port": 8080,
        "golden": TASKS["medical_ie"]["golden"],
        "minimum": 0,
    }
    assert of_inventory("stack_adapter_problems", DEFAULT) == []
    assert of_inventory("adapter_gate_further", DEFAULT) == []


def test_further_adapter_is_a_model_and_its_golden_notes_are_asked() -> None:
    settings = DEFAULT | FURTHER
    assert of_inventory("model_store_models", settings)["adapter-assistant-intent"] == "s3://m/2/adapter"
    expected = of_inventory("inference_stack_verification", settings)
    assert expected["adapters"] == ["medical-ie", "assistant-intent"]
    assert expected["minimums"] == {}
    own = len(TASKS["medical_ie"]["golden"])
    assert expected["golden"][:own] == TASKS["medical_ie"]["golden"]
    further = [(note["path"], note["expected"]) for note in expected["golden"][own:]]
    path = "/api/v1/tasks/assistant_intent/extract"
    assert further == [(path, note["expected"]) for note in TASKS["assistant_intent"]["golden"]]
    assert of_inventory("stack_adapter_problems", settings) == []
    assert of_inventory("stack_adapter_notes", settings) == []
    assert of_inventory("adapter_gate_further", settings) == [
        {
            "candidate": "s3://m/2/adapter",
            "serving": "s3://m/0/adapter",
            "parameter": "/slm-ft-serving/model/adapters-serving/assistant-intent",
        }
    ]


def test_command_line_wins_over_the_settings() -> None:
    settings = DEFAULT | FURTHER
    assert set(of_inventory("model_store_models", settings, model_store_adapters={})) == {"base", "adapter"}
    assert "model_store_adapters" in of_inventory("stack_adapter_problems", settings, model_store_adapters="x")[0]


def test_task_without_an_adapter_is_told_before_a_deployment() -> None:
    (note,) = of_inventory("stack_adapter_notes", DEFAULT)
    assert "assistant_intent" in note
