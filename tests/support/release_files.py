"""The files of a release as the role inference_stack renders them, and the engine's settings by profile."""

from __future__ import annotations

import functools
import json
from typing import Any

import yaml
from ansible_collections.slm.serving.plugins.module_utils.engine_profiles import PROFILES

from tests.support.rendering import value
from tests.support.role_variables import ROLES

DIGEST = f"sha256:{'0' * 64}"
BASE: dict[str, Any] = {
    "inference_stack_stamp": "20260101T000000Z",
    "inference_stack_images": {
        "engine": {"reference": f"registry.invalid/engine@{DIGEST}"},
        "gateway": {"reference": f"registry.invalid/gateway@{DIGEST}"},
    },
    "inference_stack_models": {"base": {"path": "/models/base-1"}, "adapter": {"path": "/models/adapter-1"}},
    "inference_stack_verification": {"adapters": ["medical-ie"], "golden": [], "gateway_port": 8080},
}


def file(name: str, **changes: Any) -> str:
    """Return the text of one of the files of every release, rendered from `BASE` with these changes."""
    return _file(name, json.dumps(changes, sort_keys=True))


@functools.cache
def _file(name: str, changes: str) -> str:
    """Render a file once for all tests of a process: Ansible takes a tenth of a second and more for each."""
    return str(value("inference_stack", f"_inference_stack_always['{name}']", BASE | json.loads(changes)))


def files(**changes: Any) -> dict[str, str]:
    """Return all files of a release, the edge's too where there is one."""
    found: dict[str, str] = value("inference_stack", "_inference_stack_files", BASE | changes)
    return found


def edge_files(**changes: Any) -> dict[str, str]:
    """Return the files of a release with an edge."""
    images = {**BASE["inference_stack_images"], "edge": {"reference": f"registry.invalid/edge@{DIGEST}"}}
    given = {"inference_stack_edge_mode": "certificate", "inference_stack_edge_domain": "notes.example.org"}
    return files(**({"inference_stack_images": images} | given | changes))


def compose(**changes: Any) -> dict[str, Any]:
    """Return the compose file's content."""
    content: dict[str, Any] = yaml.safe_load(file("compose.yml", **changes))
    return content


def engine(**changes: Any) -> dict[str, Any]:
    """Return the engine's settings."""
    content: dict[str, Any] = yaml.safe_load(file("engine.yaml", **changes))
    return content


# Made by tests/support/engine_parser.py in the engine's image.
ENGINE = json.loads((ROLES / "inference_stack/files/vllm_options.json").read_text(encoding="utf-8"))
ALL_PROFILES = [(accelerator, profile) for accelerator, profiles in PROFILES.items() for profile in profiles]


def rendered(accelerator: str, profile: str, **changes: Any) -> dict[str, Any]:
    """Return the engine's settings with a profile."""
    return engine(inference_stack_accelerator=accelerator, inference_stack_profile=profile, **changes)
