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
    *("budgets", "cloudwatch", "ec2", "ecr", "iam", "logs", "pricing"),
    *("s3", "secretsmanager", "service-quotas", "ssm", "sts"),
)
NEXT_PAGE = {"NextToken", "nextToken", "Marker", "NextMarker", "NextContinuationToken"}
# One page is all: these name each thing that they want, or as many as they need.
BOUNDED_BY = {
    "describe_images": ("ImageIds", "imageIds"),
    "describe_instance_types": ("InstanceTypes",),
    "describe_instances": ("InstanceIds",),
    "describe_repositories": ("repositoryNames",),
    "describe_volumes": ("VolumeIds",),
    "simulate_principal_policy": ("ActionNames",),
    # Whether there is any.
    "list_images": ("maxResults",),
    "list_objects_v2": ("MaxKeys",),
}
# EC2 pages these only for a caller that asks for pages with MaxResults, and answers everything else at once.
WHOLE_WITHOUT_MAX_RESULTS = {
    "describe_iam_instance_profile_associations",
    "describe_images",
    "describe_instances",
    "describe_route_tables",
    "describe_security_groups",
    "describe_subnets",
    "describe_vpc_endpoints",
    "describe_volumes",
}
# A page is enough by what is asked.
ONE_PAGE = {
    # One agent of one instance.
    "describe_instance_information": ("Filters",),
    # Zones of one type: a page has 100.
    "describe_instance_type_offerings": ("Filters",),
    # In the order of their names, so the one that is its own prefix comes first.
    "describe_log_groups": ("logGroupNamePrefix",),
}


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
        bounds = {*BOUNDED_BY.get(name, ()), *ONE_PAGE.get(name, ())}
        # ECR has a describe_images too, which always pages.
        whole = name in WHOLE_WITHOUT_MAX_RESULTS and not {"MaxResults", "repositoryName"} & given
        if name in paged_operations() and not (bounds & given) and not whole and "NextToken" not in given:
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
        ('client.list_objects_v2(Bucket="a")', ["1: list_objects_v2"]),
        ('client.get_paginator("get_parameters_by_path").paginate(Path="/a")', []),
    ],
)
def test_call_without_its_other_pages_is_found(source: str, found: list[str]) -> None:
    assert list(first_pages(source)) == found
