"""provision.yml and teardown.yml over an account's whole life: what they make, leave alone, refuse and remove."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from tests.fakes import answers
from tests.fakes.account import Api, forget, served
from tests.local_region import names, operator_documents
from tests.local_region.faults import Faults
from tests.local_region.state import RegionState
from tests.playbooks.isolated.account_runner import play, play_in_a_terminal
from tests.support.runner import PlaybookRun

pytestmark = pytest.mark.region

NETWORKS = ("198.51.100.0/24", "2001:db8::/32")
GITHUB_ROLE = "slm-ft-serving-github"
DEPLOY_ROLE = "slm-ft-serving-github-deploy"
ARGUMENTS = ("-e", f"infrastructure_gateway_cidrs={','.join(NETWORKS)}")
CONFIRMED = ("-e", f"infrastructure_confirmation={names.APPLICATION}")
# Made by the first run.
STAYING = (
    *("-e", "infrastructure_elastic_ip=true"),
    *("-e", "infrastructure_github_repository=owner/name", "-e", "infrastructure_github_environment=production"),
)
FULL_ZONE = f"{names.AWS_REGION}a"
OURS = {"Application": names.APPLICATION, "ManagedBy": "provision.yml"}
SECRET_VALUE = f"demo:{secrets.token_hex(32)}"
STRANGER = "somebody-else"
OPERATORS_TAG = "chosen-by-the-operator"
# What deploy.yml and finetune.yml note down, and what nobody but the operator put.
RECORDS = {"model/adapter-serving", "model/adapter-candidate"}
OPERATORS_SETTINGS = {"images/engine-tag": OPERATORS_TAG, "model/adapter-of-last-year": OPERATORS_TAG}
LOG_GROUPS = {"/aws/ssm/slm-ft-serving/sessions"}
# Made by an earlier version of provision.yml.
FORMER_LOG_GROUP = "/aws/ssm/slm-ft-serving/commands"
LOG_GROUP_ARN = f"arn:aws:logs:{names.AWS_REGION}:{names.ACCOUNT_ID}:log-group"
BUCKETS = {f"slm-ft-serving-{what}-{names.ACCOUNT_ID}-{names.AWS_REGION}" for what in ("transfer", "models")}
TAGGED = ("role", "github role", "deploy role", "profile", "group", "instance", "volume", "address")
Holdings = dict[str, set[str]]


def tags_of(listed: Any) -> dict[str, str]:
    """Return the tags of any AWS answer, by key."""
    if isinstance(listed, dict):
        return listed
    return {each.get("Key", each.get("key")): each.get("Value", each.get("value")) for each in listed}


def holdings(api: Api) -> Holdings:
    """Return the names of what the account has, by kind."""
    iam, ec2 = api.client("iam"), api.client("ec2")
    reservations = ec2.describe_instances()["Reservations"]
    instances = [each for reservation in reservations for each in reservation["Instances"]]
    return {
        "roles": {each["RoleName"] for each in iam.list_roles()["Roles"]},
        "profiles": {each["InstanceProfileName"] for each in iam.list_instance_profiles()["InstanceProfiles"]},
        "security groups": {each["GroupName"] for each in ec2.describe_security_groups()["SecurityGroups"]},
        "buckets": {each["Name"] for each in api.client("s3").list_buckets()["Buckets"]},
        "repositories": {each["repositoryName"] for each in api.client("ecr").describe_repositories()["repositories"]},
        "secrets": {each["Name"] for each in api.client("secretsmanager").list_secrets()["SecretList"]},
        "parameters": set(parameters(api)),
        "log groups": {each["logGroupName"] for each in api.client("logs").describe_log_groups()["logGroups"]},
        "session documents": {each["Name"] for each in api.client("ssm").list_documents()["DocumentIdentifiers"]},
        "addresses": {each["PublicIp"] for each in ec2.describe_addresses()["Addresses"]},
        "instances": {each["InstanceId"] for each in instances if each["State"]["Name"] == "running"},
    }


def parameters(api: Api) -> dict[str, str]:
    """Return the settings, by name below the path."""
    pages = api.client("ssm").get_paginator("get_parameters_by_path").paginate(Path="/slm-ft-serving", Recursive=True)
    found = {each["Name"]: each["Value"] for page in pages for each in page["Parameters"]}
    return {name.removeprefix("/slm-ft-serving/"): value for name, value in found.items()}


def start_stranger(api: Api, **more: Any) -> str:
    """Start an instance that is no business of the project's and return its id."""
    image = api.client("ssm").get_parameter(Name=names.DEEP_LEARNING_AMI_PARAMETER)["Parameter"]["Value"]
    made = api.client("ec2").run_instances(ImageId=image, InstanceType="t3.large", MinCount=1, MaxCount=1, **more)
    return str(made["Instances"][0]["InstanceId"])


def fill_with_what_is_not_ours(api: Api) -> None:
    """Give the account one of each kind, some of them under names near ours."""
    api.client("iam").create_role(RoleName=STRANGER, AssumeRolePolicyDocument="{}")
    api.client("iam").create_instance_profile(InstanceProfileName=STRANGER)
    vpc = api.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    api.client("ec2").create_security_group(GroupName=STRANGER, Description="x", VpcId=vpc)
    api.client("s3").create_bucket(Bucket=f"slm-ft-serving-{STRANGER}")
    api.client("ecr").create_repository(repositoryName=f"slm-ft-serving-{STRANGER}")
    api.client("secretsmanager").create_secret(Name=f"slm-ft-serving/{STRANGER}", SecretString="x")
    for name, value in OPERATORS_SETTINGS.items():
        api.client("ssm").put_parameter(Name=f"/slm-ft-serving/{name}", Value=value, Type="String")
    api.client("logs").create_log_group(logGroupName=f"/aws/ssm/slm-ft-serving/{STRANGER}")
    content = {"schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": {}}
    api.client("ssm").create_document(Name=STRANGER, Content=json.dumps(content), DocumentType="Session")
    start_stranger(api)


@contextmanager
def empty_account(folder: Path) -> Iterator[Api]:
    """Serve an account with nothing in it."""
    state = RegionState("unit", root=folder)
    state.prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        with served(state, DomainDispatcherApplication(create_backend_app)) as api:
            yield api


class Watch:
    """Reads every process's arguments and the files of Ansible's modules, ten times a second, until it is left."""

    def __init__(self, folder: Path) -> None:
        """Take the folder where Ansible puts its modules."""
        self.seen: set[str] = set()
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            for path in [*Path("/proc").glob("[0-9]*/cmdline"), *self._folder.rglob("*.py")]:
                try:
                    self.seen.add(path.read_text(encoding="utf-8", errors="replace"))
                except OSError:
                    continue  # It is over already.


@dataclass
class Life:
    """What an account had at each step, and what the playbooks said."""

    seeded: Holdings = field(default_factory=dict)
    strange: Holdings = field(default_factory=dict)
    runs: dict[str, PlaybookRun] = field(default_factory=dict)
    after: dict[str, Holdings] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    closed: list[Any] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    used: Holdings = field(default_factory=dict)
    watched: set[str] = field(default_factory=set)
    settings_left: dict[str, str] = field(default_factory=dict)
    unpromised: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Take an account from empty over provisioned to removed; the tests look at each step's outcome."""
    life, folder = Life(), tmp_path_factory.mktemp("account")
    noted = folder / "answers-read"
    with empty_account(folder) as api:
        api.account.seed(api.state)
        life.seeded = holdings(api)
    with empty_account(folder) as api:
        fill_with_what_is_not_ours(api)
        life.strange = holdings(api)

        def step(name: str, playbook: str, *arguments: str, **variables: str) -> None:
            life.runs[name] = play(api, playbook, *arguments, **answers.noting(noted), **variables)
            life.after[name] = holdings(api)

        step("refused", "provision", "-e", "infrastructure_gateway_cidrs=10.0.0.0,0.0.0.0/0")
        step("checked", "provision", "--check", *ARGUMENTS)
        modules = folder / "modules"
        with Watch(modules) as watch:
            environment = {"SLM_GATEWAY_API_KEYS": SECRET_VALUE, "HF_TOKEN": SECRET_VALUE}
            Faults(api.state.faults).switch_on("zone-capacity", FULL_ZONE)
            step("first", "provision", "-vvv", *STAYING, ANSIBLE_REMOTE_TEMP=str(modules), **environment)
            Faults(api.state.faults).switch_off()
        life.watched = watch.seen
        life.closed = describe(api)["group"]["IpPermissions"]
        step("opened", "provision", *ARGUMENTS, *STAYING)
        life.made = describe(api)
        life.settings = parameters(api)
        step("again", "provision", *ARGUMENTS, *STAYING)
        for bucket in BUCKETS:
            api.client("s3").put_object(Bucket=bucket, Key="x", Body=b"x")
        for name in RECORDS:
            # No bucket has so short a name: what is to be removed need not be right.
            api.client("ssm").put_parameter(Name=f"/slm-ft-serving/{name}", Value="s3://a/b", Type="String")
        api.client("logs").create_log_group(logGroupName=FORMER_LOG_GROUP, tags=OURS)
        life.used = holdings(api)
        step("unconfirmed", "teardown")
        step("removed", "teardown", *CONFIRMED)
        life.settings_left = parameters(api)
    life.unpromised = answers.never_promised(noted)
    forget()
    return life


def describe(api: Api) -> dict[str, Any]:
    """Return what AWS reports of all that provision.yml made."""
    iam, ec2, s3 = api.client("iam"), api.client("ec2"), api.client("s3")
    chosen = [{"Name": "tag:ManagedBy", "Values": [OURS["ManagedBy"]]}]
    instance = ec2.describe_instances(Filters=chosen)["Reservations"][0]["Instances"][0]
    volume = instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    ecr, logs, manager = api.client("ecr"), api.client("logs"), api.client("secretsmanager")
    repositories = ecr.describe_repositories(repositoryNames=[names.ENGINE_REPOSITORY, names.GATEWAY_REPOSITORY])
    return {
        "role": iam.get_role(RoleName=names.INSTANCE_ROLE)["Role"],
        "inline": {
            name: iam.get_role_policy(RoleName=names.INSTANCE_ROLE, PolicyName=name)["PolicyDocument"]
            for name in iam.list_role_policies(RoleName=names.INSTANCE_ROLE)["PolicyNames"]
        },
        "attached": iam.list_attached_role_policies(RoleName=names.INSTANCE_ROLE)["AttachedPolicies"],
        "github role": iam.get_role(RoleName=GITHUB_ROLE)["Role"],
        "github policies": iam.list_role_policies(RoleName=GITHUB_ROLE)["PolicyNames"],
        "deploy role": iam.get_role(RoleName=DEPLOY_ROLE)["Role"],
        "deploy policies": {
            name: iam.get_role_policy(RoleName=DEPLOY_ROLE, PolicyName=name)["PolicyDocument"]
            for name in iam.list_role_policies(RoleName=DEPLOY_ROLE)["PolicyNames"]
        },
        "deploy attached": iam.list_attached_role_policies(RoleName=DEPLOY_ROLE)["AttachedPolicies"],
        "providers": iam.list_open_id_connect_providers()["OpenIDConnectProviderList"],
        "profile": iam.get_instance_profile(InstanceProfileName=names.INSTANCE_ROLE)["InstanceProfile"],
        "group": ec2.describe_security_groups(GroupIds=[instance["SecurityGroups"][0]["GroupId"]])["SecurityGroups"][0],
        "instance": instance,
        "address": ec2.describe_addresses()["Addresses"][0],
        "volume": ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0],
        "buckets": {
            name: {
                "blocked": s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"],
                "encryption": s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"],
                "versioning": s3.get_bucket_versioning(Bucket=name).get("Status"),
                "tags": tags_of(s3.get_bucket_tagging(Bucket=name)["TagSet"]),
            }
            for name in BUCKETS
        },
        "expiry": s3.get_bucket_lifecycle_configuration(Bucket=next(name for name in BUCKETS if "transfer" in name)),
        "repositories": [
            {
                **each,
                "tags": tags_of(ecr.list_tags_for_resource(resourceArn=each["repositoryArn"])["tags"]),
                "lifecycle": json.loads(
                    ecr.get_lifecycle_policy(repositoryName=each["repositoryName"])["lifecyclePolicyText"]
                ),
            }
            for each in repositories["repositories"]
        ],
        "log groups": {
            name: {
                **logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"][0],
                "tags": logs.list_tags_for_resource(resourceArn=f"{LOG_GROUP_ARN}:{name}")["tags"],
            }
            for name in LOG_GROUPS
        },
        "secrets": {
            name: {
                "value": manager.get_secret_value(SecretId=name)["SecretString"],
                "tags": tags_of(manager.describe_secret(SecretId=name)["Tags"]),
            }
            for name in (names.SECRET_GATEWAY_API_KEYS, names.SECRET_HF_TOKEN)
        },
        "session document": {
            "content": json.loads(api.client("ssm").get_document(Name=names.SESSION_DOCUMENT)["Content"]),
            "tags": tags_of(api.client("ssm").describe_document(Name=names.SESSION_DOCUMENT)["Document"]["Tags"]),
        },
        "parameter tags": tags_of(
            api.client("ssm").list_tags_for_resource(
                ResourceType="Parameter", ResourceId="/slm-ft-serving/s3/transfer-bucket"
            )["TagList"]
        ),
    }


def test_provision_names_every_problem_at_once_and_makes_nothing(life: Life) -> None:
    run = life.runs["refused"]
    assert run.returncode != 0
    output = " ".join(run.output.split())
    problems = ("write 10.0.0.0/32", "0.0.0.0/0 is the whole internet", "export SLM_GATEWAY_API_KEYS")
    assert [problem for problem in problems if problem not in output] == []
    assert life.after["refused"] == life.strange


def test_provision_in_check_mode_lists_what_it_would_make_and_makes_nothing(life: Life) -> None:
    run = life.runs["checked"].must_succeed()
    assert run.changed > 0
    assert life.after["checked"] == life.strange


def test_second_provision_changes_nothing(life: Life) -> None:
    assert life.runs["again"].must_succeed().changed == 0, life.runs["again"].output
    assert life.after["again"] == life.after["first"]


def test_provision_makes_all_that_the_local_region_puts_into_an_account(life: Life) -> None:
    """The two cannot drift apart: names of buckets and instances differ, their number does not."""
    for kind, seeded in life.seeded.items():
        made = life.after["first"][kind] - life.strange[kind]
        if kind in ("buckets", "instances"):
            assert len(made) == len(seeded), kind
        else:
            assert made >= seeded - {"default"}, kind


def test_only_what_aws_always_sends_is_taken_for_granted(life: Life) -> None:
    assert life.unpromised == set()


def test_role_trusts_ec2_and_has_one_policy_of_its_own(life: Life) -> None:
    trust = life.made["role"]["AssumeRolePolicyDocument"]["Statement"]
    assert [each["Principal"] for each in trust] == [{"Service": "ec2.amazonaws.com"}]
    assert life.made["inline"].keys() == {names.APPLICATION}
    assert life.made["attached"] == []
    assert [role["RoleName"] for role in life.made["profile"]["Roles"]] == [names.INSTANCE_ROLE]


def test_no_port_is_open_unless_it_is_asked_for_by_name(life: Life) -> None:
    assert "port 8080 is closed: playbooks/connect.yml is the way in" in life.runs["first"].must_succeed().output
    assert life.closed == []


def test_to_open_the_port_is_one_change_and_reported_as_plain_http(life: Life) -> None:
    opened = life.runs["opened"].must_succeed()
    assert opened.changed == 1, opened.output
    assert f"port 8080 is open to {', '.join(NETWORKS)}" in opened.output
    assert "plain HTTP" in opened.output


def test_sessions_are_logged_and_run_as_the_agents_user(life: Life) -> None:
    content = life.made["session document"]["content"]
    assert content["sessionType"] == "Standard_Stream"
    inputs = content["inputs"]
    assert (inputs["runAsEnabled"], inputs["kmsKeyId"]) == (False, "")
    assert {inputs["cloudWatchLogGroupName"]} == LOG_GROUPS
    assert (inputs["cloudWatchStreamingEnabled"], inputs["cloudWatchEncryptionEnabled"]) == (True, False)
    # Following a training sleeps for up to two minutes in a session.
    assert int(inputs["idleSessionTimeout"]) > 2
    assert life.settings["ssm/session-document"] == names.SESSION_DOCUMENT


def test_workflows_of_the_named_repository_may_take_a_role(life: Life) -> None:
    """What it may do: tests/roles/test_github_policy.py. That teardown removes it: with all else, below."""
    (provider,) = life.made["providers"]
    (statement,) = life.made["github role"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Federated": provider["Arn"]}
    assert "repo:owner/name:ref:refs/heads/main" in json.dumps(statement["Condition"])
    assert life.made["github policies"] == [names.APPLICATION]


def test_the_named_environment_may_take_a_role_with_the_rights_of_who_deploys_and_no_others(life: Life) -> None:
    (provider,) = life.made["providers"]
    role = life.made["deploy role"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Federated": provider["Arn"]}
    (subject,) = statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
    assert subject == "repo:owner/name:environment:production"
    assert life.made["deploy policies"] == {names.APPLICATION: operator_documents.rendered("operator-deploy")}
    assert life.made["deploy attached"] == []
    assert f"the variable AWS_DEPLOY_ROLE of owner/name at GitHub is {role['Arn']}" in life.runs["first"].output
    assert f"the variable AWS_BUILD_ROLE of owner/name at GitHub is {life.made['github role']['Arn']}" in (
        life.runs["first"].output
    )


def test_only_the_gateways_port_is_open_to_the_named_networks(life: Life) -> None:
    rules = life.made["group"]["IpPermissions"]
    assert {(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in rules} == {("tcp", 8080, 8080)}
    four = [each["CidrIp"] for rule in rules for each in rule["IpRanges"]]
    six = [each["CidrIpv6"] for rule in rules for each in rule["Ipv6Ranges"]]
    assert (*four, *six) == NETWORKS


def test_buckets_are_private_encrypted_and_unversioned_and_what_is_transferred_expires(life: Life) -> None:
    for bucket in life.made["buckets"].values():
        assert all(bucket["blocked"].values())
        assert bucket["encryption"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert bucket["versioning"] != "Enabled"
    (rule,) = life.made["expiry"]["Rules"]
    assert (rule["Status"], rule["Expiration"]["Days"], rule["Filter"]["Prefix"]) == ("Enabled", 1, "")


def test_repositories_are_immutable_scanned_and_keep_the_last_images(life: Life) -> None:
    for repository in life.made["repositories"]:
        assert repository["imageTagMutability"] == "IMMUTABLE"
        assert repository["imageScanningConfiguration"]["scanOnPush"]
        selections = [rule["selection"] for rule in repository["lifecycle"]["rules"]]
        assert [each["tagStatus"] for each in selections] == ["tagged", "untagged"]
        assert selections[0]["countNumber"] == 10


def test_instance_has_the_required_properties(life: Life) -> None:
    instance, volume = life.made["instance"], life.made["volume"]
    assert instance["InstanceType"] == "g6.2xlarge"
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert "KeyName" not in instance
    assert instance["IamInstanceProfile"]["Arn"] == life.made["profile"]["Arn"]
    assert [group["GroupName"] for group in instance["SecurityGroups"]] == ["slm-ft-serving-gateway"]
    disk = {key: volume[key] for key in ("Size", "VolumeType", "Throughput", "Encrypted")}
    assert disk == {"Size": 200, "VolumeType": "gp3", "Throughput": 500, "Encrypted": True}
    assert life.settings["ec2/instance-id"] == instance["InstanceId"]


def test_instance_is_launched_in_the_next_zone_where_one_is_full(life: Life) -> None:
    assert life.made["instance"]["Placement"]["AvailabilityZone"] == f"{names.AWS_REGION}b"
    assert f"no capacity in {FULL_ZONE}: InsufficientInstanceCapacity" in " ".join(life.runs["first"].output.split())


def test_elastic_ip_is_the_instances_address(life: Life) -> None:
    assert life.made["address"]["InstanceId"] == life.made["instance"]["InstanceId"]
    assert life.made["instance"]["PublicIpAddress"] == life.made["address"]["PublicIp"]
    assert f"at {life.made['address']['PublicIp']}" in life.runs["first"].output


def test_log_groups_forget_after_a_month(life: Life) -> None:
    assert {group["retentionInDays"] for group in life.made["log groups"].values()} == {30}


def test_everything_has_both_tags(life: Life) -> None:
    made = life.made
    tagged = {
        **{kind: tags_of(made[kind]["Tags"]) for kind in TAGGED},
        **{name: bucket["tags"] for name, bucket in made["buckets"].items()},
        **{repository["repositoryName"]: repository["tags"] for repository in made["repositories"]},
        **{name: group["tags"] for name, group in made["log groups"].items()},
        **{name: secret["tags"] for name, secret in made["secrets"].items()},
        "parameters": made["parameter tags"],
        "session document": made["session document"]["tags"],
    }
    assert {name: tags for name, tags in tagged.items() if not tags.items() >= OURS.items()} == {}


def test_settings_are_those_that_the_playbooks_read_and_the_operators_stay(life: Life) -> None:
    assert life.settings["images/engine-tag"] == OPERATORS_TAG
    assert life.settings["secrets/gateway-api-keys"] == names.SECRET_GATEWAY_API_KEYS
    assert life.settings["secrets/hf-token"] == names.SECRET_HF_TOKEN
    assert life.settings["s3/transfer-bucket"] in BUCKETS
    assert life.settings["model/base"].removeprefix("s3://").split("/")[0] in BUCKETS
    group_vars = "".join(path.read_text() for path in (names.REPOSITORY_ROOT / "inventory/group_vars").glob("*.yml"))
    required = {"s3/transfer-bucket", "images/engine-tag", "images/gateway-tag", "secrets/gateway-api-keys"}
    assert all(f"stack_settings['{name}']" in group_vars for name in required)
    assert life.settings.keys() >= required | {"model/base", "model/adapter"}


@pytest.mark.parametrize("playbook", ["deploy", "finetune"])
def test_every_setting_that_a_playbook_requires_is_made(life: Life, playbook: str) -> None:
    first, *_ = yaml.safe_load((names.REPOSITORY_ROOT / f"playbooks/{playbook}.yml").read_text(encoding="utf-8"))
    required = [each["parameter"] for each in first["tasks"][0]["vars"]["controller_required_settings"]]
    assert [name for name in required if not life.settings.get(name)] == []


def test_the_instance_may_write_to_the_destination_of_a_training_and_nowhere_else(life: Life) -> None:
    statements = life.made["inline"][names.APPLICATION]["Statement"]
    writable = [each["Resource"] for each in statements if "s3:PutObject" in each["Action"]]
    destination = life.settings["training/destination"].removeprefix("s3://")
    assert writable == [f"arn:aws:s3:::{destination}/*"]
    assert destination.split("/") == [next(name for name in BUCKETS if "models" in name), "adapters"]


def test_a_secrets_value_is_in_no_output_no_argument_and_no_file(life: Life) -> None:
    assert {secret["value"] for secret in life.made["secrets"].values()} == {SECRET_VALUE}
    # The watch saw arguments, or its silence would prove nothing; of a module it sees no file at all.
    assert any("ansible-playbook" in text for text in life.watched)
    assert not any("ANSIBALLZ" in text for text in life.watched)
    assert not any(SECRET_VALUE in text for text in life.watched)
    assert SECRET_VALUE not in life.runs["first"].output
    assert "secretsmanager_secret" in life.runs["first"].output


def test_cost_is_reported_with_its_source(life: Life) -> None:
    output = life.runs["first"].output
    assert "USD an hour while the instance runs (g6.2xlarge)" in output
    assert "not AWS itself" in output


def test_teardown_without_confirmation_removes_nothing(life: Life) -> None:
    assert life.runs["unconfirmed"].returncode != 0
    assert "infrastructure_confirmation=slm-ft-serving" in " ".join(life.runs["unconfirmed"].output.split())
    assert life.after["unconfirmed"] == life.used


def test_teardown_lists_the_records_of_later_playbooks(life: Life) -> None:
    # Before it, a warning names the operator's parameter as one that nothing reads.
    output = life.runs["unconfirmed"].output.partition("Report what would be removed")[2]
    assert [name for name in RECORDS if f"/slm-ft-serving/{name}" not in output] == []
    assert "/slm-ft-serving/model/adapter-of-last-year" not in output


def test_teardown_says_what_the_kept_data_costs(life: Life) -> None:
    output = " ".join(life.runs["unconfirmed"].output.split())
    assert f"{names.SECRET_HF_TOKEN} 0.40 USD a month" in output
    assert "0.023 USD a month for each GB" in output


def test_teardown_removes_what_was_made_but_data_and_nothing_else(life: Life) -> None:
    life.runs["removed"].must_succeed()
    kept = {
        "secrets": {names.SECRET_GATEWAY_API_KEYS, names.SECRET_HF_TOKEN},
        "buckets": {name for name in BUCKETS if "models" in name},
    }
    assert life.after["removed"] == {kind: there | kept.get(kind, set()) for kind, there in life.strange.items()}
    assert life.settings_left == OPERATORS_SETTINGS


@dataclass
class Adoption:
    """What became of an instance that was there before."""

    instance: str
    provisioned: PlaybookRun
    there: dict[str, Any]
    secret: str
    groups: set[str]
    removed: PlaybookRun
    left: dict[str, Any]
    holdings: Holdings


@pytest.fixture(scope="module")
def adoption(tmp_path_factory: pytest.TempPathFactory) -> Adoption:
    """Adopt an instance and give it back, as an operator who types: a secret, then the confirmation."""
    with empty_account(tmp_path_factory.mktemp("adoption")) as api:
        instance = start_stranger(api, KeyName="a-key-pair")

        def look() -> dict[str, Any]:
            found: dict[str, Any] = api.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]
            described: dict[str, Any] = found["Instances"][0]
            return described

        provisioned = play_in_a_terminal(
            api,
            "provision",
            *ARGUMENTS,
            *("-e", f"infrastructure_instance_id={instance}"),
            typed={"Value of the secret slm-ft-serving/gateway-api-keys": SECRET_VALUE},
        )
        there, groups = look(), holdings(api)["security groups"]
        found = api.client("secretsmanager").get_secret_value(SecretId=names.SECRET_GATEWAY_API_KEYS)["SecretString"]
        removed = play_in_a_terminal(
            api,
            "teardown",
            *("-e", '{"infrastructure_delete_data": ["secrets", "images", "models"]}'),
            typed={"Type slm-ft-serving to remove this": names.APPLICATION},
        )
        adoption = Adoption(instance, provisioned, there, found, groups, removed, look(), holdings(api))
    forget()
    return adoption


def test_an_adopted_instance_gets_tag_and_profile_and_nothing_else(adoption: Adoption) -> None:
    adoption.provisioned.must_succeed()
    tags = tags_of(adoption.there["Tags"])
    assert tags == {"Application": names.APPLICATION, "AdoptedBy": "provision.yml"}
    assert adoption.there["IamInstanceProfile"]["Arn"].endswith(f"/{names.INSTANCE_ROLE}")
    assert adoption.there["InstanceType"] == "t3.large"
    assert "slm-ft-serving-gateway" not in adoption.groups


def test_differences_of_an_adopted_instance_are_reported(adoption: Adoption) -> None:
    output = " ".join(adoption.provisioned.output.split())
    for difference in ("It is a t3.large, not a g6.2xlarge", "key pair a-key-pair", "modify-volume", "without a token"):
        assert difference in output


def test_a_typed_secret_is_stored_and_not_shown(adoption: Adoption) -> None:
    assert adoption.secret == SECRET_VALUE
    assert SECRET_VALUE not in adoption.provisioned.output


def test_teardown_gives_an_adopted_instance_back(adoption: Adoption) -> None:
    adoption.removed.must_succeed()
    assert adoption.left["State"]["Name"] == "running"
    assert adoption.left.get("Tags", []) == []
    assert "IamInstanceProfile" not in adoption.left
    holdings = {kind: there for kind, there in adoption.holdings.items() if there}
    assert holdings == {"instances": {adoption.instance}, "security groups": {"default"}}
