"""List what an account has of the resources that provisioning makes, and which of them provisioning made.

An own module: the ready info modules ask for one kind each, leave the tags out, or read the secrets' values.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: infrastructure_info
short_description: List what an account has of the resources that provisioning makes
description:
  - Reads names, tags and ids. Never reads a secret's value. Changes nothing.
options:
  role:
    description: Name of the IAM role and of the instance profile.
    type: str
    required: true
  github_role:
    description: Name of the IAM role by which GitHub's workflows push images; empty means none.
    type: str
    default: ""
  github_deploy_role:
    description: Name of the IAM role by which GitHub's workflows deploy; empty means none.
    type: str
    default: ""
  security_group:
    description: Name of the security group.
    type: str
    required: true
  buckets:
    description: Names of the buckets.
    type: list
    elements: str
    required: true
  repositories:
    description: Names of the ECR repositories.
    type: list
    elements: str
    required: true
  log_groups:
    description: Names of the log groups.
    type: list
    elements: str
    required: true
  session_document:
    description: Name of the session document.
    type: str
    required: true
  secrets:
    description: Names of the secrets.
    type: list
    elements: str
    required: true
  parameter_path:
    description: Path in Parameter Store.
    type: str
    required: true
  application:
    description: Value of the tag C(Application) of the instance.
    type: str
    required: true
  instance_id:
    description: Another instance to list.
    type: str
    default: ""
  budget:
    description: Name of the budget; empty means that there is none to ask for.
    type: str
    default: ""
  load_balancer:
    description: The load balancer and what belongs to it; without it there is none to ask for.
    type: dict
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      target_group:
        description: Name of the target group.
        type: str
        required: true
      security_group:
        description: Name of its own security group.
        type: str
        required: true
      only_with_its_group:
        description:
          - Whether to ask for the others only where there is its security group, which is made first and removed last.
        type: bool
        default: false
  topic:
    description: ARN of the topic that alarms are told to; empty means that there is none to ask for.
    type: str
    default: ""
  alarm_prefix:
    description: What the names of the alarms begin with; empty means that there are none to ask for.
    type: str
    default: ""
  dashboard:
    description: Name of the dashboard; empty means that there is none to ask for.
    type: str
    default: ""
  dashboard_mark:
    description: Words by which a dashboard is known as one that provisioning made. It has no tags.
    type: str
    default: ""
  tags:
    description: Tags of every resource that provisioning made.
    type: dict
    required: true
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: List what the account has
  slm.serving.infrastructure_info:
    region: eu-central-1
    application: slm-ft-serving
    role: slm-ft-serving-instance
    security_group: slm-ft-serving-gateway
    buckets: [slm-ft-serving-models-123456789012-eu-central-1]
    repositories: [slm-ft-serving-vllm, slm-ft-serving-gateway]
    log_groups: [/aws/ssm/slm-ft-serving/sessions]
    session_document: slm-ft-serving-session
    secrets: [slm-ft-serving/gateway-api-keys]
    parameter_path: /slm-ft-serving
    tags: {ManagedBy: slm-ft-serving}
  register: account
"""

RETURN = r"""
account:
  description: Number of the account.
  returned: success
  type: str
partition:
  description: Partition of the account, such as C(aws).
  returned: success
  type: str
region:
  description: Region of the calls.
  returned: success
  type: str
things:
  description: Every resource that exists.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: What it is, such as C(bucket).
      returned: always
      type: str
    name:
      description: Its name.
      returned: always
      type: str
    key:
      description: Kind and name.
      returned: always
      type: str
    id:
      description: Its id; the name where it has none.
      returned: always
      type: str
    tags:
      description: Its tags.
      returned: always
      type: dict
    ours:
      description:
        - Whether it has all of O(tags); of a budget, whether it counts what has the application's tag; of a dashboard,
          whether it bears O(dashboard_mark).
      returned: always
      type: bool
    holds_data:
      description: Whether it holds data.
      returned: for buckets, repositories and secrets
      type: bool
unseen:
  description: A sentence for the budget, where AWS does not say whether there is one.
  returned: success
  type: list
  elements: str
problems:
  description: A sentence for each other question that AWS did not answer.
  returned: success
  type: list
  elements: str
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import (
    is_boto3_error_code,
    paginated_query_with_retries,
)
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import boto3_tag_list_to_ansible_dict
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail
from ansible_collections.slm.serving.plugins.module_utils.security_groups import networks

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

GONE = ("terminated", "shutting-down")
# The tag that AWS gives what a group made.
OF_A_GROUP = "aws:autoscaling:groupName"
Thing = dict[str, Any]
Question = tuple[str, Callable[[], list[Thing]]]


class Account:
    """Questions about one account; each answer is a list of resources."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        """Make the clients, which threads may share."""
        self.params = module.params
        services = ["budgets", "ec2", "ecr", "iam", "logs", "s3", "secretsmanager", "ssm", "sts"]
        services += ["elbv2"] if self.params["load_balancer"] else []
        services += ["cloudwatch"] if self.params["alarm_prefix"] or self.params["dashboard"] else []
        services += ["sns"] if self.params["topic"] else []
        self.clients = {
            name: module.client(name, retry_decorator=AWSRetry.jittered_backoff(retries=5)) for name in services
        }

    def thing(self, kind: str, name: str, tags: dict[str, str], **more: object) -> Thing:
        """Return one resource; it is ours when it has all of our tags."""
        ours = all(tags.get(key) == value for key, value in self.params["tags"].items())
        return {"kind": kind, "name": name, "key": f"{kind} {name}", "id": name, "tags": tags, "ours": ours, **more}

    def _every(self, service: str, operation: str, **request: Any) -> Any:
        """Return the answer of all pages together."""
        retry = AWSRetry.jittered_backoff(retries=5)
        return paginated_query_with_retries(self.clients[service], operation, retry_decorator=retry, **request)

    def role(self, kind: str, name: str) -> list[Thing]:
        """Return an IAM role."""
        try:
            role = self.clients["iam"].get_role(RoleName=name, aws_retry=True)["Role"]
        except is_boto3_error_code("NoSuchEntity"):
            return []
        return [self.thing(kind, role["RoleName"], boto3_tag_list_to_ansible_dict(role.get("Tags", [])))]

    def profile(self) -> list[Thing]:
        """Return the instance profile."""
        name = self.params["role"]
        try:
            answer = self.clients["iam"].get_instance_profile(InstanceProfileName=name, aws_retry=True)
        except is_boto3_error_code("NoSuchEntity"):
            return []
        profile = answer["InstanceProfile"]
        tags = boto3_tag_list_to_ansible_dict(profile.get("Tags", []))
        return [self.thing("instance profile", name, tags, arn=profile["Arn"])]

    def security_groups(self, kind: str, name: str) -> list[Thing]:
        """Return the security groups of a name, in whichever VPC."""
        filters = [{"Name": "group-name", "Values": [name]}]
        groups = self._every("ec2", "describe_security_groups", Filters=filters)["SecurityGroups"]
        return [
            self.thing(kind, each["GroupName"], boto3_tag_list_to_ansible_dict(each.get("Tags", [])))
            | {"id": each["GroupId"], "vpc": each["VpcId"], "networks": networks(each["IpPermissions"])}
            for each in groups
        ]

    def balanced(self) -> list[Thing]:
        """Return the load balancer, its security group and the target group."""
        names = self.params["load_balancer"]
        groups = self.security_groups("balancer's group", names["security_group"])
        if names["only_with_its_group"] and not groups:
            return []
        return self.load_balancer(names["name"]) + self.target_group(names["target_group"]) + groups

    def load_balancer(self, name: str) -> list[Thing]:
        """Return a load balancer, with the certificate of its HTTPS listener."""
        client = self.clients["elbv2"]
        try:
            found = client.describe_load_balancers(Names=[name], aws_retry=True)["LoadBalancers"][0]
        except is_boto3_error_code("LoadBalancerNotFound"):
            return []
        arn = found["LoadBalancerArn"]
        listeners = self._every("elbv2", "describe_listeners", LoadBalancerArn=arn)["Listeners"]
        certificates = [each["CertificateArn"] for one in listeners for each in one.get("Certificates", [])]
        return [
            self.thing(
                "load balancer",
                name,
                self._balancing_tags(arn),
                arn=arn,
                address=found["DNSName"],
                scheme=found["Scheme"],
                vpc=found["VpcId"],
                zones=[each["ZoneName"] for each in found["AvailabilityZones"]],
                certificate=next(iter(certificates), ""),
            )
        ]

    def target_group(self, name: str) -> list[Thing]:
        """Return a target group."""
        try:
            answer = self.clients["elbv2"].describe_target_groups(Names=[name], aws_retry=True)
        except is_boto3_error_code("TargetGroupNotFound"):
            return []
        arn = answer["TargetGroups"][0]["TargetGroupArn"]
        return [self.thing("target group", name, self._balancing_tags(arn), arn=arn)]

    def _balancing_tags(self, arn: str) -> dict[str, str]:
        (answer,) = self.clients["elbv2"].describe_tags(ResourceArns=[arn], aws_retry=True)["TagDescriptions"]
        tags: dict[str, str] = boto3_tag_list_to_ansible_dict(answer["Tags"])
        return tags

    def bucket(self, name: str) -> list[Thing]:
        """Return a bucket; `foreign` where it is another account's, which cannot be read."""
        try:
            self.clients["s3"].head_bucket(Bucket=name, aws_retry=True)
        except is_boto3_error_code(["404", "NoSuchBucket"]):
            return []
        except is_boto3_error_code("403"):
            return [{**self.thing("bucket", name, {}), "foreign": True}]
        try:
            tags = self.clients["s3"].get_bucket_tagging(Bucket=name, aws_retry=True)["TagSet"]
        except is_boto3_error_code("NoSuchTagSet"):
            tags = []
        holds = self.clients["s3"].list_objects_v2(Bucket=name, MaxKeys=1, aws_retry=True).get("KeyCount", 0)
        return [self.thing("bucket", name, boto3_tag_list_to_ansible_dict(tags), holds_data=bool(holds))]

    def repository(self, name: str) -> list[Thing]:
        """Return an ECR repository."""
        client = self.clients["ecr"]
        try:
            repository = client.describe_repositories(repositoryNames=[name], aws_retry=True)["repositories"][0]
        except is_boto3_error_code("RepositoryNotFoundException"):
            return []
        tags = client.list_tags_for_resource(resourceArn=repository["repositoryArn"], aws_retry=True)["tags"]
        images = client.list_images(repositoryName=name, maxResults=1, aws_retry=True)["imageIds"]
        return [self.thing("repository", name, boto3_tag_list_to_ansible_dict(tags), holds_data=bool(images))]

    def log_group(self, name: str) -> list[Thing]:
        """Return a log group."""
        client = self.clients["logs"]
        groups = self._every("logs", "describe_log_groups", logGroupNamePrefix=name)["logGroups"]
        if name not in [each["logGroupName"] for each in groups]:
            return []
        # The tagging API takes the ARN without the streams that follow it.
        arn = next(each["arn"] for each in groups if each["logGroupName"] == name).removesuffix(":*")
        return [self.thing("log group", name, client.list_tags_for_resource(resourceArn=arn, aws_retry=True)["tags"])]

    def document(self) -> list[Thing]:
        """Return the session document."""
        name = self.params["session_document"]
        try:
            about = self.clients["ssm"].describe_document(Name=name, aws_retry=True)["Document"]
        except is_boto3_error_code("InvalidDocument"):
            return []
        return [self.thing("session document", name, boto3_tag_list_to_ansible_dict(about.get("Tags", [])))]

    def secret(self, name: str) -> list[Thing]:
        """Return a secret, without its value; `deleted` while it can still be restored."""
        try:
            secret = self.clients["secretsmanager"].describe_secret(SecretId=name, aws_retry=True)
        except is_boto3_error_code("ResourceNotFoundException"):
            return []
        tags = boto3_tag_list_to_ansible_dict(secret.get("Tags", []))
        return [self.thing("secret", name, tags, deleted="DeletedDate" in secret, holds_data=True)]

    def parameters(self) -> list[Thing]:
        """Return the parameters below the path.

        Which are ours is found by one filter: the tags of each could only be read with a call of its own.
        """
        below = {"Key": "Name", "Option": "BeginsWith", "Values": [f"{self.params['parameter_path']}/"]}
        tagged = [{"Key": f"tag:{key}", "Values": [value]} for key, value in self.params["tags"].items()]
        names = self._parameter_names([below])
        ours = set(self._parameter_names([below, *tagged])) if names else set()
        return [self.thing("parameter", name, self.params["tags"] if name in ours else {}) for name in sorted(names)]

    def _parameter_names(self, filters: list[dict[str, Any]]) -> list[str]:
        parameters = self._every("ssm", "describe_parameters", ParameterFilters=filters)["Parameters"]
        return [each["Name"] for each in parameters]

    def instances(self) -> list[Thing]:
        """Return the instances of the application, and the one named besides, the oldest first.

        Those that an Auto Scaling group made are the group's own.
        """
        instance_id = self.params["instance_id"]
        filters = [{"Name": "tag:Application", "Values": [self.params["application"]]}]
        reservations = self._every("ec2", "describe_instances", Filters=filters)["Reservations"]
        if instance_id:
            # A filter: an id that does not exist is then no error.
            filters = [{"Name": "instance-id", "Values": [instance_id]}]
            reservations += self._every("ec2", "describe_instances", Filters=filters)["Reservations"]
        instances = {each["InstanceId"]: each for reservation in reservations for each in reservation["Instances"]}
        alive = [
            each
            for each in instances.values()
            if each["State"]["Name"] not in GONE and OF_A_GROUP not in {tag.get("Key") for tag in each.get("Tags", [])}
        ]
        # In EC2's own order, which it does not promise, the first would be another one at times.
        alive.sort(key=lambda each: (str(each.get("LaunchTime", "")), each["InstanceId"]))
        return [self._instance(each) for each in alive]

    def _instance(self, instance: dict[str, Any]) -> Thing:
        volumes = {
            mapping["DeviceName"]: mapping["Ebs"]["VolumeId"]
            for mapping in instance.get("BlockDeviceMappings", [])
            if "Ebs" in mapping
        }
        ids = list(volumes.values())
        disks = self.clients["ec2"].describe_volumes(VolumeIds=ids, aws_retry=True)["Volumes"] if ids else []
        return self.thing(
            "instance",
            instance["InstanceId"],
            boto3_tag_list_to_ansible_dict(instance.get("Tags", [])),
            state=instance["State"]["Name"],
            type=instance["InstanceType"],
            zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
            vpc=instance.get("VpcId", ""),
            profile=instance.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2],
            key_pair=instance.get("KeyName", ""),
            metadata_tokens=instance.get("MetadataOptions", {}).get("HttpTokens", "unknown"),
            metadata_hops=instance.get("MetadataOptions", {}).get("HttpPutResponseHopLimit", 0),
            security_groups=[each["GroupName"] for each in instance.get("SecurityGroups", [])],
            public_address=instance.get("PublicIpAddress", ""),
            private_address=instance.get("PrivateIpAddress", ""),
            volumes=[
                {
                    "id": each["VolumeId"],
                    "zone": each["AvailabilityZone"],
                    "size": each["Size"],
                    "volume_type": each["VolumeType"],
                    "throughput": each.get("Throughput"),
                    "iops": each.get("Iops"),
                    "encrypted": each["Encrypted"],
                    "root": each["VolumeId"] == volumes.get(instance.get("RootDeviceName", "")),
                }
                for each in disks
            ],
        )

    def addresses(self) -> list[Thing]:
        """Return the Elastic IPs of the application; `instance` is the one that holds it."""
        filters = [{"Name": "tag:Application", "Values": [self.params["application"]]}]
        found = self.clients["ec2"].describe_addresses(Filters=filters, aws_retry=True)["Addresses"]
        return [
            self.thing(
                "elastic ip",
                each["PublicIp"],
                boto3_tag_list_to_ansible_dict(each.get("Tags", [])),
                instance=each.get("InstanceId", ""),
            )
            for each in found
        ]

    def budget(self, account: str) -> list[Thing]:
        """Return the budget, which has no tags here: what it counts says whose it is.

        Args:
            account: number of the account.
        """
        name, wanted = self.params["budget"], [f"user:Application${self.params['application']}"]
        try:
            answer = self.clients["budgets"].describe_budget(AccountId=account, BudgetName=name, aws_retry=True)
        except is_boto3_error_code("NotFoundException"):
            return []
        ours = answer["Budget"].get("CostFilters") == {"TagKeyValue": wanted}
        return [self.thing("budget", name, {}) | {"ours": ours}]

    def topic(self) -> list[Thing]:
        """Return the topic that alarms are told to."""
        arn = self.params["topic"]
        try:
            tags = self.clients["sns"].list_tags_for_resource(ResourceArn=arn, aws_retry=True).get("Tags", [])
        except is_boto3_error_code(["ResourceNotFound", "NotFound"]):
            return []
        return [self.thing("topic", arn.rpartition(":")[2], boto3_tag_list_to_ansible_dict(tags)) | {"id": arn}]

    def alarms(self) -> list[Thing]:
        """Return the alarms whose names begin as ours do."""
        client = self.clients["cloudwatch"]
        found = self._every("cloudwatch", "describe_alarms", AlarmNamePrefix=self.params["alarm_prefix"])
        tags = {
            each["AlarmName"]: client.list_tags_for_resource(ResourceARN=each["AlarmArn"], aws_retry=True)
            for each in found.get("MetricAlarms", [])
        }
        return [
            self.thing("alarm", name, boto3_tag_list_to_ansible_dict(answer.get("Tags", [])))
            for name, answer in tags.items()
        ]

    def dashboard(self) -> list[Thing]:
        """Return the dashboard, which has no tags: words on it say whose it is."""
        name = self.params["dashboard"]
        try:
            body = self.clients["cloudwatch"].get_dashboard(DashboardName=name, aws_retry=True)["DashboardBody"]
        except is_boto3_error_code(["ResourceNotFound", "DashboardNotFoundError"]):
            return []
        return [self.thing("dashboard", name, {}) | {"ours": self.params["dashboard_mark"] in body}]

    def questions(self) -> list[Question]:
        """Return every question: what it is about, and a callable that answers it."""
        return [
            ("the IAM role", partial(self.role, "role", self.params["role"])),
            *[
                (f"the IAM role {self.params[name]}", partial(self.role, kind, self.params[name]))
                for kind, name in (("GitHub role", "github_role"), ("deploy role", "github_deploy_role"))
                if self.params[name]
            ],
            ("the instance profile", self.profile),
            ("the security group", partial(self.security_groups, "security group", self.params["security_group"])),
            ("the parameters", self.parameters),
            ("the session document", self.document),
            ("the instances", self.instances),
            ("the Elastic IPs", self.addresses),
            *([("the load balancer", self.balanced)] if self.params.get("load_balancer") else []),
            *([("the topic of the alarms", self.topic)] if self.params.get("topic") else []),
            *([("the alarms", self.alarms)] if self.params.get("alarm_prefix") else []),
            *([("the dashboard", self.dashboard)] if self.params.get("dashboard") else []),
            *[
                (f"the {kind} {name}", partial(ask, name))
                for kind, ask, names in (
                    ("bucket", self.bucket, self.params["buckets"]),
                    ("repository", self.repository, self.params["repositories"]),
                    ("log group", self.log_group, self.params["log_groups"]),
                    ("secret", self.secret, self.params["secrets"]),
                )
                for name in names
            ],
        ]


def answers(questions: list[Question]) -> tuple[list[Thing], list[str]]:
    """Ask all questions at the same time; return the resources, and a sentence for each question without an answer."""
    things: list[Thing] = []
    problems: list[str] = []
    with ThreadPoolExecutor(max_workers=8) as pool:
        for what, answer in [(what, pool.submit(ask)) for what, ask in questions]:
            try:
                things += answer.result()
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
                problems.append(f"AWS does not answer about {what}: {error}")
    return things, problems


def main() -> None:
    """Return the resources."""
    text, names = {"type": "str", "required": True}, {"type": "list", "elements": "str", "required": True}
    module = AnsibleAWSModule(
        argument_spec={
            "role": text,
            "github_role": {"type": "str", "default": ""},
            "github_deploy_role": {"type": "str", "default": ""},
            "security_group": text,
            "buckets": names,
            "repositories": names,
            "log_groups": names,
            "session_document": text,
            "secrets": {**names, "no_log": False},
            "parameter_path": text,
            "application": text,
            "instance_id": {"type": "str", "default": ""},
            **{
                name: {"type": "str", "default": ""}
                for name in ("budget", "topic", "alarm_prefix", "dashboard", "dashboard_mark")
            },
            "load_balancer": {
                "type": "dict",
                "options": {
                    "name": text,
                    "target_group": text,
                    "security_group": text,
                    "only_with_its_group": {"type": "bool", "default": False},
                },
            },
            "tags": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    account = Account(module)
    try:
        caller = account.clients["sts"].get_caller_identity(aws_retry=True)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        fail(module, error, "AWS does not say whose credentials these are")
    things, problems = answers(account.questions())
    # Whether bills may be looked at is another's decision in many accounts, and some partitions have no budgets.
    name, ask = module.params["budget"], partial(account.budget, caller["Account"])
    budgets, unseen = answers([(f"the budget {name}", ask)] if name else [])
    module.exit_json(
        changed=False,
        account=caller["Account"],
        partition=caller["Arn"].split(":")[1],
        region=module.region,
        things=things + budgets,
        unseen=unseen,
        problems=problems,
    )


if __name__ == "__main__":
    main()
