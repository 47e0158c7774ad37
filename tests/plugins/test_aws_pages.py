"""What AWS answers in pages is read to its last page: emulators answer everything at once, and no test of theirs tells.

By botocore's models: an operation comes in pages when its answer has a member for the next one.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from tests.local_region.names import REPOSITORY_ROOT

PLUGINS = REPOSITORY_ROOT / "plugins"
SERVICES = (
    *("acm", "autoscaling", "budgets", "cloudwatch", "ec2", "ecr", "elbv2", "iam", "logs", "pricing"),
    *("s3", "secretsmanager", "service-quotas", "sns", "ssm", "sts"),
)
NEXT_PAGE = {"NextToken", "nextToken", "Marker", "NextMarker", "NextContinuationToken"}
# One page is all: these name each thing that they want, or as many as they need.
BOUNDED_BY = {
    "describe_auto_scaling_groups": ("AutoScalingGroupNames",),
    "describe_policies": ("PolicyNames",),
    "describe_images": ("ImageIds", "imageIds"),
    "describe_instance_types": ("InstanceTypes",),
    "describe_instances": ("InstanceIds",),
    "describe_load_balancers": ("Names",),
    "describe_repositories": ("repositoryNames",),
    "describe_security_groups": ("GroupIds",),
    # Of a load balancer.
    "describe_tags": ("ResourceArns",),
    "describe_target_groups": ("Names",),
    "describe_volumes": ("VolumeIds",),
    "simulate_principal_policy": ("ActionNames",),
    # Whether there is any.
    "list_images": ("maxResults",),
    "list_objects_v2": ("MaxKeys",),
}
# What reads every page, of which the operation is an argument.
READERS = {"_every", "get_paginator", "paginated_query_with_retries"}


@functools.cache
def paged_operations() -> frozenset[str]:
    """Return the methods of boto3's clients whose answers come in pages."""
    session, found = botocore.session.get_session(), set()
    for service in SERVICES:
        model = session.get_service_model(service)
        for name in model.operation_names:
            output = model.operation_model(name).output_shape
            if output is not None and NEXT_PAGE & set(output.members):
                found.add(xform_name(name))
    return frozenset(found)


def first_pages(source: str) -> Iterator[str]:
    """Yield line and operation of each call that takes a first page for the whole."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name, given = node.func.attr, {keyword.arg for keyword in node.keywords}
        bounded = set(BOUNDED_BY.get(name, ())) & given
        if name in paged_operations() and not bounded and "NextToken" not in given:
            yield f"{node.lineno}: {name}"


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: str(path.relative_to(PLUGINS)))
def test_no_first_page_is_taken_for_the_whole(path: Path) -> None:
    assert list(first_pages(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('client.get_parameters_by_path(Path="/a")["Parameters"]', ["1: get_parameters_by_path"]),
        ('client.describe_images(repositoryName="a")', ["1: describe_images"]),
        ('client.describe_images(repositoryName="a", imageIds=[{"imageTag": "b"}])', []),
        ('client.get_products(ServiceCode="a", MaxResults=10)["PriceList"]', ["1: get_products"]),
        ('client.describe_instances(MaxResults=5)["Reservations"]', ["1: describe_instances"]),
        ('client.describe_instances(InstanceIds=["i-1"])["Reservations"]', []),
        # EC2 answers it at once to some accounts, and to others not.
        ("client.describe_instances(Filters=[])", ["1: describe_instances"]),
        # A filter may leave the first page empty.
        ("client.describe_instance_information(Filters=[])", ["1: describe_instance_information"]),
        ('paginated_query_with_retries(client, "describe_subnets", Filters=[])', []),
        ('client.list_objects_v2(Bucket="a")', ["1: list_objects_v2"]),
        ('client.get_paginator("get_parameters_by_path").paginate(Path="/a")', []),
    ],
)
def test_call_without_its_other_pages_is_found(source: str, found: list[str]) -> None:
    assert list(first_pages(source)) == found


def readers(source: str) -> Iterator[str]:
    """Yield the operation of each call that reads every page."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in READERS:
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            yield from [str(text) for text in texts[-1:]]


def test_what_is_read_to_its_last_page_has_a_paginator() -> None:
    loader = botocore.session.get_session().get_component("data_loader")
    known = {
        xform_name(name)
        for service in SERVICES
        for name in loader.load_service_model(service, "paginators-1")["pagination"]
    }
    named = {name for path in PLUGINS.rglob("*.py") for name in readers(path.read_text(encoding="utf-8"))}
    assert {"describe_instances", "describe_parameters", "get_products"} <= named
    assert named <= known
