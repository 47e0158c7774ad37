"""The names that the local region, the playbooks and the tests share."""

from __future__ import annotations

import hashlib
from pathlib import Path

REPOSITORY_ROOT = Path(__file__).resolve().parents[2]
STATE_ROOT = REPOSITORY_ROOT / ".local-region"

ACCOUNT_ID = "123456789012"  # moto's own default account
AWS_REGION = "us-east-1"
APPLICATION = "slm-ft-serving"

ECR_HOST = f"{ACCOUNT_ID}.dkr.ecr.{AWS_REGION}.amazonaws.com"
ECR_USER = "AWS"
ECR_PASSWORD = f"{ACCOUNT_ID}-auth-token"  # what moto's GetAuthorizationToken answers; no secret
ENGINE_REPOSITORY = f"{APPLICATION}-vllm"
LLAMACPP_REPOSITORY = f"{APPLICATION}-llamacpp"
GATEWAY_REPOSITORY = f"{APPLICATION}-gateway"
EDGE_REPOSITORY = f"{APPLICATION}-edge"
TRAINER_REPOSITORY = f"{APPLICATION}-trainer"

TRANSFER_BUCKET = f"{APPLICATION}-transfer"
MODELS_BUCKET = f"{APPLICATION}-models"
SECRET_HF_TOKEN = f"{APPLICATION}/hf-token"
SECRET_GATEWAY_API_KEYS = f"{APPLICATION}/gateway-api-keys"
SECRET_EDGE_CERTIFICATE = f"{APPLICATION}/edge-certificate"
TARGET_GROUP = f"{APPLICATION}-gateway"
PARAMETER_PREFIX = f"/{APPLICATION}"
INSTANCE_ROLE = f"{APPLICATION}-instance"
SESSION_DOCUMENT = f"{APPLICATION}-session"

DEEP_LEARNING_AMI_PARAMETER = "/aws/service/deeplearning/ami/x86_64/base-with-single-cuda-ubuntu-24.04/latest/ami-id"

REGION_LABEL = f"{APPLICATION}.region"
BASE_IMAGE = "slm-ft-serving-base:bookworm"
REGISTRY_IMAGE = "slm-ft-serving-registry:local"
INSTANCE_IMAGE = "slm-ft-serving-instance:local"

WEB_SITE_PATH = "/_web-site"  # where AWS's API sends who asks for nothing
API_STATUS_PATH = "/_local-region"  # beside AWS's own paths; says which region's server answers

DEFAULT_REGION_NAME = "default"
DEFAULT_API_PORT = 4566
DEFAULT_REGISTRY_PORT = 5443
DEFAULT_GATEWAY_PORT = 8080
DEFAULT_LOAD_BALANCER_PORT = 8090
MOST_INSTANCES = 9  # as many as the fake load balancer has places for


def of_this_copy(region: str) -> str:
    """Return a name for a region that no other copy of the repository uses, so that two may run their tests at once.

    Docker's names are the machine's, and a copy whose tests were killed leaves its containers there.
    """
    return f"{region}-{hashlib.sha256(str(REPOSITORY_ROOT).encode()).hexdigest()[:6]}"


def network_name(region: str) -> str:
    """Return the name of a region's Docker network."""
    return f"{APPLICATION}-{region}"


def instance_container(region: str, number: int = 1) -> str:
    """Return the name of the container that stands for one of a region's EC2 instances, which count from 1."""
    return f"{APPLICATION}-{region}-instance{suffix(number)}"


def load_balancer_container(region: str) -> str:
    """Return the name of a region's fake load balancer."""
    return f"{APPLICATION}-{region}-load-balancer"


def suffix(number: int) -> str:
    """Return what tells the containers and volumes of further instances from those of the first, which have none."""
    return "" if number == 1 else f"-{number}"


def registry_container(region: str) -> str:
    """Return the name of a region's registry container."""
    return f"{APPLICATION}-{region}-registry"


def volume_name(region: str, purpose: str) -> str:
    """Return the name of a region's named volume for one purpose, such as `docker`."""
    return f"{APPLICATION}-{region}-{purpose}"
