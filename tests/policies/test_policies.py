"""Each call that a playbook's test made is allowed by IAM's rules, and nothing is allowed that is not needed."""

from __future__ import annotations

import functools
import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.local_region import names, operator_documents
from tests.local_region.recorded_calls import Question, Recorded
from tests.policies import evaluator, linter
from tests.support import permissions
from tests.support.rendering import value

PAGE = names.REPOSITORY_ROOT / "docs" / "permissions.md"
SID = re.compile(r"`(\w+)`")
PRINCIPALS = (
    *("instance", "operator-deploy", "operator-provision", "operator-monitoring", "operator-waking"),
    "operator-scaling",
)
DOCUMENTS = (*PRINCIPALS, "operator-provision-fleet")
# Characters that IAM takes for one managed policy, spaces left out.
LARGEST_DOCUMENT = 6144
# No name of a region of their partitions is longer, and ARNs have both.
LONGEST_REGIONS = ("ap-southeast-1", "us-gov-east-1", "cn-northwest-1")
HERE = "us-east-1:123456789012"
INSTANCE = f"arn:aws:ec2:{HERE}:instance/i-0123456789abcdef0"
OURS, OTHERS = {"aws:ResourceTag/Application": "slm-ft-serving"}, {"aws:ResourceTag/Application": "another"}
TRANSFER = "arn:aws:s3:::slm-ft-serving-transfer-123456789012-us-east-1"
MODELS = "arn:aws:s3:::slm-ft-serving-models-123456789012-us-east-1"
ROLE = "arn:aws:iam::123456789012:role/slm-ft-serving-instance"
WAKERS_ROLE = "arn:aws:iam::123456789012:role/slm-ft-serving-waker"
SECRET = f"arn:aws:secretsmanager:{HERE}:secret:slm-ft-serving/gateway-api-keys-a1B2c3"
TO_EC2 = {"iam:PassedToService": "ec2.amazonaws.com"}
BALANCING = f"arn:aws:elasticloadbalancing:{HERE}"
SERVICE_ROLE = "arn:aws:iam::123456789012:role/aws-service-role"
TAGGED = {"aws:RequestTag/Application": "slm-ft-serving"}
UNCHECKED = {"ssm:resourceTag/Application": "slm-ft-serving", "ssm:SessionDocumentAccessCheck": "false"}
# Findings of the linter that are wrong or meant, by the document's name.
EXPLAINED = {
    # The key is documented for StartSession, in
    # https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-sessiondocumentaccesscheck.html
    "operator-deploy": {"UNKNOWN_CONDITION_FOR_ACTION ssm:SessionDocumentAccessCheck"},
    # Instance and volume need a tag, subnet and image have none: each is in one of two statements.
    "operator-provision": {"RESOURCE_MISMATCH ec2:RunInstances"},
    # The linter asks for the listeners of Network Load Balancers too, of which there is none.
    "operator-provision-fleet": {
        f"RESOURCE_MISMATCH elasticloadbalancing:{action}" for action in ("DeleteListener", "ModifyListener")
    },
    "instance": set(),
    "operator-monitoring": set(),
    "operator-waking": set(),
    # Instance and image need a tag each, the one that it has and the other that it is given.
    "operator-scaling": {"RESOURCE_MISMATCH ec2:CreateImage"},
}


def call(principal: str, action: str, resource: str = "*", context: dict[str, str] | None = None) -> Recorded:
    """Return a call, as if it was recorded."""
    return Recorded(principal, Question(action, resource, tuple(sorted((context or {}).items()))))


REFUSED = (
    call("operator-deploy", "s3:GetObject", "arn:aws:s3:::another/key"),
    call("operator-deploy", "s3:ListBucket", "arn:aws:s3:::another"),
    call("operator-deploy", "s3:GetObject", f"{MODELS}/base/model.safetensors"),
    call("operator-deploy", "s3:PutObject", f"{MODELS}/adapter/evaluation.json"),
    call("operator-deploy", "ec2:StartInstances", INSTANCE),
    call("operator-deploy", "ec2:StopInstances", INSTANCE, OTHERS),
    call("operator-deploy", "ec2:TerminateInstances", INSTANCE, OURS),
    call("operator-deploy", "ec2:RunInstances", f"arn:aws:ec2:{HERE}:instance/*", TAGGED),
    call("operator-deploy", "ssm:StartSession", INSTANCE),
    call("operator-deploy", "ssm:StartSession", INSTANCE, {"ssm:resourceTag/Application": "another"}),
    call("operator-deploy", "ssm:StartSession", INSTANCE, UNCHECKED),
    call("operator-deploy", "ssm:StartSession", f"arn:aws:ssm:{HERE}:document/AWS-StartSSHSession"),
    call("operator-deploy", "ssm:TerminateSession", f"arn:aws:ssm:{HERE}:session/another-0123456789abcdef0"),
    call("operator-deploy", "ssm:SendCommand", INSTANCE, OURS),
    call("operator-deploy", "ssm:PutParameter", f"arn:aws:ssm:{HERE}:parameter/slm-ft-serving/s3/transfer-bucket"),
    call("operator-deploy", "ssm:GetParameter", f"arn:aws:ssm:{HERE}:parameter/another/key"),
    call("operator-deploy", "secretsmanager:GetSecretValue", SECRET),
    call("operator-deploy", "ecr:PutImage", f"arn:aws:ecr:{HERE}:repository/slm-ft-serving-vllm"),
    call("operator-deploy", "iam:PassRole", ROLE, TO_EC2),
    call("operator-deploy", "iam:PutRolePolicy", ROLE),
    call(
        "operator-deploy", "elasticloadbalancing:DeregisterTargets", f"{BALANCING}:targetgroup/another/0123456789abcdef"
    ),
    call(
        "operator-deploy", "elasticloadbalancing:RegisterTargets", f"{BALANCING}:targetgroup/another/0123456789abcdef"
    ),
    call(
        "operator-deploy",
        "elasticloadbalancing:DeleteTargetGroup",
        f"{BALANCING}:targetgroup/slm-ft-serving-gateway/0123456789abcdef",
    ),
    call(
        "operator-provision",
        "elasticloadbalancing:DeleteLoadBalancer",
        f"{BALANCING}:loadbalancer/app/another/0123456789abcdef",
    ),
    call(
        "operator-provision",
        "elasticloadbalancing:ModifyListener",
        f"{BALANCING}:listener/app/another/0123456789abcdef/0123456789abcdef",
    ),
    call(
        "operator-provision",
        "elasticloadbalancing:RegisterTargets",
        f"{BALANCING}:targetgroup/another/0123456789abcdef",
    ),
    call(
        "operator-provision",
        "iam:CreateServiceLinkedRole",
        f"{SERVICE_ROLE}/spot.amazonaws.com/AWSServiceRoleForEC2Spot",
        {"iam:AWSServiceName": "spot.amazonaws.com"},
    ),
    call("operator-provision", "iam:PassRole", "arn:aws:iam::123456789012:role/another", TO_EC2),
    call("operator-provision", "iam:PassRole", ROLE, {"iam:PassedToService": "lambda.amazonaws.com"}),
    call("operator-provision", "iam:PutRolePolicy", "arn:aws:iam::123456789012:role/another"),
    call("operator-provision", "iam:AttachRolePolicy", ROLE),
    call("operator-provision", "ec2:RunInstances", f"arn:aws:ec2:{HERE}:instance/*"),
    call("operator-provision", "ec2:TerminateInstances", INSTANCE),
    call("operator-provision", "ec2:TerminateInstances", INSTANCE, OTHERS),
    call("operator-provision", "ec2:ModifyInstanceAttribute", INSTANCE, OTHERS),
    call("operator-provision", "ec2:AuthorizeSecurityGroupIngress", f"arn:aws:ec2:{HERE}:security-group/sg-01234567"),
    call("operator-provision", "s3:DeleteBucket", "arn:aws:s3:::another"),
    call("operator-provision", "s3:PutObject", "arn:aws:s3:::another/key"),
    call("operator-provision", "ecr:DeleteRepository", f"arn:aws:ecr:{HERE}:repository/another"),
    call("operator-provision", "secretsmanager:GetSecretValue", SECRET),
    call("operator-provision", "secretsmanager:DeleteSecret", f"arn:aws:secretsmanager:{HERE}:secret:another-a1B2c3"),
    call("operator-provision", "ssm:PutParameter", f"arn:aws:ssm:{HERE}:parameter/another/key"),
    call("operator-provision", "ssm:StartSession", INSTANCE, OURS),
    call("operator-provision", "logs:DeleteLogGroup", f"arn:aws:logs:{HERE}:log-group:/another"),
    call("operator-provision", "budgets:ModifyBudget", "arn:aws:budgets::123456789012:budget/another"),
    call("operator-deploy", "logs:FilterLogEvents", f"arn:aws:logs:{HERE}:log-group:/slm-ft-serving/containers"),
    call("operator-deploy", "lambda:InvokeFunction", f"arn:aws:lambda:{HERE}:function:slm-ft-serving-waker"),
    call("operator-monitoring", "sns:DeleteTopic", f"arn:aws:sns:{HERE}:another"),
    call("operator-monitoring", "cloudwatch:DeleteAlarms", f"arn:aws:cloudwatch:{HERE}:alarm:another"),
    call("operator-monitoring", "cloudwatch:PutDashboard", "arn:aws:cloudwatch::123456789012:dashboard/another"),
    call("operator-monitoring", "logs:DeleteLogGroup", f"arn:aws:logs:{HERE}:log-group:/another/units"),
    call("operator-waking", "lambda:UpdateFunctionCode", f"arn:aws:lambda:{HERE}:function:another"),
    call("operator-waking", "lambda:InvokeFunction", f"arn:aws:lambda:{HERE}:function:slm-ft-serving-waker"),
    call("operator-waking", "iam:PutRolePolicy", ROLE),
    call("operator-waking", "iam:PassRole", ROLE, {"iam:PassedToService": "lambda.amazonaws.com"}),
    call("operator-waking", "iam:PassRole", WAKERS_ROLE, TO_EC2),
    call("operator-waking", "secretsmanager:GetSecretValue", SECRET),
    call("operator-waking", "logs:DeleteLogGroup", f"arn:aws:logs:{HERE}:log-group:/aws/lambda/another"),
    call("instance", "cloudwatch:PutMetricData", context={"cloudwatch:namespace": "slm-ft-serving"}),
    call("instance", "s3:GetObject", "arn:aws:s3:::another/key"),
    call("instance", "s3:GetObject", f"{TRANSFER}/key"),
    call("instance", "s3:PutObject", f"{MODELS}/base/config.json"),
    call("instance", "ssm:GetParameter", f"arn:aws:ssm:{HERE}:parameter/slm-ft-serving/aws/region"),
    call("instance", "ecr:BatchCheckLayerAvailability", f"arn:aws:ecr:{HERE}:repository/slm-ft-serving-vllm"),
    call("instance", "logs:PutLogEvents", f"arn:aws:logs:{HERE}:log-group:/another:log-stream:STREAM"),
)


@functools.cache
def document(name: str, *, region: str = "us-east-1", base: str = "", cloudwatch: str = "") -> dict[str, Any]:
    """Return a document as the role renders it where nothing was set otherwise, but for two settings."""
    account = {"infrastructure_region": region, "infrastructure_account": "123456789012"}
    given = {"model/base": base, "monitoring/cloudwatch": cloudwatch}
    settings = {name: setting for name, setting in given.items() if setting}
    text = value(
        "infrastructure",
        f"lookup('ansible.builtin.template', '{name}-policy.json.j2')",
        {**account, "infrastructure_settings": settings},
    )
    loaded: dict[str, Any] = json.loads(text) if isinstance(text, str) else text
    return loaded


def held(principal: str) -> dict[str, Any]:
    """Return all that a principal's documents allow, as one, without those that are another principal's."""
    names_of_all = operator_documents.documents_of(principal)
    of_its_own = {principal} | (set(names_of_all) - set(PRINCIPALS) if names_of_all[0] == principal else set())
    documents = [document(each) for each in names_of_all if each in of_its_own]
    return {**documents[0], "Statement": [statement for each in documents for statement in each["Statement"]]}


def ask(*calls: Recorded) -> list[evaluator.Answer]:
    """Return what the documents say."""
    return evaluator.evaluate({each: held(each) for each in PRINCIPALS}, calls)


@functools.cache
def answers() -> tuple[evaluator.Answer, ...]:
    """Return what the documents say to all that was recorded, asked once."""
    return tuple(ask(*sorted(permissions.committed())))


@functools.cache
def refusals() -> dict[Recorded, evaluator.Answer]:
    """Return what the documents say to what has to be refused, asked once."""
    return dict(zip(REFUSED, ask(*REFUSED), strict=True))


def test_every_recorded_call_is_allowed() -> None:
    assert answers(), "nothing was recorded"
    refused = [
        f"{each.call.principal}: {each.call.question.action} on {each.call.question.resource}"
        f" {dict(each.call.question.context)} {each.error}"
        for each in answers()
        if not each.allowed
    ]
    assert refused == [], "\n".join(["not allowed, so allow it in roles/infrastructure/templates:", *refused])


def rights(principal: str) -> set[tuple[str, str]]:
    """Return what a principal's documents allow: a statement's Sid with each of its actions."""
    statements = held(principal)["Statement"]
    return {
        (each["Sid"], action)
        for each in statements
        for action in (each["Action"] if isinstance(each["Action"], list) else [each["Action"]])
    }


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_nothing_is_allowed_that_is_never_used(principal: str) -> None:
    used = [
        (sid, each.call.question.action)
        for each in answers()
        if each.call.principal == principal
        for sid in each.statements
    ]
    expected = {action for who, action in permissions.unrecorded() if who == principal}
    unused = {
        (sid, action)
        for sid, action in rights(principal)
        if not any(sid == where and fnmatchcase(what, action) for where, what in used) and action not in expected
    }
    assert unused == set(), "allowed and never used: take it out, or say in unrecorded.yml why it is needed"


def test_what_is_said_to_be_unrecorded_is_allowed() -> None:
    allowed = {(principal, action) for principal in PRINCIPALS for _, action in rights(principal)}
    assert permissions.unrecorded().keys() - allowed == set(), "in unrecorded.yml, and in no document"


def test_the_linter_finds_nothing_unexplained() -> None:
    assert linter.findings({each: document(each) for each in DOCUMENTS}) == EXPLAINED


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_page_says_what_each_statement_is_for(name: str) -> None:
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    explained = {
        name for row in section.splitlines() if row.startswith("| `") for name in SID.findall(row.split("|")[1])
    }
    assert explained == {each["Sid"] for each in document(name)["Statement"]}


@pytest.mark.parametrize("region", LONGEST_REGIONS)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_fits_into_one_managed_policy(name: str, region: str) -> None:
    compact = json.dumps(document(name, region=region), separators=(",", ":"))
    assert len("".join(compact.split())) <= LARGEST_DOCUMENT


@pytest.mark.parametrize("asked", REFUSED, ids=lambda each: f"{each.principal} {each.question.action}")
def test_what_is_not_the_applications_is_refused(asked: Recorded) -> None:
    answer = refusals()[asked]
    assert answer.error == "", "it could not be asked"
    assert not answer.allowed


def test_the_instance_lists_a_bucket_of_others_below_the_prefix_that_a_setting_names_and_nowhere_else() -> None:
    asked = {"models/base/": True, "models/base/tokenizer": True, "models/": False, "models/base-2/": False, "": False}
    calls = [
        call("instance", "s3:ListBucket", "arn:aws:s3:::elsewhere", {"s3:prefix": prefix} if prefix else None)
        for prefix in asked
    ]
    found = evaluator.evaluate({"instance": document("instance", base="s3://elsewhere/models/base")}, calls)
    assert [(each.allowed, each.error) for each in found] == [(allowed, "") for allowed in asked.values()]


def test_the_waker_starts_what_has_the_tag_reads_its_own_secret_and_writes_its_own_log() -> None:
    account = {"waker_region": "us-east-1", "waker_account": "123456789012", "waker_settings": {}}
    text = value("waker", "lookup('ansible.builtin.template', 'waker-policy.json.j2')", account)
    policy = json.loads(text) if isinstance(text, str) else text
    secret, group = f"arn:aws:secretsmanager:{HERE}:secret", f"arn:aws:logs:{HERE}:log-group:/aws/lambda"
    asked = {
        call("waker", "ec2:DescribeInstances"): True,
        call("waker", "ec2:StartInstances", INSTANCE, OURS): True,
        call("waker", "ec2:StartInstances", INSTANCE, OTHERS): False,
        call("waker", "ec2:StartInstances", INSTANCE): False,
        call("waker", "ec2:StopInstances", INSTANCE, OURS): False,
        call("waker", "secretsmanager:GetSecretValue", f"{secret}:slm-ft-serving/waker-a1B2c3"): True,
        call("waker", "secretsmanager:GetSecretValue", SECRET): False,
        call("waker", "logs:PutLogEvents", f"{group}/slm-ft-serving-waker:log-stream:STREAM"): True,
        call("waker", "logs:PutLogEvents", f"{group}/another:log-stream:STREAM"): False,
    }
    found = evaluator.evaluate({"waker": policy}, list(asked))
    assert [(each.allowed, each.error) for each in found] == [(allowed, "") for allowed in asked.values()]
    assert linter.findings({"waker": policy}) == {"waker": set()}


def test_the_instance_sends_logs_and_metrics_of_its_own_where_that_is_on_and_others_never() -> None:
    group = f"arn:aws:logs:{HERE}:log-group"
    asked = {
        call("instance", "cloudwatch:PutMetricData", context={"cloudwatch:namespace": "slm-ft-serving"}): True,
        call("instance", "cloudwatch:PutMetricData", context={"cloudwatch:namespace": "AWS/EC2"}): False,
        call("instance", "cloudwatch:PutMetricData"): False,
        call("instance", "logs:PutLogEvents", f"{group}:/slm-ft-serving/containers:log-stream:i-1-gateway"): True,
        call("instance", "logs:PutLogEvents", f"{group}:/slm-ft-serving/another:log-stream:i-1"): False,
        call("instance", "logs:PutRetentionPolicy", f"{group}:/slm-ft-serving/containers"): False,
    }
    found = evaluator.evaluate({"instance": document("instance", cloudwatch="on")}, list(asked))
    assert [(each.allowed, each.error) for each in found] == [(allowed, "") for allowed in asked.values()]
    assert {"Metrics", "ShippedLogs"} & {
        each["Sid"] for each in document("instance", cloudwatch="off")["Statement"]
    } == set()
