"""What each caller may do: the policies of the instance's role, and the two documents for operators.

They are asked by moto's own reading of policies, for it is quick and in this process: wildcards in actions and
resources, and Deny over Allow. It knows neither conditions, which are left out here, nor NotResource, boundaries or
policies of resources; tests/policies evaluates the same calls by IAM's whole rules.
"""

from __future__ import annotations

import copy
import functools
import json
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.iam.models import iam_backends
from moto.s3.models import FakeBucket
from moto.ssm.models import ssm_backends

from tests.local_region import names, operator_documents
from tests.local_region.aws_api.calls import UNRESTRICTED
from tests.local_region.recorded_calls import Question, in_general

OPERATORS = ("operator-deploy", "operator-provision", "operator-monitoring", "operator-waking", "operator-scaling")
# A document that is another operator's besides.
OWNERS = {"operator-provision-fleet": "operator-provision"}
EDGE_SETTINGS = ("edge/mode", "images/edge-tag", "secrets/edge-certificate")


def leave_bucket_policies_out() -> None:
    """Have moto ask no bucket's policy: it reads no conditions, so that one against unencrypted calls refuses all."""
    setattr(FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL)  # noqa: B010 - mypy refuses the other


def arn_of(principal: str) -> str:
    """Return the ARN by which AWS names a caller in a refusal."""
    if principal == "instance":
        return f"arn:aws:sts::{names.ACCOUNT_ID}:assumed-role/{names.INSTANCE_ROLE}"
    return f"arn:aws:iam::{names.ACCOUNT_ID}:user/{principal}"


def refused(principal: str, questions: list[Question]) -> str | None:
    """Return the first action that a caller's policies do not allow, such as `s3:PutObject`; None when it may go on.

    A role without any policy is not asked: an account that was only seeded has no more than the role's name.
    """
    if principal in UNRESTRICTED:
        return None
    if principal == "instance":
        policies, asked = _of_the_role(), questions
    else:
        # The documents have the names that provision.yml gives, a region may have others.
        policies, asked = _of_the_operator(principal, _edge_settings()), [in_general(each) for each in questions]
    if not policies:
        return None
    return next((each.action for each in asked if not _permitted(policies, each)), None)


def document_of(principal: str, question: Question) -> str:
    """Return for which document a caller's question is recorded: one of another operator where that allows it."""
    for document in operator_documents.documents_of(principal):
        owner = OWNERS.get(document, document)
        if owner in OPERATORS and _permitted([_document(document, _edge_settings())], in_general(question)):
            return owner
    return principal


def _of_the_role() -> list[IAMPolicy]:
    roles = iam_backends[names.ACCOUNT_ID]["aws"].roles.values()
    ours = [role for role in roles if role.name == names.INSTANCE_ROLE]
    inline = [document for role in ours for document in role.policies.values()]
    attached = [policy for role in ours for policy in role.managed_policies.values()]
    managed = [version.document for policy in attached for version in policy.versions if version.is_default]
    return [_readable(json.loads(document)) for document in [*inline, *managed]]


def _of_the_operator(principal: str, settings: frozenset[tuple[str, str]]) -> list[IAMPolicy]:
    return [_document(each, settings) for each in operator_documents.documents_of(principal)]


@functools.cache
def _document(name: str, settings: frozenset[tuple[str, str]]) -> IAMPolicy:
    return _readable(operator_documents.rendered(name, dict(settings)))


def _edge_settings() -> frozenset[tuple[str, str]]:
    """Return the settings that have a policy's document name the edge's repository and secret."""
    store = ssm_backends[names.ACCOUNT_ID][names.AWS_REGION]
    paths = {f"{names.PARAMETER_PREFIX}/{name}": name for name in EDGE_SETTINGS}
    found = store.get_parameters(list(paths))
    return frozenset((paths[path], parameter.value) for path, parameter in found.items())


def _readable(document: dict[str, Any]) -> IAMPolicy:
    """Return a policy as moto can read it: it takes names for regular expressions, and unmet conditions for a Deny."""
    document = copy.deepcopy(document)
    statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    for statement in statements:
        statement.pop("Condition", None)
        named = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        statement["Resource"] = [
            # Of the variables, the user's name is that of recorded_calls.in_general, and the user's id stays one.
            each.replace("?", ".").replace("${aws:username}", "operator").replace("$", "[$]")
            for each in named
        ]
    return IAMPolicy(json.dumps(document))


def _permitted(policies: list[IAMPolicy], question: Question) -> bool:
    results = [policy.is_action_permitted(question.action, question.resource) for policy in policies]
    return PermissionResult.PERMITTED in results and PermissionResult.DENIED not in results
