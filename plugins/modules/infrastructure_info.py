#!/usr/bin/python
"""Tell what an account has of the things that provisioning makes, and which of them provisioning made.

An own module: the ready info modules ask for one kind each, leave the tags out, or read the secrets' values.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import boto3_tag_list_to_ansible_dict

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

DOCUMENTATION = r"""
module: infrastructure_info
short_description: What an account has of the things that provisioning makes
description:
  - Reads names, tags and ids. Never reads a secret's value. Changes nothing.
options:
  role:
    description: Name of the IAM role and of the instance profile.
    type: str
    required: true
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
    description: Value of the tag C(Application) by which the instance is found.
    type: str
    required: true
  instance_id:
    description: An instance to look at besides.
    type: str
    default: ""
  tags:
    description: Tags of all that provisioning made.
    type: dict
    required: true
"""

RETURN = r"""
account:
  description: Number of the account.
  type: str
partition:
  description: Partition of the account, such as C(aws).
  type: str
region:
  description: Region that was asked.
  type: str
things:
  description: Everything that is there, each with C(kind), C(name), C(key), C(id), C(ours) and what its kind tells.
  type: list
problems:
  description: What could not be looked at, and why.
  type: list
"""

GONE = ("terminated", "shutting-down")


class Account:
    """Questions about one account; each answer is a list of things."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        """Take the module's parameters and make the clients, which threads may share."""
        self.wanted = module.params
        services = ("ec2", "ecr", "iam", "logs", "s3", "secretsmanager", "ssm", "sts")
        self.clients = {
            name: module.client(name, retry_decorator=AWSRetry.jittered_backoff(retries=5)) for name in services
        }

    def thing(self, kind: str, name: str, tags: dict, **more: object) -> dict:
        """Return one thing; it is ours when it has all of our tags."""
        ours = all(tags.get(key) == value for key, value in self.wanted["tags"].items())
        return {"kind": kind, "name": name, "key": f"{kind} {name}", "id": name, "tags": tags, "ours": ours, **more}

    def role(self) -> list:
        """Return the IAM role."""
        try:
            found = self.clients["iam"].get_role(RoleName=self.wanted["role"], aws_retry=True)["Role"]
        except is_boto3_error_code("NoSuchEntity"):
            return []
        return [self.thing("role", found["RoleName"], boto3_tag_list_to_ansible_dict(found.get("Tags", [])))]

    def profile(self) -> list:
        """Return the instance profile."""
        name = self.wanted["role"]
        try:
            found = self.clients["iam"].get_instance_profile(InstanceProfileName=name, aws_retry=True)
        except is_boto3_error_code("NoSuchEntity"):
            return []
        tags = boto3_tag_list_to_ansible_dict(found["InstanceProfile"].get("Tags", []))
        return [self.thing("instance profile", name, tags, arn=found["InstanceProfile"]["Arn"])]

    def security_groups(self) -> list:
        """Return the security groups of the name, in whichever VPC."""
        chosen = [{"Name": "group-name", "Values": [self.wanted["security_group"]]}]
        found = self.clients["ec2"].describe_security_groups(Filters=chosen, aws_retry=True)["SecurityGroups"]
        return [
            self.thing("security group", each["GroupName"], boto3_tag_list_to_ansible_dict(each.get("Tags", [])))
            | {"id": each["GroupId"], "vpc": each["VpcId"]}
            for each in found
        ]

    def bucket(self, name: str) -> list:
        """Return a bucket; one of another account cannot be looked into, and is reported as such."""
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

    def repository(self, name: str) -> list:
        """Return an ECR repository."""
        client = self.clients["ecr"]
        try:
            found = client.describe_repositories(repositoryNames=[name], aws_retry=True)["repositories"][0]
        except is_boto3_error_code("RepositoryNotFoundException"):
            return []
        tags = client.list_tags_for_resource(resourceArn=found["repositoryArn"], aws_retry=True)["tags"]
        images = client.list_images(repositoryName=name, maxResults=1, aws_retry=True)["imageIds"]
        return [self.thing("repository", name, boto3_tag_list_to_ansible_dict(tags), holds_data=bool(images))]

    def log_group(self, name: str) -> list:
        """Return a log group."""
        client = self.clients["logs"]
        found = client.describe_log_groups(logGroupNamePrefix=name, aws_retry=True)["logGroups"]
        if name not in [each["logGroupName"] for each in found]:
            return []
        return [self.thing("log group", name, client.list_tags_log_group(logGroupName=name, aws_retry=True)["tags"])]

    def secret(self, name: str) -> list:
        """Return a secret, without its value; `deleted` while it can still be brought back."""
        try:
            found = self.clients["secretsmanager"].describe_secret(SecretId=name, aws_retry=True)
        except is_boto3_error_code("ResourceNotFoundException"):
            return []
        tags = boto3_tag_list_to_ansible_dict(found.get("Tags", []))
        return [self.thing("secret", name, tags, deleted="DeletedDate" in found, holds_data=True)]

    def parameters(self) -> list:
        """Return the parameters below the path. Which are ours is asked with one filter: their tags come one by one."""
        below = {"Key": "Name", "Option": "BeginsWith", "Values": [f"{self.wanted['parameter_path']}/"]}
        tagged = [{"Key": f"tag:{key}", "Values": [value]} for key, value in self.wanted["tags"].items()]
        names = self._parameter_names([below])
        ours = set(self._parameter_names([below, *tagged])) if names else set()
        return [self.thing("parameter", name, self.wanted["tags"] if name in ours else {}) for name in sorted(names)]

    def _parameter_names(self, filters: list) -> list:
        pages = self.clients["ssm"].get_paginator("describe_parameters").paginate(ParameterFilters=filters)
        return [each["Name"] for page in pages for each in page["Parameters"]]

    def instances(self) -> list:
        """Return the instances of the application, and the one asked for."""
        client = self.clients["ec2"]
        chosen = [{"Name": "tag:Application", "Values": [self.wanted["application"]]}]
        found = client.describe_instances(Filters=chosen, aws_retry=True)["Reservations"]
        if self.wanted["instance_id"]:
            with contextlib.suppress(
                is_boto3_error_code(["InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"])
            ):
                found += client.describe_instances(InstanceIds=[self.wanted["instance_id"]], aws_retry=True)[
                    "Reservations"
                ]
        described = {each["InstanceId"]: each for reservation in found for each in reservation["Instances"]}
        return [self._instance(each) for each in described.values() if each["State"]["Name"] not in GONE]

    def _instance(self, found: dict) -> dict:
        volumes = [mapping["Ebs"]["VolumeId"] for mapping in found.get("BlockDeviceMappings", []) if "Ebs" in mapping]
        disks = self.clients["ec2"].describe_volumes(VolumeIds=volumes, aws_retry=True)["Volumes"] if volumes else []
        return self.thing(
            "instance",
            found["InstanceId"],
            boto3_tag_list_to_ansible_dict(found.get("Tags", [])),
            state=found["State"]["Name"],
            type=found["InstanceType"],
            profile=found.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2],
            key_pair=found.get("KeyName", ""),
            metadata_tokens=found.get("MetadataOptions", {}).get("HttpTokens", "unknown"),
            security_groups=[each["GroupName"] for each in found.get("SecurityGroups", [])],
            public_address=found.get("PublicIpAddress", ""),
            private_address=found.get("PrivateIpAddress", ""),
            volumes=[
                camel_dict_to_snake_dict({key: each.get(key) for key in ("Size", "VolumeType", "Encrypted")})
                for each in disks
            ],
        )

    def everything(self) -> list:
        """Return (what was asked, a callable that answers) for every question."""
        return [
            ("the IAM role", self.role),
            ("the instance profile", self.profile),
            ("the security group", self.security_groups),
            ("the parameters", self.parameters),
            ("the instances", self.instances),
            *[
                (f"the {kind} {name}", lambda ask=ask, name=name: ask(name))
                for kind, ask, names in (
                    ("bucket", self.bucket, self.wanted["buckets"]),
                    ("repository", self.repository, self.wanted["repositories"]),
                    ("log group", self.log_group, self.wanted["log_groups"]),
                    ("secret", self.secret, self.wanted["secrets"]),
                )
                for name in names
            ],
        ]


def answers(questions: list) -> tuple:
    """Ask all questions at the same time; return the things, and a sentence for each question that AWS refused."""
    things, problems = [], []
    with ThreadPoolExecutor(max_workers=8) as pool:
        asked = [(what, pool.submit(ask)) for what, ask in questions]
        for what, answer in asked:
            try:
                things += answer.result()
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
                problems.append(f"AWS does not tell about {what}: {error}")
    return things, problems


def main() -> None:
    """Look and report."""
    text, names = {"type": "str", "required": True}, {"type": "list", "elements": "str", "required": True}
    module = AnsibleAWSModule(
        argument_spec={
            "role": text,
            "security_group": text,
            "buckets": names,
            "repositories": names,
            "log_groups": names,
            "secrets": {**names, "no_log": False},
            "parameter_path": text,
            "application": text,
            "instance_id": {"type": "str", "default": ""},
            "tags": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    account = Account(module)
    try:
        caller = account.clients["sts"].get_caller_identity(aws_retry=True)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg="AWS does not say whose credentials these are")
    things, problems = answers(account.everything())
    module.exit_json(
        changed=False,
        account=caller["Account"],
        partition=caller["Arn"].split(":")[1],
        region=module.region,
        things=things,
        problems=problems,
    )


if __name__ == "__main__":
    main()
