"""Calls of a local region's gateway from outside the instance, as a client makes them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.local_region import names
from tests.local_region.region import LocalRegion

TIMEOUT_SECONDS = 120


def golden_note() -> dict[str, Any]:
    """Return the first golden note of the default task."""
    task = yaml.safe_load((names.REPOSITORY_ROOT / "gateway/tasks/medical_ie.yaml").read_text(encoding="utf-8"))
    note: dict[str, Any] = task["golden"][0]
    return note


def request(
    region: LocalRegion,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    key: str | None = None,
    address: str | None = None,
) -> tuple[int, Any]:
    """Call the gateway.

    Args:
        region: Where it runs.
        path: Of the call.
        body: Sent as JSON by POST; GET without one.
        key: In place of the region's demonstration key.
        address: In place of the one where the region publishes the gateway.

    Returns:
        Status and JSON of the answer.

    Raises:
        OSError: Nothing answers.
    """
    environment = region.env()
    if key is None:
        key = Path(environment["GATEWAY_API_KEY_FILE"]).read_text(encoding="ascii").strip()
    call = urllib.request.Request(
        (address or environment["GATEWAY_URL"]) + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "X-API-Key": key},
    )
    try:
        with urllib.request.urlopen(call, timeout=TIMEOUT_SECONDS) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def is_serving(region: LocalRegion) -> bool:
    """Return whether the gateway reports that it is healthy."""
    try:
        return request(region, "/health")[0] == 200
    except OSError:
        return False
