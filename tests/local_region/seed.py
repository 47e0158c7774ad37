"""What an operator's AWS account holds before the first deployment: put into the region's API.

The API forgets it at every restart. Every function may run again: it makes what is missing and leaves what is there, so
that what a test or a person changed stays.
"""

from __future__ import annotations

import functools
import hashlib
import json
import secrets
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, Request, build_opener

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.local_region import environment, names
from tests.local_region.docker.images import PushedImage
from tests.local_region.errors import RegionError
from tests.local_region.state import RegionState

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

INSTANCE_TYPE = "g6.2xlarge"
VOLUME_GIB = 200
GATEWAY_PORT = 8080
# Above what the stand-in engine takes for an answer.
DEREGISTRATION_SECONDS = 60
SMALL_MODEL = names.REPOSITORY_ROOT / "models" / "small"
MODEL_PARTS = ("base", "adapter")
EVALUATION = "evaluation.json"
# Folders beside them with a further adapter and its evaluation each, named as the engine serves it.
FURTHER_ADAPTERS = ("assistant-intent",)
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
TRAINING_FILES = ("train.jsonl", "validation.jsonl")


@functools.cache
def _session() -> boto3.Session:
    """Return the one session of all accounts: it reads boto3's large descriptions of the services, and keeps them."""
    return boto3.Session(region_name=names.AWS_REGION)


class Account:
    """Clients of a region's API, and what is put there."""

    def __init__(self, endpoint: str) -> None:
        """Connect to nothing yet.

        Args:
            endpoint: URL of the region's API.
        """
        self.endpoint = endpoint
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        """Return a boto3 client of the region; no setting of the operator's own reaches it."""
        if service not in self._clients:
            config = Config(proxies={}, retries={"max_attempts": 2}, s3={"addressing_style": "path"})
            make: Any = _session().client
            self._clients[service] = make(
                service,
                endpoint_url=self.endpoint,
                config=config,
                aws_access_key_id=environment.ADMINISTRATOR_ACCESS_KEY,
                aws_secret_access_key=environment.SECRET_KEY,
            )
        return self._clients[service]

    def seed(self, state: RegionState, instances: int = 1) -> str:
        """Put everything but the images and the model.

        Args:
            state: The region's.
            instances: How many there are.

        Returns:
            The first instance's id.
        """
        self._buckets()
        self._secrets(state)
        self._repositories()
        self._instance_profile()
        self._session_document()
        instance_id = self._instances(state.name, instances)[0]
        self.put_parameters(
            {
                "aws/region": names.AWS_REGION,
                "ec2/instance-id": instance_id,
                "s3/transfer-bucket": names.TRANSFER_BUCKET,
                "secrets/hf-token": names.SECRET_HF_TOKEN,
                "secrets/gateway-api-keys": names.SECRET_GATEWAY_API_KEYS,
                "model/base": f"s3://{names.MODELS_BUCKET}/small/base",
                "model/adapter": f"s3://{names.MODELS_BUCKET}/small/adapter",
                "engine/accelerator": "cpu",
                "ssm/session-document": names.SESSION_DOCUMENT,
            }
        )
        return instance_id

    def give_load_balancer(self, instance_ids: Sequence[str]) -> None:
        """Put a load balancer before the instances, as provision.yml does, and the settings that name it.

        Its name is one that AWS gives, which leads nowhere here: the region's own one is on 127.0.0.1.
        """
        elbv2, ec2 = self.client("elbv2"), self.client("ec2")
        subnets = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
        if not elbv2.describe_load_balancers()["LoadBalancers"]:
            group = elbv2.create_target_group(
                Name=names.TARGET_GROUP,
                Protocol="HTTP",
                Port=GATEWAY_PORT,
                VpcId=subnets[0]["VpcId"],
                HealthCheckPath="/health",
                TargetType="instance",
            )["TargetGroups"][0]["TargetGroupArn"]
            attributes = [{"Key": "deregistration_delay.timeout_seconds", "Value": str(DEREGISTRATION_SECONDS)}]
            elbv2.modify_target_group_attributes(TargetGroupArn=group, Attributes=attributes)
            balancer = elbv2.create_load_balancer(
                Name=names.APPLICATION, Subnets=[each["SubnetId"] for each in subnets], Scheme="internal"
            )["LoadBalancers"][0]
            forward = [{"Type": "forward", "TargetGroupArn": group}]
            elbv2.create_listener(
                LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=forward
            )
            address = f"https://{balancer['DNSName']}"
            self.put_parameters({"load-balancer/target-group": group, "load-balancer/address": address})
            elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": each} for each in instance_ids])

    def give_edge(self, certificate: str) -> None:
        """Put what an edge at localhost needs; it is off until `edge/mode` is put too.

        Args:
            certificate: certificate and key in PEM.
        """
        manager = self.client("secretsmanager")
        name = names.SECRET_EDGE_CERTIFICATE
        try:
            manager.create_secret(Name=name, SecretString=certificate)
        except manager.exceptions.ResourceExistsException:
            manager.put_secret_value(SecretId=name, SecretString=certificate)
        self._repository(names.EDGE_REPOSITORY)
        self.put_parameters({"secrets/edge-certificate": name, "edge/domain": "localhost"})

    def put_parameters(self, values: Mapping[str, str], *, overwrite: bool = False) -> None:
        """Put parameters below `/slm-ft-serving/`.

        Args:
            values: By name.
            overwrite: Whether one that is there is replaced.
        """
        ssm = self.client("ssm")
        for name, value in values.items():
            _unless_there(
                ("ParameterAlreadyExists",),
                lambda name=name, value=value: ssm.put_parameter(
                    Name=f"{names.PARAMETER_PREFIX}/{name}", Value=value, Type="String", Overwrite=overwrite
                ),
            )

    def register_in_ecr(self, image: PushedImage) -> None:
        """Register in ECR an image that was pushed to the registry, under the registry's digest."""
        ecr = self.client("ecr")
        _unless_there(
            ("ImageAlreadyExistsException", "ImageTagAlreadyExistsException"),
            lambda: ecr.put_image(
                repositoryName=image.repository,
                imageTag=image.tag,
                imageManifest=image.manifest,
                imageManifestMediaType=image.media_type,
                imageDigest=image.digest,
            ),
        )

    def _buckets(self) -> None:
        s3: S3Client = self.client("s3")
        there = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        for bucket in {names.TRANSFER_BUCKET, names.MODELS_BUCKET} - there:
            s3.create_bucket(Bucket=bucket)
            s3.put_public_access_block(
                Bucket=bucket,
                PublicAccessBlockConfiguration={
                    "BlockPublicAcls": True,
                    "IgnorePublicAcls": True,
                    "BlockPublicPolicy": True,
                    "RestrictPublicBuckets": True,
                },
            )
        s3.put_bucket_lifecycle_configuration(
            Bucket=names.TRANSFER_BUCKET,
            LifecycleConfiguration={
                "Rules": [{"ID": "one-day", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]
            },
        )

    def upload_model(self, model: Path) -> int:
        """Make the models bucket's `small/` equal to a folder with `base` and `adapter`.

        The adapter's evaluation goes with it, where there is one: the next adapter is compared with that.

        Args:
            model: The folder.

        Returns:
            The number of files changed.

        Raises:
            RegionError: There is no such folder.
        """
        missing = [part for part in MODEL_PARTS if not (model / part).is_dir()]
        if missing:
            raise RegionError(f"There is no small model to upload: {model} lacks {' and '.join(missing)}.")
        files = {
            f"{part}/{path.relative_to(model / part).as_posix()}": path
            for part in MODEL_PARTS
            for path in _files(model / part)
        }
        if (model / EVALUATION).is_file():
            files[EVALUATION] = model / EVALUATION
        return self._make_equal("small", files)

    def upload_further_adapters(self, model: Path) -> list[str]:
        """Upload the further adapters that a model's folder has, and name them in the settings.

        Each gets a prefix of its own, as its evaluation lies beside it.

        Args:
            model: The folder.

        Returns:
            Their names.
        """
        there = [name for name in FURTHER_ADAPTERS if all((model / name / file).is_file() for file in ADAPTER_FILES)]
        for name in there:
            files = {f"adapter/{file}": model / name / file for file in ADAPTER_FILES}
            if (model / name / EVALUATION).is_file():
                files[EVALUATION] = model / name / EVALUATION
            self._make_equal(f"small-{name}", files)
        self.put_parameters(
            {f"model/adapters/{name}": f"s3://{names.MODELS_BUCKET}/small-{name}/adapter" for name in there}
        )
        return there

    def upload_gguf(self, file: Path) -> str:
        """Upload a model as llama.cpp reads it, and the small model's evaluation beside its folder.

        Args:
            file: In GGUF.

        Returns:
            Its source.
        """
        files = {"gguf/model.gguf": file}
        if (SMALL_MODEL / EVALUATION).is_file():
            files[EVALUATION] = SMALL_MODEL / EVALUATION
        self._make_equal("small-gguf", files)
        return f"s3://{names.MODELS_BUCKET}/small-gguf/gguf"

    def upload_training_data(self, folder: Path) -> int:
        """Put a folder's notes, and the settings of playbooks/finetune.yml, where provision.yml has them.

        Args:
            folder: Holds train.jsonl and validation.jsonl.

        Returns:
            The number of files changed.

        Raises:
            RegionError: One is missing.
        """
        files = training_files(folder)
        changed = self._make_equal("data", {path.name: path for path in files})
        self.put_parameters(
            {
                "training/data": f"s3://{names.MODELS_BUCKET}/data",
                "training/destination": f"s3://{names.MODELS_BUCKET}/adapters",
            }
        )
        return changed

    def _make_equal(self, prefix: str, content: Mapping[str, Path]) -> int:
        """Make a prefix of the models bucket hold these files by their keys, and no others; return how many changed."""
        s3: S3Client = self.client("s3")
        listed = s3.list_objects_v2(Bucket=names.MODELS_BUCKET, Prefix=f"{prefix}/").get("Contents", [])
        there = {each["Key"]: each["ETag"].strip('"') for each in listed}
        files = {f"{prefix}/{key}": path for key, path in content.items()}
        # S3's ETag of an object put whole is its MD5.
        changed = [key for key, path in files.items() if there.get(key) != _md5(path)]
        for key in changed:
            s3.put_object(Bucket=names.MODELS_BUCKET, Key=key, Body=files[key].read_bytes())
        surplus = there.keys() - files.keys()
        for key in surplus:
            s3.delete_object(Bucket=names.MODELS_BUCKET, Key=key)
        return len(changed) + len(surplus)

    def _secrets(self, state: RegionState) -> None:
        digest = hashlib.sha256(kept_secret(state.gateway_api_key, "slm-demo-").encode()).hexdigest()
        manager = self.client("secretsmanager")
        for name, value in {
            names.SECRET_HF_TOKEN: kept_secret(state.hf_token, "hf_local_region_"),
            names.SECRET_GATEWAY_API_KEYS: f"# Keys of the gateway: name:sha256 of the key in hex.\ndemo:{digest}\n",
        }.items():
            try:
                manager.create_secret(Name=name, SecretString=value)
            except (manager.exceptions.ResourceExistsException, manager.exceptions.InvalidRequestException):
                if "DeletedDate" in manager.describe_secret(SecretId=name):  # still within its recovery window
                    manager.restore_secret(SecretId=name)

    def _repositories(self) -> None:
        for repository in (
            names.ENGINE_REPOSITORY,
            names.LLAMACPP_REPOSITORY,
            names.GATEWAY_REPOSITORY,
            names.TRAINER_REPOSITORY,
        ):
            self._repository(repository)

    def _repository(self, name: str) -> None:
        _unless_there(
            ("RepositoryAlreadyExistsException",),
            lambda: self.client("ecr").create_repository(
                repositoryName=name,
                imageTagMutability="IMMUTABLE",
                imageScanningConfiguration={"scanOnPush": True},
            ),
        )

    def _instance_profile(self) -> None:
        iam = self.client("iam")
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ],
        }
        role = names.INSTANCE_ROLE
        there = ("EntityAlreadyExists", "LimitExceeded")  # a profile holds one role: LimitExceeded when it has it
        _unless_there(there, lambda: iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(trust)))
        _unless_there(there, lambda: iam.create_instance_profile(InstanceProfileName=role))
        if not iam.get_instance_profile(InstanceProfileName=role)["InstanceProfile"]["Roles"]:
            iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)

    def _session_document(self) -> None:
        content = {"schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": {}}
        ssm = self.client("ssm")
        _unless_there(
            ("DocumentAlreadyExists",),
            lambda: ssm.create_document(
                Name=names.SESSION_DOCUMENT, Content=json.dumps(content), DocumentType="Session"
            ),
        )

    def _instances(self, region: str, count: int) -> list[str]:
        """Return the ids of the instances that are there, in the order in which they were made; make those missing."""
        filters = [{"Name": "tag:Application", "Values": [names.APPLICATION]}]
        reservations = self.client("ec2").describe_instances(Filters=filters)["Reservations"]
        found = [
            str(instance["InstanceId"])
            for reservation in reservations
            for instance in reservation["Instances"]
            if instance["State"]["Name"] not in ("terminated", "shutting-down")
        ]
        return found + [self._instance(region, number) for number in range(len(found) + 1, count + 1)]

    def _instance(self, region: str, number: int) -> str:
        ec2: Any = self.client("ec2")
        # Random on AWS, the same every time here: the id names files and inventory hosts that outlive moto's memory.
        self._post(f"/moto-api/seed?a={zlib.crc32(f'{region}{names.suffix(number)}'.encode())}")
        image = self.client("ssm").get_parameter(Name=names.DEEP_LEARNING_AMI_PARAMETER)["Parameter"]["Value"]
        tags = [
            {"Key": "Application", "Value": names.APPLICATION},
            {"Key": "Name", "Value": f"{names.APPLICATION}-{region}{names.suffix(number)}"},
        ]
        made = ec2.run_instances(
            ImageId=image,
            InstanceType=INSTANCE_TYPE,
            MinCount=1,
            MaxCount=1,
            **({"Placement": {"AvailabilityZone": _zone(number)}} if number > 1 else {}),
            IamInstanceProfile={"Name": names.INSTANCE_ROLE},
            MetadataOptions={"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
            BlockDeviceMappings=[
                {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": VOLUME_GIB, "VolumeType": "gp3", "Encrypted": True}}
            ],
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        return str(made["Instances"][0]["InstanceId"])

    def _post(self, path: str) -> None:
        request = Request(f"{self.endpoint}{path}", method="POST")
        build_opener(ProxyHandler({})).open(request, timeout=10).close()


def kept_secret(path: Path, prefix: str) -> str:
    """Return the secret kept in a file, made at random and readable by this user alone when there is none yet."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"{prefix}{secrets.token_hex(24)}\n", encoding="ascii")
    return path.read_text(encoding="ascii").strip()


def _zone(number: int) -> str:
    """Return the zone of an instance: neighbours are in different ones."""
    return f"{names.AWS_REGION}{'abc'[(number - 1) % 3]}"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def training_files(folder: Path) -> list[Path]:
    """Return the files of a folder of notes.

    Raises:
        RegionError: One is missing, which the message names.
    """
    missing = [name for name in TRAINING_FILES if not (folder / name).is_file()]
    if missing:
        raise RegionError(f"There are no notes to train on: {folder} lacks {' and '.join(missing)}.")
    return [folder / name for name in TRAINING_FILES]


def _unless_there(codes: tuple[str, ...], make: Any) -> None:
    try:
        make()
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise
