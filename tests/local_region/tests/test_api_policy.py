"""The instance may do what its role's policies allow, operators what their documents allow; all is recorded."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import botocore.exceptions
import pytest

from tests.fakes.account import Api
from tests.local_region import environment, names, recorded_calls
from tests.local_region.aws_api.calls import INSTANCE_ACCESS_KEY
from tests.local_region.recorded_calls import Question, Recorded
from tests.local_region.seed import Account

pytestmark = pytest.mark.slow

ALLOWED = [
    {
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": f"arn:aws:secretsmanager:*:*:secret:{names.SECRET_HF_TOKEN}-*",
    },
    {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{names.MODELS_BUCKET}"},
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{names.MODELS_BUCKET}/small/*"},
]

TRANSFER = "arn:aws:s3:::slm-ft-serving-transfer-123456789012-us-east-1"
MODELS = "arn:aws:s3:::slm-ft-serving-models-123456789012-us-east-1"


@pytest.fixture
def instance(api: Api, monkeypatch: pytest.MonkeyPatch) -> Account:
    """Return the account as the instance sees it, with a role that may do three things; an object is in each bucket."""
    api.account.seed(api.state)
    for bucket, key in ((names.MODELS_BUCKET, "small/a"), (names.MODELS_BUCKET, "b"), (names.TRANSFER_BUCKET, "c")):
        api.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    document = json.dumps({"Version": "2012-10-17", "Statement": ALLOWED})
    api.client("iam").put_role_policy(RoleName=names.INSTANCE_ROLE, PolicyName="p", PolicyDocument=document)
    monkeypatch.setattr("tests.local_region.environment.ADMINISTRATOR_ACCESS_KEY", INSTANCE_ACCESS_KEY)
    return Account(api.account.endpoint)


def test_calls_that_the_roles_policies_allow_are_answered(instance: Account) -> None:
    assert instance.client("secretsmanager").get_secret_value(SecretId=names.SECRET_HF_TOKEN)["SecretString"]
    assert instance.client("s3").list_objects_v2(Bucket=names.MODELS_BUCKET)["KeyCount"] == 2
    assert instance.client("s3").get_object(Bucket=names.MODELS_BUCKET, Key="small/a")["Body"].read() == b"x"
    assert instance.client("sts").get_caller_identity()["Account"] == names.ACCOUNT_ID


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "code"),
    [
        ("secretsmanager", "get_secret_value", {"SecretId": names.SECRET_GATEWAY_API_KEYS}, "AccessDeniedException"),
        ("s3", "get_object", {"Bucket": names.MODELS_BUCKET, "Key": "b"}, "AccessDenied"),
        ("s3", "list_objects_v2", {"Bucket": names.TRANSFER_BUCKET}, "AccessDenied"),
        ("s3", "put_object", {"Bucket": names.MODELS_BUCKET, "Key": "small/a", "Body": b"y"}, "AccessDenied"),
        ("ssm", "get_parameter", {"Name": "/slm-ft-serving/aws/region"}, "AccessDeniedException"),
        ("ec2", "describe_instances", {}, "UnauthorizedOperation"),
    ],
)
def test_calls_that_the_roles_policies_do_not_allow_are_refused(
    instance: Account, service: str, operation: str, arguments: dict[str, Any], code: str
) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        getattr(instance.client(service), operation)(**arguments)
    assert refused.value.response["Error"]["Code"] == code


def _signed(instance: Account, key: str) -> str:
    address = instance.client("s3").generate_presigned_url("get_object", {"Bucket": names.MODELS_BUCKET, "Key": key})
    return str(address)


def test_an_address_that_the_instance_signed_lets_nobody_do_more(instance: Account) -> None:
    with urllib.request.urlopen(_signed(instance, "small/a"), timeout=10) as answer:
        assert answer.read() == b"x"
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(_signed(instance, "b"), timeout=10)
    refused.value.close()


def test_a_managed_policy_of_the_role_counts_as_one_of_its_own(api: Api, instance: Account) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match="s3:PutObject"):
        instance.client("s3").put_object(Bucket=names.MODELS_BUCKET, Key="managed", Body=b"x")
    statement = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{names.MODELS_BUCKET}/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    made = api.client("iam").create_policy(PolicyName="managed", PolicyDocument=document)["Policy"]["Arn"]
    api.client("iam").attach_role_policy(RoleName=names.INSTANCE_ROLE, PolicyArn=made)
    assert instance.client("s3").put_object(Bucket=names.MODELS_BUCKET, Key="managed", Body=b"x")


@pytest.fixture(params=["deploy", "provision"])
def operator(api: Api, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Account:
    """Return the account as the operator of a playbook sees it; an object is in each bucket."""
    return _operator(api, monkeypatch, request.param)


def _operator(api: Api, monkeypatch: pytest.MonkeyPatch, playbook: str) -> Account:
    api.account.seed(api.state)
    api.client("s3").put_object(Bucket=names.MODELS_BUCKET, Key="small/a", Body=b"x")
    api.client("s3").create_bucket(Bucket="another")
    key = environment.operator(playbook)["AWS_ACCESS_KEY_ID"]
    monkeypatch.setattr("tests.local_region.environment.ADMINISTRATOR_ACCESS_KEY", key)
    return Account(api.account.endpoint)


def test_every_operator_may_look_and_none_reads_a_secret_or_anothers_bucket(operator: Account) -> None:
    assert operator.client("ec2").describe_instances()["Reservations"]
    assert operator.client("sts").get_caller_identity()["Account"] == names.ACCOUNT_ID
    with pytest.raises(botocore.exceptions.ClientError, match="secretsmanager:GetSecretValue"):
        operator.client("secretsmanager").get_secret_value(SecretId=names.SECRET_HF_TOKEN)
    with pytest.raises(botocore.exceptions.ClientError, match="s3:ListBucket"):
        operator.client("s3").list_objects_v2(Bucket="another")


def test_who_provisions_makes_the_budget_of_the_application_and_no_other(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = _operator(api, monkeypatch, "provision").client("budgets")
    ours = {"BudgetName": "slm-ft-serving-monthly", "BudgetType": "COST", "TimeUnit": "MONTHLY"}
    limit = {"BudgetLimit": {"Amount": "100", "Unit": "USD"}}
    with pytest.raises(botocore.exceptions.ClientError, match="NotFoundException"):
        client.describe_budget(AccountId=names.ACCOUNT_ID, BudgetName=ours["BudgetName"])
    client.create_budget(AccountId=names.ACCOUNT_ID, Budget=ours | limit)
    with pytest.raises(botocore.exceptions.ClientError, match="budgets:ModifyBudget"):
        client.create_budget(AccountId=names.ACCOUNT_ID, Budget=ours | limit | {"BudgetName": "another"})
    with pytest.raises(botocore.exceptions.ClientError, match="budgets:ViewBudget"):
        client.describe_budget(AccountId=names.ACCOUNT_ID, BudgetName="another")


def test_who_deploys_asks_cloudwatch_how_long_an_instance_ran(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = _operator(api, monkeypatch, "deploy")
    metric = {"Namespace": "AWS/EC2", "MetricName": "CPUUtilization"}
    query = {"Id": "ran", "MetricStat": {"Metric": metric, "Period": 300, "Stat": "SampleCount"}}
    span = {"StartTime": "2026-11-01T00:00:00Z", "EndTime": "2026-11-02T00:00:00Z"}
    answer = operator.client("cloudwatch").get_metric_data(MetricDataQueries=[query], **span)
    assert [each["Values"] for each in answer["MetricDataResults"]] == [[]]
    with pytest.raises(botocore.exceptions.ClientError, match="cloudwatch:PutMetricAlarm"):
        operator.client("cloudwatch").put_metric_alarm(
            AlarmName="a", EvaluationPeriods=1, ComparisonOperator="LessThanThreshold"
        )


def test_who_deploys_reads_no_model_and_makes_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = _operator(api, monkeypatch, "deploy")
    assert operator.client("s3").list_objects_v2(Bucket=names.MODELS_BUCKET)["KeyCount"] == 1
    with pytest.raises(botocore.exceptions.ClientError, match="s3:GetObject"):
        operator.client("s3").get_object(Bucket=names.MODELS_BUCKET, Key="small/a")
    with pytest.raises(botocore.exceptions.ClientError, match="ec2:RunInstances"):
        operator.client("ec2").run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1)
    with pytest.raises(botocore.exceptions.ClientError, match="iam:CreateRole"):
        operator.client("iam").create_role(RoleName=names.INSTANCE_ROLE, AssumeRolePolicyDocument="{}")


def test_what_operators_ask_for_is_recorded_and_what_tests_ask_for_is_not(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = _operator(api, monkeypatch, "provision")
    assert recorded_calls.size(api.state.api_calls) == 0
    image = "ami-0123456789abcdef0"
    specification = {"ResourceType": "instance", "Tags": [{"Key": "Application", "Value": "slm-ft-serving"}]}
    operator.client("ec2").run_instances(
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[specification],
        IamInstanceProfile={"Name": names.INSTANCE_ROLE},
    )
    here, tag = f"{names.AWS_REGION}:{names.ACCOUNT_ID}", ("aws:RequestTag/Application", "slm-ft-serving")
    instance = f"arn:aws:ec2:{here}:instance/*"
    role = f"arn:aws:iam::{names.ACCOUNT_ID}:role/{names.INSTANCE_ROLE}"
    expected = {
        Question("ec2:RunInstances", f"arn:aws:ec2:{names.AWS_REGION}::image/{image}"),
        Question("ec2:RunInstances", instance, (tag,)),
        Question("ec2:RunInstances", f"arn:aws:ec2:{here}:volume/*"),
        Question("ec2:RunInstances", f"arn:aws:ec2:{here}:network-interface/*"),
        Question("ec2:CreateTags", instance, (tag, ("ec2:CreateAction", "RunInstances"))),
        Question("iam:PassRole", role, (("iam:PassedToService", "ec2.amazonaws.com"),)),
    }
    recorded = recorded_calls.read(api.state.api_calls)
    assert {each.question for each in recorded} == expected
    assert {(each.principal, each.result) for each in recorded} == {("operator-provision", 200)}


@pytest.mark.parametrize(
    ("resource", "general"),
    [
        ("arn:aws:s3:::slm-ft-serving-models/small/base/config.json", f"{MODELS}/KEY"),
        ("arn:aws:s3:::slm-ft-serving-models/adapters/a/b/evaluation.json", f"{MODELS}/KEY/evaluation.json"),
        (f"{MODELS}/small/evaluation.json", f"{MODELS}/KEY/evaluation.json"),
        (f"{MODELS}/adapters/a/model.safetensors", f"{MODELS}/adapters/KEY"),
        ("arn:aws:s3:::slm-ft-serving-transfer", TRANSFER),
        (f"{TRANSFER}/i-0/some/module.py", f"{TRANSFER}/KEY"),
        ("arn:aws:s3:::slm-ft-serving-other/a/b", "arn:aws:s3:::slm-ft-serving-other/a/b"),
        ("arn:aws:ec2:x:1:instance/i-3b9c80be1613b91aa", "arn:aws:ec2:x:1:instance/i-0123456789abcdef0"),
        ("arn:aws:ssm:x:1:parameter/slm-ft-serving/a/b", "arn:aws:ssm:x:1:parameter/slm-ft-serving/NAME"),
        (
            "arn:aws:ssm:x:1:parameter/slm-ft-serving/model/adapter-serving",
            "arn:aws:ssm:x:1:parameter/slm-ft-serving/model/adapter-serving",
        ),
    ],
)
def test_a_question_in_general_keeps_what_policies_distinguish(resource: str, general: str) -> None:
    question = recorded_calls.in_general(Question("some:Action", resource))
    assert question.resource == general
    assert recorded_calls.in_general(question) == question


def test_a_record_is_read_from_where_a_run_began(api: Api) -> None:
    first, second = (
        Recorded("instance", Question(f"s3:{name}", "*", (("a", "b"),)), 200) for name in ("GetObject", "PutObject")
    )
    recorded_calls.append(api.state.api_calls, [first])
    start = recorded_calls.size(api.state.api_calls)
    recorded_calls.append(api.state.api_calls, [second])
    assert recorded_calls.read(api.state.api_calls) == [first, second]
    assert recorded_calls.read(api.state.api_calls, start) == [second]
