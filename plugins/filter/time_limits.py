"""How the time limits of gateway, edge and unit have to fit together; NAME.yml documents the filter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

# Seconds that compose.yml.j2 gives a container beyond its own drain before it is killed.
GATEWAY_SLACK, ENGINE_SLACK, EDGE_SLACK = 10, 15, 10


def time_limit_problems(limits: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each time limit that would cut short what another one allows.

    Args:
        limits: `edge` (whether there is one), `body` and `answer` (the edge's seconds), `gateway_drain`, `engine_drain`
            and `stop` (the unit's), and `environment`, the gateway's variables by name.
    """
    environment = limits["environment"]
    request = _seconds(environment.get("GATEWAY_REQUEST_TIMEOUT", 60))
    drain = _seconds(environment.get("GATEWAY_DRAIN_TIMEOUT", limits["gateway_drain"]))
    problems = _edge_problems(limits, request) if limits["edge"] and request is not None else []
    gateway_drain, engine_drain, stop = (_seconds(limits[name]) for name in ("gateway_drain", "engine_drain", "stop"))
    if drain is not None and gateway_drain is not None and drain > gateway_drain:
        problems.append(
            f"GATEWAY_DRAIN_TIMEOUT is {drain:g} s, and the gateway is killed {gateway_drain + GATEWAY_SLACK:g} s after"
            f" it was told to stop: set inference_stack_gateway_drain, which gives both, to {math.ceil(drain)}."
        )
    if gateway_drain is None or engine_drain is None or stop is None:
        return problems
    # One after the other: the gateway, then the engine with the edge.
    last = max(engine_drain + ENGINE_SLACK, gateway_drain + EDGE_SLACK if limits["edge"] else 0)
    needed = gateway_drain + GATEWAY_SLACK + last
    if stop < needed:
        problems.append(
            f"inference_stack_stop_timeout is {stop:g} s, and the containers may take {needed:g} s to finish what they"
            f" run: set it to at least {math.ceil(needed)}, or lower inference_stack_gateway_drain or"
            " inference_stack_engine_drain."
        )
    return problems


def _edge_problems(limits: Mapping[str, Any], request: float) -> list[str]:
    """Return what is wrong with the edge's limits.

    Args:
        limits: as `time_limit_problems` takes them.
        request: seconds that the gateway gives a request, and as many its body.
    """
    problems = []
    body, answer = _seconds(limits["body"]), _seconds(limits["answer"])
    if body is not None and body <= request:
        problems.append(
            f"inference_stack_edge_body_timeout is {body:g} s, and the gateway waits {request:g} s for a body"
            " (GATEWAY_REQUEST_TIMEOUT): the edge would end the connection before the gateway can answer 408. Set it to"
            f" more than {request:g}, such as {math.ceil(request + 15)}."
        )
    if answer is not None and answer <= 2 * request:
        problems.append(
            f"inference_stack_edge_answer_timeout is {answer:g} s, and the gateway may take {2 * request:g} s for one"
            f" request, {request:g} for its body and as many for its answer (GATEWAY_REQUEST_TIMEOUT): the edge would"
            f" cut answers off. Set it to more than {2 * request:g}; a batch takes longer."
        )
    return problems


def _seconds(value: object) -> float | None:
    """Return a number of seconds; None for what is none, which is left to those who read it."""
    try:
        seconds = float(str(value))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


class FilterModule:
    """The filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"time_limit_problems": time_limit_problems}
