"""Every module that asks AWS bears an answer without what AWS may leave out, whatever emulators send besides.

Which members AWS always sends is a list (tests/fakes/answers/always_sent.txt), for its models do not say it. What these
tests do not show is that the list is right: somebody has read the API's reference for each line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from ansible_collections.slm.serving.plugins.module_utils.vcpu_quotas import running_vcpus
from ansible_collections.slm.serving.plugins.modules import (
    ecr_image_info,
    ecr_repository,
    gateway_address_info,
    infrastructure_info,
    instance_launch,
    instance_placement_info,
    instance_profile_association,
    preflight_account,
    session_document,
    ssm_instance,
)

from tests.fakes.answers import WITHIN, always_sent, bare_client

LINE = re.compile(r"([a-z0-9-]+):([A-Za-z0-9]+) (.+)")


def account() -> list[str]:
    """Ask all that provision.yml asks; return what was not answered."""
    services = ("ec2", "ecr", "iam", "logs", "s3", "secretsmanager", "ssm")
    ours = infrastructure_info.Account.__new__(infrastructure_info.Account)
    ours.clients = {service: bare_client(service) for service in services}
    named = {"buckets": ["b"], "repositories": ["r"], "log_groups": ["x"], "secrets": ["s"]}
    roles = ("role", "github_role", "github_deploy_role")
    texts = (*roles, "security_group", "session_document", "parameter_path", "application")
    ours.params = {**named, **dict.fromkeys(texts, "x"), "instance_id": "i-1", "tags": {"Application": "x"}}
    things, problems = infrastructure_info.answers(ours.questions())
    assert {"role", "instance profile", "security group", "bucket", "repository", "log group", "instance"} <= {
        each["kind"] for each in things
    }
    return problems


def preflight() -> list[str]:
    """Check an account before a deployment; return what could not be asked."""
    services = ("secretsmanager", "s3", "ec2", "ssm", "iam", "service-quotas")
    clients = {service: bare_client(service) for service in services}
    options = {
        "instance_id": "i-1",
        "caller": "arn:aws:iam::1:user/u",
        "region": "us-east-1",
        "bucket": "b",
        "accelerator": "gpu",
        "engine_profile": "",
        "engine_options": {},
        "session_document": "d",
        "secrets": [{"name": "s", "parameter": "p"}],
        "models": {"base": "s3://m/base"},
    }
    found = preflight_account.run_checks(preflight_account.Account(clients.__getitem__, options))
    return [problem for problems in found.values() for problem in problems if "could not be asked" in problem]


def placement() -> list[str]:
    """Find a place for an instance; return what was not answered."""
    found = instance_placement_info.Placement.__new__(instance_placement_info.Placement)
    found.ec2, found.ssm, found.quotas = (bare_client(each) for each in ("ec2", "ssm", "service-quotas"))
    found.params = {"instance_type": "g6.2xlarge", "subnet_id": "", "public_address": "subnet", "ami_parameter": "/a"}
    found.params |= {"count": 1, "volume_gib": 200, "images_bytes": 1, "models_bytes": 1}
    found.params |= {"accelerator": "gpu", "engine_profile": "", "engine_options": {}}
    found.region, found.problems, found.warnings, found.needed_gib = "us-east-1", [], [], 0
    assert found.subnets()
    found.check_type(found.image())
    return found.warnings


def launched() -> object:
    """Return what is known of an instance that was launched."""
    return instance_launch.Launch(bare_client("ec2"), {})._describe("i-1")["InstanceId"]


def agent() -> object:
    """Return the status of an agent that has not said when it was there last."""
    found = ssm_instance.Agent(bare_client("ssm"), bare_client("ec2"), "i-1")
    return found.status(found.started())


def document() -> object:
    """Return what of a session document differs, brought up to date."""
    parameters = {"name": "d", "description": "x", "inputs": {}, "tags": {"Application": "x"}}
    found = session_document.Document(bare_client("ssm"), parameters)
    differences = found.differences()
    found.correct(differences)
    return differences


def repository() -> object:
    """Return what of a repository differs, brought up to date."""
    parameters = {"name": "r", "images_kept": 10, "untagged_days": 14, "tags": {"Application": "x"}}
    found = ecr_repository.Repository(bare_client("ecr"), parameters)
    differences = found.differences()
    found.correct(differences)
    return sorted(differences)


def image() -> object:
    """Return the digest of a tag, and the tags of a repository whose images have none."""
    client = bare_client("ecr")
    resolved, problem = ecr_image_info.resolve(client, "us-east-1", "engine", "r", "t")
    return resolved["digest"], problem, ecr_image_info.existing_tags(client, "r")


def address() -> object:
    """Return the address of an instance that has none."""
    return gateway_address_info.find(bare_client("ec2"), "i-1", 8080)["address"]


def association() -> object:
    """Return the members of what ties a profile to an instance."""
    return set(instance_profile_association.association_of(bare_client("ec2"), "i-1") or {})


def vcpus() -> object:
    """Return the vCPUs of instances whose processors are not told."""
    return running_vcpus(bare_client("ec2"), "L-DB2E81BA")


@pytest.mark.parametrize("ask", [account, preflight, placement], ids=lambda each: each.__name__)
def test_questions_are_answered_by_what_aws_always_sends(ask: Callable[[], list[str]]) -> None:
    assert ask() == []


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (launched, "x"),
        (agent, "unknown"),
        (document, ["content", "tags"]),
        (repository, ["lifecycle", "mutability", "scanning", "tags"]),
        (image, ("x", None, [])),
        (address, ""),
        (association, {"AssociationId", "IamInstanceProfile"}),
        (vcpus, 0),
    ],
    ids=lambda each: getattr(each, "__name__", "told"),
)
def test_modules_bear_answers_without_what_aws_may_leave_out(ask: Callable[[], object], told: object) -> None:
    assert ask() == told


def test_what_is_said_to_be_always_sent_is_in_botocores_models() -> None:
    session = botocore.session.get_session()
    for line in always_sent() | WITHIN:
        parts = LINE.fullmatch(line)
        assert parts, line
        service, operation, path = parts.groups()
        shape: Any = session.get_service_model(service).operation_model(operation).output_shape
        for name in path.replace("[]", ".[]").split("."):
            assert shape is not None, line
            assert name == "[]" or name in shape.members, line
            shape = shape.member if name == "[]" else shape.members[name]
