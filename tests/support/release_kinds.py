"""Kinds of release, each a change of one part of the stack, and what clients see of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.local_region.region import LocalRegion
from tests.support.notes_load import NotesLoad, Outcome, outcome
from tests.support.runner import run_playbook

Variables = Mapping[str, Any]
# The region forwards the instance's port 8080 alone, so that the edge takes it.
EDGE: Variables = {
    "inference_stack_edge_mode": "certificate",
    "inference_stack_edge_https_port": 8080,
    "inference_stack_gateway_port": 8081,
}


@dataclass(frozen=True)
class Kind:
    """A kind of release.

    Attributes:
        name: As the table has it.
        variables: What is changed by `-e`, beside what the kinds before it changed.
    """

    name: str
    variables: Variables


GATEWAY = Kind("the gateway", {"inference_stack_gateway_pids": 257})
ENGINE = Kind("the engine or the adapter", {"inference_stack_engine_max_model_len": 1024})
EDGE_ITSELF = Kind("the edge", {"inference_stack_edge_retry_after": 6})


def release(region: LocalRegion, variables: Variables, *, has_edge: bool) -> Outcome:
    """Deploy under load, and return what became of the clients' requests.

    Args:
        region: Where a release serves.
        variables: Given by `-e`.
        has_edge: Whether the clients ask an edge.

    Raises:
        AssertionError: The deployment fails; the message holds the playbook's output.
    """
    with NotesLoad(region, https=has_edge) as load:
        run_playbook(region, "deploy", "-e", json.dumps(variables)).must_succeed()
    return outcome(load.requests)
