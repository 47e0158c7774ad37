"""What AWS asks the caller's policies about a call: each action with its resource, and the condition keys that matter.

From the service authorization reference: a call may need several actions (RunInstances with tags: also CreateTags), and
an action may be about several resources (RunInstances: the image, the subnet ...), each of which has to be allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends
from moto.secretsmanager.models import secretsmanager_backends

from tests.local_region import names
from tests.local_region.aws_api.calls import Call
from tests.local_region.aws_api.s3_operations import operation_of
from tests.local_region.recorded_calls import Question

HERE = f"{names.AWS_REGION}:{names.ACCOUNT_ID}"
NEEDS_NO_RIGHT = {"sts:GetCallerIdentity"}  # AWS asks no policy about it.
TAG = "Application"
Json = Mapping[str, Any]

# Where S3 names the action in another way than the operation.
S3_ACTIONS = {
    "ListBuckets": "ListAllMyBuckets",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "HeadObject": "GetObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "ListParts": "ListMultipartUploadParts",
    "DeleteObjects": "DeleteObject",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "ListBucketInventoryConfigurations": "GetInventoryConfiguration",
}
# Resources of EC2, by the beginning of their ids.
EC2_OF_ID = {
    "i": "instance",
    "sg": "security-group",
    "vol": "volume",
    "subnet": "subnet",
    "vpc": "vpc",
    "eni": "network-interface",
    "eipalloc": "elastic-ip",
    "ami": "image",
    "snap": "snapshot",
    "lt": "launch-template",
}
EC2_ID = re.compile(rf"({'|'.join(EC2_OF_ID)})-[0-9a-f]{{8,17}}")
# What a call makes, beside what its request names.
EC2_NEW = {
    "RunInstances": ("instance", "volume", "network-interface"),
    "CreateSecurityGroup": ("security-group",),
    "CreateVolume": ("volume",),
    "AllocateAddress": ("elastic-ip",),
    "CreateImage": ("image", "snapshot"),
    "CreateLaunchTemplate": ("launch-template",),
}
# Those of AWS's EC2 that belong to no account, as seen by a policy.
EC2_OF_NOBODY = {"image", "snapshot"}


def questions_of(call: Call) -> list[Question]:
    """Return what AWS asks about a call; nothing when every caller may make it."""
    if f"{call.service}:{call.action}" in NEEDS_NO_RIGHT or not call.service:
        return []
    answer = _SERVICES.get(call.service, _without_resources)
    return list(answer(call))


def _without_resources(call: Call) -> Iterator[Question]:
    yield Question(f"{call.service}:{call.action}", "*")


def _s3(call: Call) -> Iterator[Question]:
    bucket, _, key = call.path.lstrip("/").partition("/")
    operation = operation_of(call.action, bucket, key, call.query)
    action = f"s3:{S3_ACTIONS.get(operation, operation or call.action)}"
    if not bucket:
        yield Question(action, "*")
    elif operation == "DeleteObjects":
        yield Question(action, f"arn:aws:s3:::{bucket}/*")
    elif key:
        versioned = operation in {"GetObject", "DeleteObject"} and "versionId" in parse_qs(call.query)
        yield Question(f"{action}Version" if versioned else action, f"arn:aws:s3:::{bucket}/{key}")
    else:
        yield Question(action, f"arn:aws:s3:::{bucket}")


def _ec2(call: Call) -> Iterator[Question]:
    fields = {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
    action = f"ec2:{call.action}"
    if call.action.startswith(("Describe", "Get")):
        # Of these only few take resources, and none of the project's.
        about = {
            "DescribeInstanceAttribute": ("instance", "InstanceId"),
            "DescribeImageAttribute": ("image", "ImageId"),
        }
        kind, field = about.get(call.action, ("", ""))
        resource = _ec2_arn(kind, fields[field]) if kind else "*"
        yield Question(action, resource, _tags_of(resource))
        return
    tags = _ec2_requested_tags(fields, call.action)
    named = _ec2_named(fields)
    if "LaunchTemplate" in call.action:
        # What it says of images and networks is asked about at a launch.
        named = [each for each in named if ":launch-template/" in each]
    resources = [*named, *(_ec2_arn(kind, "*") for kind in EC2_NEW.get(call.action, ()))]
    for resource in resources or ["*"]:
        kind = resource.rpartition(":")[2].partition("/")[0]
        # CreateTags is about the request's tags itself; others only where they tag what they make.
        requested = tags.get("" if call.action in {"CreateTags", "DeleteTags"} else kind, {})
        yield Question(action, resource, _context(_tags_of(resource), _request_tags(requested)))
    if call.action in EC2_NEW:
        for kind, requested in tags.items():
            created = (("ec2:CreateAction", call.action),)
            yield Question("ec2:CreateTags", _ec2_arn(kind, "*"), _context(created, _request_tags(requested)))
    for name in ("IamInstanceProfile.Name", "IamInstanceProfile.Arn"):
        if name in fields:
            role = fields[name].rpartition("/")[2]
            passed = (("iam:PassedToService", "ec2.amazonaws.com"),)
            yield Question("iam:PassRole", f"arn:aws:iam::{names.ACCOUNT_ID}:role/{role}", passed)


def _ec2_named(fields: Mapping[str, str]) -> list[str]:
    """Return the ARN of every resource that a request names, each once; an association is about its instance."""
    known = ec2_backends[names.ACCOUNT_ID][names.AWS_REGION].iam_instance_profile_associations.values()
    instances = {str(each.association_id): str(each.instance.id) for each in known}
    values = [instances.get(each, each) for each in fields.values()]
    found = [match for value in values if (match := EC2_ID.fullmatch(value))]
    return list(dict.fromkeys(_ec2_arn(EC2_OF_ID[each[1]], each[0]) for each in found))


def _ec2_arn(kind: str, name: str) -> str:
    return f"arn:aws:ec2:{names.AWS_REGION}:{'' if kind in EC2_OF_NOBODY else names.ACCOUNT_ID}:{kind}/{name}"


def _ec2_requested_tags(fields: Mapping[str, str], action: str) -> dict[str, dict[str, str]]:
    """Return the tags that a request names, by the kind of what gets them; of CreateTags by the empty name."""
    found: dict[str, dict[str, str]] = {}
    for name, key in fields.items():
        if not name.endswith(".Key"):
            continue
        value = fields.get(f"{name.removesuffix('.Key')}.Value", "")
        if action in {"CreateTags", "DeleteTags"} and name.startswith("Tag."):
            found.setdefault("", {})[key] = value
        elif name.startswith("TagSpecification."):
            kind = fields[f"{'.'.join(name.split('.')[:2])}.ResourceType"]
            found.setdefault(kind, {})[key] = value
    return found


def _iam(call: Call) -> Iterator[Question]:
    fields = {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
    account = f"arn:aws:iam::{names.ACCOUNT_ID}"
    if "InstanceProfileName" in fields:
        resource = f"{account}:instance-profile/{fields['InstanceProfileName']}"
    elif "RoleName" in fields:
        resource = f"{account}:role/{fields['RoleName']}"
    elif call.action == "CreateOpenIDConnectProvider":
        resource = f"{account}:oidc-provider/{fields['Url'].removeprefix('https://')}"
    else:
        resource = fields.get("OpenIDConnectProviderArn") or fields.get("PolicySourceArn", "*")
    yield Question(f"iam:{call.action}", resource)
    tagging = {
        "CreateRole": "TagRole",
        "CreateInstanceProfile": "TagInstanceProfile",
        "CreateOpenIDConnectProvider": "TagOpenIDConnectProvider",
    }.get(call.action)
    if tagging and any(name.startswith("Tags.member") for name in fields):
        yield Question(f"iam:{tagging}", resource)
    if call.action == "AddRoleToInstanceProfile":
        passed = (("iam:PassedToService", "ec2.amazonaws.com"),)
        yield Question("iam:PassRole", f"{account}:role/{fields['RoleName']}", passed)


def _ssm(call: Call) -> Iterator[Question]:
    body, action = call.json(), f"ssm:{call.action}"
    if call.action == "StartSession":
        target = _ec2_arn("instance", str(body.get("Target", "")))
        yield Question(action, target, _tags_of(target, "ssm:resourceTag/"))
        yield Question(action, _document(str(body.get("DocumentName") or "SSM-SessionManagerRunShell")))
    elif call.action in {"TerminateSession", "ResumeSession"}:
        # A session has its caller in its name and in a tag that AWS gives it; policies write a variable for the caller.
        resource = f"arn:aws:ssm:{HERE}:session/${{aws:userid}}-{body.get('SessionId', '')}"
        yield Question(action, resource, (("ssm:resourceTag/aws:ssmmessages:session-id", "${aws:userid}"),))
    elif call.action in {"GetConnectionStatus"}:
        target = _ec2_arn("instance", str(body.get("Target", "")))
        yield Question(action, target, _tags_of(target))
    elif call.action.endswith("Document") and call.action != "ListDocuments":
        yield Question(action, _document(str(body.get("Name", ""))))
    elif call.action in {"AddTagsToResource", "RemoveTagsFromResource", "ListTagsForResource"}:
        kind, name = str(body.get("ResourceType", "")), str(body.get("ResourceId", ""))
        yield Question(action, _document(name) if kind == "Document" else _parameter(name))
    elif named := _parameters(body):
        yield from (Question(action, _parameter(each)) for each in named)
        if call.action == "PutParameter" and body.get("Tags"):
            yield from (Question("ssm:AddTagsToResource", _parameter(each)) for each in named)
    else:
        yield Question(action, "*")


def _parameters(body: Json) -> list[str]:
    return [str(each) for each in (body.get("Names") or [body.get("Name") or body.get("Path")]) if each]


# AWS's own parameters and documents are of no account. The evaluator of tests/policies knows no such ARN, so they have
# one here.
def _parameter(name: str) -> str:
    return f"arn:aws:ssm:{HERE}:parameter/{name.strip('/')}"


def _document(name: str) -> str:
    return f"arn:aws:ssm:{HERE}:document/{name}"


def _secretsmanager(call: Call) -> Iterator[Question]:
    body = call.json()
    name = str(body.get("SecretId") or body.get("Name") or "")
    resource = _secret(name) if name else "*"
    yield Question(f"secretsmanager:{call.action}", resource)
    if call.action == "CreateSecret" and body.get("Tags"):
        yield Question("secretsmanager:TagResource", resource)


def _secret(name: str) -> str:
    if name.startswith("arn:"):
        return name
    known = secretsmanager_backends[names.ACCOUNT_ID][names.AWS_REGION].secrets.get(name)
    # AWS adds six characters to the name, of a secret that is not there yet too.
    return str(known.arn) if known else f"arn:aws:secretsmanager:{HERE}:secret:{name}-a1B2c3"


def _ecr(call: Call) -> Iterator[Question]:
    body = call.json()
    repositories = body.get("repositoryNames") or [body[key] for key in ("repositoryName",) if key in body]
    arns = [f"arn:aws:ecr:{HERE}:repository/{name}" for name in repositories] or [str(body.get("resourceArn", "*"))]
    for resource in arns:
        yield Question(f"ecr:{call.action}", resource)
        if call.action == "CreateRepository" and body.get("tags"):
            yield Question("ecr:TagResource", resource)


def _logs(call: Call) -> Iterator[Question]:
    body = call.json()
    group = str(body.get("logGroupName") or body.get("logGroupIdentifier") or "")
    if call.action == "DescribeLogGroups":
        yield Question(f"logs:{call.action}", "*")
    elif "resourceArn" in body:
        yield Question(f"logs:{call.action}", str(body["resourceArn"]).removesuffix(":*"))
    elif "logStreamName" in body:
        stream = body["logStreamName"]
        yield Question(f"logs:{call.action}", f"arn:aws:logs:{HERE}:log-group:{group}:log-stream:{stream}")
    else:
        resource = f"arn:aws:logs:{HERE}:log-group:{group}" if group else "*"
        yield Question(f"logs:{call.action}", resource)
        if call.action == "CreateLogGroup" and body.get("tags"):
            yield Question("logs:TagResource", resource)


def _elasticloadbalancing(call: Call) -> Iterator[Question]:
    """Yield the questions about a call of Elastic Load Balancing, whose Describe actions take no resources."""
    action = f"elasticloadbalancing:{call.action}"
    if call.action.startswith("Describe"):
        yield Question(action, "*")
        return
    fields = parse_qs(call.body.decode())
    named = [value for name, (value, *_) in fields.items() if name.split(".")[0] in _BALANCING_ARNS]
    made = {
        "CreateLoadBalancer": f"loadbalancer/app/{call.field('Name')}/*",
        "CreateTargetGroup": f"targetgroup/{call.field('Name')}/*",
    }.get(call.action)
    resources = [f"arn:aws:elasticloadbalancing:{HERE}:{made}"] if made else named
    requested = _request_tags(_balancing_tags(call))
    for resource in resources:
        yield Question(action, resource, _context(_tags_of_balancing(resource), requested))
        # Of a target group too, but the evaluator of tests/policies knows the action of load balancers alone.
        if call.action == "CreateLoadBalancer" and requested:
            created = (("elasticloadbalancing:CreateAction", call.action),)
            yield Question("elasticloadbalancing:AddTags", resource, _context(created, requested))


# What names the resource of a call; a listener is made below its load balancer.
_BALANCING_ARNS = {"LoadBalancerArn", "TargetGroupArn", "ListenerArn", "ResourceArns"}


def _balancing_tags(call: Call) -> dict[str, str]:
    """Return the tags that a request names."""
    fields = parse_qs(call.body.decode())
    keys = {name: values[0] for name, values in fields.items() if name.startswith("Tags.") and name.endswith(".Key")}
    return {key: fields.get(f"{name.removesuffix('.Key')}.Value", [""])[0] for name, key in keys.items()}


def _tags_of_balancing(resource: str) -> tuple[tuple[str, str], ...]:
    """Return the tag that policies ask for, of a load balancer or a target group that has it."""
    backend = elbv2_backends[names.ACCOUNT_ID][names.AWS_REGION]
    tags = backend.tagging_service.get_tag_dict_for_resource(resource)
    return tuple((f"aws:ResourceTag/{key}", value) for key, value in tags.items() if key == TAG)


def _acm(call: Call) -> Iterator[Question]:
    yield Question(f"acm:{call.action}", str(call.json().get("CertificateArn", "*")))


def _servicequotas(call: Call) -> Iterator[Question]:
    body = call.json()
    quota = f"arn:aws:servicequotas:{HERE}:{body.get('ServiceCode', '')}/{body.get('QuotaCode', '')}"
    yield Question(f"servicequotas:{call.action}", quota if body.get("QuotaCode") else "*")


def _cloudwatch(call: Call) -> Iterator[Question]:
    """Yield the questions about a call of CloudWatch, which is signed for under another name than its actions have."""
    body, action = call.json(), f"cloudwatch:{call.action}"
    if "Dashboard" in call.action:
        # Dashboards are of no region.
        dashboards = body.get("DashboardNames") or [body.get("DashboardName", "*")]
        for each in dashboards:
            yield Question(action, f"arn:aws:cloudwatch::{names.ACCOUNT_ID}:dashboard/{each}")
        return
    # To describe alarms is asked about all of them, whatever the call names.
    alarms = {"DeleteAlarms": body.get("AlarmNames", []), "DescribeAlarms": ["*"]}.get(
        call.action, [body.get("AlarmName")]
    )
    resources = [f"arn:aws:cloudwatch:{HERE}:alarm:{each}" for each in alarms if each] or [
        str(body.get("ResourceARN", "*"))
    ]
    for resource in resources:
        yield Question(action, resource)
        if call.action == "PutMetricAlarm" and body.get("Tags"):
            yield Question("cloudwatch:TagResource", resource)


def _autoscaling(call: Call) -> Iterator[Question]:
    """Yield the questions about a call of Auto Scaling: its Describe actions take no resources."""
    action = f"autoscaling:{call.action}"
    if call.action.startswith("Describe"):
        yield Question(action, "*")
        return
    name = call.field("AutoScalingGroupName", "Tags.member.1.ResourceId")
    group = f"arn:aws:autoscaling:{HERE}:autoScalingGroup:*:autoScalingGroupName/{name}"
    yield Question(action, group)
    if call.action == "CreateAutoScalingGroup" and call.field("Tags.member.1.Key"):
        yield Question("autoscaling:CreateOrUpdateTags", group)


def _sns(call: Call) -> Iterator[Question]:
    topic = call.field("TopicArn", "ResourceArn") or f"arn:aws:sns:{HERE}:{call.field('Name') or '*'}"
    yield Question(f"sns:{call.action}", topic)


def _budgets(call: Call) -> Iterator[Question]:
    body = call.json()
    name = body.get("BudgetName") or (body.get("Budget") or body.get("NewBudget") or {}).get("BudgetName", "*")
    action = "ViewBudget" if call.action.startswith("Describe") else "ModifyBudget"
    yield Question(f"budgets:{action}", f"arn:aws:budgets::{names.ACCOUNT_ID}:budget/{name}")


# Lambda's operations by method and what follows the function's name in the path.
LAMBDA_OPERATIONS = {
    ("GET", ""): "GetFunction",
    ("DELETE", ""): "DeleteFunction",
    ("PUT", "code"): "UpdateFunctionCode",
    ("PUT", "configuration"): "UpdateFunctionConfiguration",
    ("PUT", "concurrency"): "PutFunctionConcurrency",
    ("DELETE", "concurrency"): "DeleteFunctionConcurrency",
    ("GET", "policy"): "GetPolicy",
    ("POST", "policy"): "AddPermission",
    ("GET", "url"): "GetFunctionUrlConfig",
    ("POST", "url"): "CreateFunctionUrlConfig",
    ("DELETE", "url"): "DeleteFunctionUrlConfig",
}


def _lambda(call: Call) -> Iterator[Question]:
    """Yield the questions about a call of Lambda, which has its operation in method and path."""
    name, _, part = call.path.partition("/functions")[2].strip("/").partition("/")
    body = call.json()
    arn = f"arn:aws:lambda:{HERE}:function:"
    if not name and call.action == "POST":
        new = f"{arn}{body.get('FunctionName', '')}"
        yield Question("lambda:CreateFunction", new)
        if body.get("Tags"):
            yield Question("lambda:TagResource", new)
    else:
        operation = LAMBDA_OPERATIONS.get((call.action, part), f"{call.action} {call.path}")
        yield Question(f"lambda:{operation}", f"{arn}{name}")
        # Lambda leaves the tags out for who may not list them.
        if operation == "GetFunction":
            yield Question("lambda:ListTags", f"{arn}{name}")
    if "Role" in body:
        yield Question("iam:PassRole", str(body["Role"]), (("iam:PassedToService", "lambda.amazonaws.com"),))


_SERVICES: dict[str, Callable[[Call], Iterable[Question]]] = {
    "s3": _s3,
    "ec2": _ec2,
    "iam": _iam,
    "ssm": _ssm,
    "secretsmanager": _secretsmanager,
    "ecr": _ecr,
    "logs": _logs,
    "autoscaling": _autoscaling,
    "monitoring": _cloudwatch,
    "budgets": _budgets,
    "elasticloadbalancing": _elasticloadbalancing,
    "acm": _acm,
    "lambda": _lambda,
    "servicequotas": _servicequotas,
    "sns": _sns,
}


def _tags_of(resource: str, prefix: str = "aws:ResourceTag/") -> tuple[tuple[str, str], ...]:
    """Return the tag that policies ask for, as the condition key of a resource of EC2 that has it."""
    tags = ec2_backends[names.ACCOUNT_ID][names.AWS_REGION].tags.get(resource.rpartition("/")[2], {})
    return tuple((f"{prefix}{key}", value) for key, value in tags.items() if key == TAG)


def _request_tags(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((f"aws:RequestTag/{key}", value) for key, value in tags.items() if key == TAG)


def _context(*parts: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(pair for part in parts for pair in part))
