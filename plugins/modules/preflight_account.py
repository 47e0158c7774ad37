"""Check the account for everything that would make a deployment fail.

An own module, because the ready ones stop at the first problem, and none reads quotas or simulates permissions.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_account
short_description: Check the account for everything that would make a deployment fail
description:
  - Checks secrets (described, never read), the transfer bucket, models in S3, the instance, the permissions to start it
    and to open a session, what the session document says, and the quota that the start needs.
  - Changes nothing. What the credentials may not read is no problem; it is listed in RV(unseen).
options:
  instance_id:
    description: The instance; empty when unknown.
    type: str
    default: ""
  caller:
    description: ARN of the credentials.
    type: str
    default: ""
  bucket:
    description: The transfer bucket; empty when unknown.
    type: str
    default: ""
  models:
    description: Sources of models by name; empty where unknown.
    type: dict
    default: {}
  secrets:
    description: The secrets, each with C(name) and C(parameter), the parameter that names it.
    type: list
    elements: dict
    default: []
  accelerator:
    description: What the engine runs on.
    type: str
    choices: [gpu, cpu]
    default: gpu
  engine_profile:
    description: The engine's profile; empty means the accelerator's default.
    type: str
    default: ""
  engine_options:
    description: Options of the engine that the operator has set, which win over the profile's.
    type: dict
    default: {}
  session_document:
    description:
      - The document that sessions run under; where it is empty they run under the account's preferences, the document
        C(SSM-SessionManagerRunShell), where the account has one.
    type: str
    default: ""
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Check the account
  slm.serving.preflight_account:
    region: eu-central-1
    instance_id: i-0123456789abcdef0
    caller: arn:aws:iam::123456789012:user/operator
    bucket: slm-ft-serving-transfer-123456789012-eu-central-1
    models:
      base: s3://slm-ft-serving-models-123456789012-eu-central-1/base
    secrets:
      - name: slm-ft-serving/gateway-api-keys
        parameter: /slm-ft-serving/secrets/gateway-api-keys
    accelerator: gpu
    session_document: slm-ft-serving-session
  register: account
"""

RETURN = r"""
problems:
  description: A sentence for each thing that would make a deployment fail, with what to do.
  returned: success
  type: list
  elements: str
shared_problems:
  description: The same for models and secrets, which the instance checks better itself when it can be reached.
  returned: success
  type: list
  elements: str
warnings_found:
  description: A sentence for each thing that should be corrected but does not prevent a deployment.
  returned: success
  type: list
  elements: str
unseen:
  description: A sentence for each thing that could not be checked, with the reason.
  returned: success
  type: list
  elements: str
state:
  description: The instance's state; empty when unknown.
  returned: success
  type: str
reachable:
  description:
    - Whether Systems Manager reaches the instance and the document lets sessions be, so that it can be checked without
      starting it.
  returned: success
  type: bool
"""

import contextlib
import functools
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.slm.serving.plugins.module_utils import session_preferences
from ansible_collections.slm.serving.plugins.module_utils.adapters import setting_of
from ansible_collections.slm.serving.plugins.module_utils.gpu_fit import gpu_problems
from ansible_collections.slm.serving.plugins.module_utils.vcpu_quotas import quota_of, running_vcpus

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError  # What is no AWS, such as a proxy, may answer anything.

DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "AccessDeniedFault"}
EXPIRY_DAYS = 1
# What has the rights of an operator.
GIVEN = ", which the policy operator-deploy gives (docs/permissions.md)"
ATTACH = ", or attach the policy operator-deploy (docs/permissions.md)"
# Policies ask for an instance's tags by one or another of these.
TAG_KEYS = ("aws:ResourceTag", "ec2:ResourceTag", "ssm:resourceTag")
CHECKS = ("secrets", "models", "bucket", "instance", "session_document")


def code_of(error: ClientError) -> str:
    """Return AWS's own code of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


class Account:
    """The checks, each a method that yields problems; warnings, and what could not be checked, are collected."""

    def __init__(self, client_of: Callable[[str], Any], options: dict[str, Any]) -> None:
        """Start without warnings.

        Args:
            client_of: from a service's name to its client.
            options: the module's, with `region`.
        """
        self._client_of, self.options = client_of, options
        self.warnings: list[str] = []
        self.unseen: list[str] = []
        self.state, self.reachable, self.sessions_prevented = "", False, False

    @property
    def can_be_asked(self) -> bool:
        """Whether a session with the instance would come about now, once the checks are made."""
        return self.reachable and not self.sessions_prevented

    def secrets(self) -> Iterator[str]:
        """Check that every secret exists and has a value."""
        client = self._client_of("secretsmanager")
        for secret in self.options["secrets"]:
            label = f"The secret {secret['name']} (named by the parameter {secret['parameter']})"
            try:
                about = client.describe_secret(SecretId=secret["name"])
            except ClientError as error:
                if code_of(error) == "ResourceNotFoundException":
                    yield f"{label} does not exist: create it, or correct the parameter."
                else:
                    self._left_out(error, label, "secretsmanager:DescribeSecret")
                continue
            if about.get("DeletedDate"):
                yield f"{label} is marked for deletion: restore it, or correct the parameter."
            elif about.get("VersionIdsToStages") == {}:
                yield f"{label} has no value: put one."

    def bucket(self) -> Iterator[str]:
        """Check that the transfer bucket exists and is private, unversioned and has an expiry."""
        name = self.options["bucket"]
        if not name:
            return
        client = self._client_of("s3")
        try:
            client.head_bucket(Bucket=name)
        except ClientError as error:
            if code_of(error) in {"404", "NoSuchBucket"}:
                yield f"The transfer bucket {name} does not exist: create it, or correct s3/transfer-bucket."
            else:
                yield (
                    f"Your credentials may not use the transfer bucket {name} ({error}): allow s3:ListBucket on"
                    f" it{ATTACH}."
                )
            return
        yield from self._public(client, name)
        with self._tolerant(f"Whether the bucket {name} is versioned", "s3:GetBucketVersioning"):
            if client.get_bucket_versioning(Bucket=name).get("Status") == "Enabled":
                self.warnings.append(
                    f"The transfer bucket {name} keeps old versions of what passed through it: suspend its versioning."
                )
        with self._tolerant(f"The expiry in the bucket {name}", "s3:GetLifecycleConfiguration"):
            if not self._expires(client, name):
                self.warnings.append(
                    f"Objects in the transfer bucket {name} do not expire after a day: give it such a lifecycle rule."
                )

    def _public(self, client: Any, name: str) -> Iterator[str]:
        with self._tolerant(f"Whether public access to the bucket {name} is blocked", "s3:GetBucketPublicAccessBlock"):
            try:
                blocked = client.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
            except ClientError as error:
                if code_of(error) != "NoSuchPublicAccessBlockConfiguration":
                    raise
                blocked = {}
            if blocked and all(blocked.values()):
                return
            self.warnings.append(
                f"Public access to the transfer bucket {name} is not blocked altogether: block all of it."
            )
        open_to_all = False
        with self._tolerant(f"Who may use the bucket {name}", "s3:GetBucketAcl"):
            grants = client.get_bucket_acl(Bucket=name)["Grants"]
            open_to_all = any(grant["Grantee"].get("URI", "").endswith("/AllUsers") for grant in grants)
        with self._tolerant(f"Whether the bucket {name} is public", "s3:GetBucketPolicyStatus"):
            try:
                open_to_all = client.get_bucket_policy_status(Bucket=name)["PolicyStatus"]["IsPublic"] or open_to_all
            except ClientError as error:
                if code_of(error) != "NoSuchBucketPolicy":
                    raise
        if open_to_all:
            yield f"The transfer bucket {name} is public: block all public access to it."

    @staticmethod
    def _expires(client: Any, name: str) -> bool:
        """Say whether a rule lets every object expire after a day."""
        try:
            rules = client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
        except ClientError as error:
            if code_of(error) != "NoSuchLifecycleConfiguration":
                raise
            return False
        return any(
            rule["Status"] == "Enabled"
            and rule.get("Expiration", {}).get("Days", EXPIRY_DAYS + 1) <= EXPIRY_DAYS
            and not rule.get("Filter", {}).get("Prefix", rule.get("Prefix", ""))
            for rule in rules
        )

    def models(self) -> Iterator[str]:
        """Check that models in S3 exist; the instance itself checks these and others with its own permissions."""
        client = self._client_of("s3")
        for name, source in self.options["models"].items():
            if not source.startswith("s3://"):
                continue
            bucket, _, prefix = source.removeprefix("s3://").strip("/").partition("/")
            try:
                listing = client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", MaxKeys=1)
            except ClientError as error:
                if code_of(error) == "NoSuchBucket":
                    yield (
                        f"The bucket {bucket} of the {name} model ({source}) does not exist: correct"
                        f" {setting_of(name)}."
                    )
                else:
                    self._left_out(error, f"The {name} model at {source}", "s3:ListBucket")
                continue
            if not listing.get("KeyCount"):
                yield f"There is nothing at {source} (the {name} model): upload it, or correct {setting_of(name)}."

    def instance(self) -> Iterator[str]:
        """Check that the instance can be used as it is, or started."""
        name = self.options["instance_id"]
        if not name:
            return
        client = self._client_of("ec2")
        reservations = client.describe_instances(InstanceIds=[name])["Reservations"]
        instance = next((each for reservation in reservations for each in reservation["Instances"]), None)
        self.state = instance["State"]["Name"] if instance else "gone"
        if not instance or self.state in {"terminated", "shutting-down"}:
            yield f"The instance {name} is {self.state}: create another one with playbooks/provision.yml."
            return
        if not instance.get("IamInstanceProfile"):
            yield (
                f"The instance {name} has no instance profile, so it can fetch neither secrets nor images: run"
                f" playbooks/provision.yml with -e infrastructure_instance_id={name}, which gives it one."
            )
        kind = instance["InstanceType"]
        about: dict[str, Any] = {}
        with self._tolerant(f"What a {kind} has", "ec2:DescribeInstanceTypes"):
            about = next(iter(client.describe_instance_types(InstanceTypes=[kind])["InstanceTypes"]), {})
        if self.options["accelerator"] == "gpu" and about:
            profile, options = self.options["engine_profile"], self.options["engine_options"]
            yield from gpu_problems(f"The instance {name} is a {kind}", about, profile, options)
        yield from self._session(name, instance.get("Tags", []))
        if self.state == "running":
            self.reachable = self._connected(name)
        elif self.state in {"stopped", "stopping"}:
            yield from self._start(client, name)
            yield from self._quota(client, kind, about.get("VCpuInfo", {}).get("DefaultVCpus", 0))

    def _connected(self, name: str) -> bool:
        """Say whether a session can be opened now; a ping status says it minutes after the agent has gone."""
        with self._tolerant("Whether Systems Manager reaches the instance", "ssm:GetConnectionStatus"):
            answer = self._client_of("ssm").get_connection_status(Target=name)
            return bool(answer["Status"] == "connected")
        return False

    def _start(self, client: Any, name: str) -> Iterator[str]:
        """Check by a dry run that the credentials may start the instance."""
        try:
            client.start_instances(InstanceIds=[name], DryRun=True)
        except ClientError as error:
            if code_of(error) in DENIED:
                yield (
                    f"Your credentials may not start the instance {name}: allow them ec2:StartInstances on it{ATTACH}."
                )
            elif code_of(error) not in {"DryRunOperation", "IncorrectInstanceState"}:
                self.unseen.append(f"Whether the instance may be started: {error}.")

    def _quota(self, client: Any, kind: str, needed: int) -> Iterator[str]:
        """Check that the quota of vCPUs suffices for one more instance of this type."""
        code, title = quota_of(kind)
        if not code or not needed:
            return
        with self._tolerant(f"The quota {title}", "servicequotas:GetServiceQuota"):
            quota = self._client_of("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=code)
            limit, used = quota["Quota"]["Value"], running_vcpus(client, code)
            if used + needed > limit:
                yield (
                    f"The quota {title} is {limit:.0f} vCPUs; {used} run and this {kind} needs {needed} more: ask for a"
                    f" higher quota ({code}) in the Service Quotas console, or stop others."
                )

    def _session(self, name: str, tags: list[dict[str, str]]) -> Iterator[str]:
        """Check that the policies of the credentials, a user's or a role's, allow a session.

        The simulation knows neither the instance's tags nor whether AWS asks for the right to the session document, so
        it is told: a policy may make the session depend on either.
        """
        caller = re.fullmatch(r"arn:([\w-]+):(?:iam|sts)::(\d+):(user|assumed-role)/(.+)", self.options["caller"])
        if not caller:
            return
        partition, account, kind, path = caller.groups()
        region = self.options["region"]
        document = self.options["session_document"] or session_preferences.ACCOUNT_PREFERENCES
        instance = f"arn:{partition}:ec2:{region}:{account}:instance/{name}"
        named = f"arn:{partition}:ssm:{region}:{account}:document/{document}"
        with self._tolerant("Whether you may open a session", "iam:SimulatePrincipalPolicy and iam:GetRole"):
            principal = f"arn:{partition}:iam::{account}:user/{path}"
            if kind == "assumed-role":
                principal = self._role(path.partition("/")[0])
            allowed = functools.partial(self._allowed, principal, tags)
            if not allowed(instance, checked=True):
                yield (
                    f"{principal} may not open a session with {name}: allow it ssm:StartSession on {instance}{ATTACH}."
                )
            # The document that AWS takes where none is named needs a right only where the policy demands it.
            elif not allowed(named, checked=True) and (
                document != session_preferences.ACCOUNT_PREFERENCES or not allowed(instance, checked=False)
            ):
                yield (
                    f"{principal} may not use the session document {document}: allow it ssm:StartSession on"
                    f" {named}{ATTACH}."
                )

    def _role(self, name: str) -> str:
        """Return the ARN of a role, with the path that the ARN of its session lacks, such as that of single sign-on."""
        return str(self._client_of("iam").get_role(RoleName=name)["Role"]["Arn"])

    def _allowed(self, principal: str, tags: list[dict[str, str]], resource: str, *, checked: bool) -> bool:
        """Say whether a principal may start a session; what depends on something unknown is noted, and taken for a yes.

        Args:
            principal: the ARN of a user or role.
            tags: the instance's.
            resource: the ARN of the instance, or of the document.
            checked: whether AWS asks for the right to the document too.
        """
        values = {"ssm:SessionDocumentAccessCheck": str(checked).lower()}
        values |= {f"{key}/{tag['Key']}": tag["Value"] for tag in tags for key in TAG_KEYS}
        answer = self._client_of("iam").simulate_principal_policy(
            PolicySourceArn=principal,
            ActionNames=["ssm:StartSession"],
            ResourceArns=[resource],
            ContextEntries=[
                {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}
                for key, value in values.items()
            ],
        )
        refusals = [each for each in answer["EvaluationResults"] if each["EvalDecision"] != "allowed"]
        unknown = sorted({key for each in refusals for key in each.get("MissingContextValues", [])})
        if unknown:
            self.unseen.append(f"Whether you may open a session: it depends on {', '.join(unknown)}.")
        return not refusals or bool(unknown)

    def session_document(self) -> Iterator[str]:
        """Check that the document which sessions run under does not prevent them."""
        named = self.options["session_document"]
        name = named or session_preferences.ACCOUNT_PREFERENCES
        try:
            answer = self._client_of("ssm").get_document(Name=name, DocumentFormat="JSON")
            content = json.loads(answer["Content"])
        except ClientError as error:
            if code_of(error) != "InvalidDocument":
                self._left_out(error, f"What the session document {name} says", "ssm:GetDocument")
            elif named:
                self.sessions_prevented = True
                yield (
                    f"There is no session document {name}: run playbooks/provision.yml, or correct the parameter"
                    " ssm/session-document."
                )
            content = {}
        if not named:
            self.warnings.append(
                "Sessions run under the account's preferences, because the parameter ssm/session-document names no"
                " document: run playbooks/provision.yml, which makes one of this application's own, whose sessions are"
                " logged."
            )
        self.warnings.extend(session_preferences.warnings(name, content))
        for problem in session_preferences.problems(name, content):
            self.sessions_prevented = True
            yield problem

    @contextlib.contextmanager
    def _tolerant(self, what: str, action: str) -> Iterator[None]:
        """Note what cannot be checked."""
        try:
            yield
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            self._left_out(error, what, action)

    def _left_out(self, error: Exception, what: str, action: str) -> None:
        """Note that something was not checked, and why."""
        denied = isinstance(error, ClientError) and code_of(error) in DENIED
        why = f"your credentials lack {action}{GIVEN}" if denied else str(error).splitlines()[0]
        self.unseen.append(f"{what}: {why}.")


def run_checks(account: Account) -> dict[str, list[str]]:
    """Run the checks side by side; return the problems of each."""

    def run(name: str) -> list[str]:
        problems: list[str] = []
        try:
            problems.extend(getattr(account, name)())
        except (ClientError, BotoCoreError, ResponseParserError) as error:
            problems.append(f"AWS could not be asked about {name}: {error}.")
        return problems

    with ThreadPoolExecutor() as pool:
        return dict(zip(CHECKS, pool.map(run, CHECKS), strict=True))


def main() -> None:
    """Return the problems; the role fails, with those found elsewhere, when there are any."""
    module = AnsibleAWSModule(
        argument_spec={
            "instance_id": {"type": "str", "default": ""},
            "caller": {"type": "str", "default": ""},
            "bucket": {"type": "str", "default": ""},
            "models": {"type": "dict", "default": {}},
            "secrets": {"type": "list", "elements": "dict", "default": [], "no_log": False},
            "accelerator": {"type": "str", "choices": ["gpu", "cpu"], "default": "gpu"},
            "engine_profile": {"type": "str", "default": ""},
            "engine_options": {"type": "dict", "default": {}},
            "session_document": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    services = ["secretsmanager", "s3", "ec2", "ssm", "iam", "service-quotas"]
    # Made one after the other: a session of boto3 is not thread-safe.
    clients = {service: module.client(service) for service in services}
    account = Account(clients.__getitem__, {**module.params, "region": module.region})
    problems = run_checks(account)
    module.exit_json(
        changed=False,
        problems=problems["bucket"] + problems["instance"] + problems["session_document"],
        shared_problems=problems["secrets"] + problems["models"],
        warnings_found=account.warnings,
        unseen=account.unseen,
        state=account.state,
        reachable=account.can_be_asked,
    )


if __name__ == "__main__":
    main()
