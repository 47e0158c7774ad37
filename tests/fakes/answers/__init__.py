"""Which members of AWS's answers may be taken for granted, and answers that have no others."""

from __future__ import annotations

import datetime as dt
import functools
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
from botocore.model import ListShape, Shape, StructureShape

FOLDER = Path(__file__).parent
LISTED = (FOLDER / "always_sent.txt").read_text(encoding="utf-8").splitlines()
WITHIN = {
    line for line in (FOLDER / "sent_within.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
}
# What of a kind a member is, where any will do.
SCALARS: dict[str, Any] = {
    "boolean": False,
    "integer": 1,
    "long": 1,
    "float": 1.0,
    "double": 1.0,
    "timestamp": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
}
# Texts that have a form.
TEXTS = {
    "ecr:GetLifecyclePolicy lifecyclePolicyText": '{"rules": []}',
    "ssm:GetDocument Content": "{}",
    "ssm:DescribeDocument Document.LatestVersion": "1",
}


@functools.cache
def always_sent() -> frozenset[str]:
    """Return the members: operation, a blank, and the path, each with what it is in."""
    found: set[str] = set()
    for line in (each for each in LISTED if not each.startswith("#")):
        operation, _, path = line.partition(" ")
        parts = path.split(".")
        found |= {f"{operation} {'.'.join(parts[: number + 1]).removesuffix('[]')}" for number in range(len(parts))}
    return frozenset(found)


def noting(file: Path) -> dict[str, str]:
    """Return the environment in which a playbook's processes note what of AWS's answers is taken for granted.

    Args:
        file: Where they note it.
    """
    return {"PYTHONPATH": str(FOLDER), "SLM_ANSWERS_READ": str(file)}


def never_promised(file: Path) -> set[str]:
    """Return what processes that noted it took for granted though AWS may leave it out.

    Args:
        file: Where they noted it.

    Raises:
        AssertionError: They noted nothing, so that nothing is known.
    """
    taken = {line.rpartition(" ")[0] for line in file.read_text(encoding="utf-8").splitlines()}
    assert taken
    return taken - always_sent() - WITHIN


def bare_answer(shape: Shape | None, place: str) -> Any:
    """Return an answer of an operation, or a part of one, with only what AWS always sends; a thing in each list.

    Args:
        shape: As botocore has it.
        place: Of the part, as the members are written; of the whole, the operation and a blank.
    """
    if isinstance(shape, StructureShape):
        known = always_sent()
        within = place if place.endswith(" ") else f"{place}."
        return {
            name: bare_answer(member, f"{within}{name}")
            for name, member in shape.members.items()
            if f"{within}{name}" in known
        }
    if isinstance(shape, ListShape):
        # A list of which no member is taken for granted may be empty as well.
        return [each for each in [bare_answer(shape.member, f"{place}[]")] if each != {}]
    kind = shape.type_name if shape is not None else "structure"
    return {} if kind in ("structure", "map") else SCALARS.get(kind, TEXTS.get(place, "x"))


@functools.cache
def _session() -> Any:
    """Return one session for all clients: it reads the model of a service once."""
    return boto3.session.Session()


def bare_client(service: str) -> Any:
    """Return a client of boto3 whose calls are answered with only what AWS always sends.

    Args:
        service: Of AWS.
    """
    client = _session().client(
        service, region_name="us-east-1", aws_access_key_id="of-no-use", aws_secret_access_key="of-no-use"
    )

    def answer(operation: str, _: dict[str, Any]) -> Any:
        model = client.meta.service_model.operation_model(operation)
        return bare_answer(model.output_shape, f"{service}:{operation} ")

    client._make_api_call = mock.Mock(side_effect=answer)
    return client
