"""Which S3 operation a request is: its method and address, matched with botocore's description of S3."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from urllib.parse import parse_qs

import botocore.loaders

# Objects copied by the server have the same address as ones put.
LEFT_OUT = {"CopyObject", "UploadPartCopy"}


@dataclass(frozen=True)
class Form:
    """What the requests of one operation look like.

    Attributes:
        operation: Its name, such as `GetBucketTagging`.
        method: Of HTTP.
        named: Whether the address names a bucket, and whether it names a key.
        query: What the address's query must have.
    """

    operation: str
    method: str
    named: tuple[bool, bool]
    query: frozenset[str]


def operation_of(method: str, bucket: str, key: str, query: str) -> str:
    """Return the operation's name; empty when S3 has none of this form.

    Args:
        method: Of HTTP.
        bucket: Empty when the address names none.
        key: Empty when the address names none.
        query: The address's.
    """
    there = set(parse_qs(query, keep_blank_values=True))
    named = (bool(bucket), bool(key))
    fitting = [form for form in _forms() if (form.method, form.named) == (method, named) and form.query <= there]
    return max(fitting, key=lambda form: len(form.query)).operation if fitting else ""


@functools.cache
def _forms() -> list[Form]:
    described = botocore.loaders.create_loader().load_service_model("s3", "service-2")
    forms = []
    for name, operation in described["operations"].items():
        path, _, query = operation["http"]["requestUri"].partition("?")
        shape = described["shapes"].get(operation.get("input", {}).get("shape", ""), {})
        required = [shape["members"][member] for member in shape.get("required", [])]
        needed = {each["locationName"] for each in required if each.get("location") == "querystring"}
        static = set(parse_qs(query, keep_blank_values=True)) - {"x-id"}
        if name not in LEFT_OUT and not operation.get("deprecated"):
            named = ("{Bucket}" in path, "{Key" in path)
            forms.append(Form(name, operation["http"]["method"], named, frozenset(static | needed)))
    return forms
