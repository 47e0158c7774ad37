"""Answers of AWS in pages: for fakes, whose methods answer all at once, and from boto3's own clients."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import boto3
from botocore import xform_name


@dataclass
class Whole:
    """An answer that is asked for by pages."""

    answer: dict[str, Any]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Do as botocore's PageIterator."""
        yield self.answer

    def build_full_result(self) -> dict[str, Any]:
        """Return the answer of all pages."""
        return self.answer


@dataclass
class Paginator:
    """Asks one method of a fake client."""

    call: Any

    def paginate(self, **request: Any) -> Whole:
        """Do as botocore's Paginator."""
        return Whole(self.call(**request))


class Paginated:
    """A fake client whose methods are asked for all pages too."""

    def get_paginator(self, operation: str) -> Paginator:
        """Do as boto3's clients."""
        return Paginator(getattr(self, operation))


@functools.cache
def _session() -> Any:
    """Return one session for all clients: it reads the model of a service once."""
    return boto3.session.Session()


def client_with_pages(service: str, **answers: list[Any]) -> Any:
    """Return a client of boto3 that answers in pages: an empty one first, then a thing on each.

    Which member holds the things and which the next page's token, is what botocore knows of the operation.

    Args:
        service: Of AWS.
        answers: By operation, such as `describe_subnets`: the things.
    """
    client = _session().client(
        service, region_name="us-east-1", aws_access_key_id="of-no-use", aws_secret_access_key="of-no-use"
    )

    def answer(operation: str, request: dict[str, Any]) -> dict[str, Any]:
        name = xform_name(operation)
        known = client.get_paginator(name)._pagination_cfg
        things, page = answers[name], int(request.get(known["input_token"], 0))
        more = {known["output_token"]: str(page + 1)} if page < len(things) else {}
        return {known["result_key"]: things[page - 1 : page] if page else [], **more}

    client._make_api_call = mock.Mock(side_effect=answer)
    return client
