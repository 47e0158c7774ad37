#!/usr/bin/python
"""Find on the instance everything that would make a deployment fail, in one session.

An own module, because the ready ones check one thing each, cost a session each, and stop at the first problem.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_instance
short_description: Find everything on the instance that would make a deployment fail
description:
  - systemd, Docker, clock, secrets, registry, models, disk for images and models together, memory, GPU, the port.
  - Changes nothing and prints no secret. What does not answer in time is a problem too.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  region:
    description: Region of every call.
    type: str
    required: true
  images:
    description: Images by name, each with C(reference) and C(size), compressed, in bytes; empty where unknown.
    type: dict
    default: {}
  models:
    description: Sources of models by name; empty where unknown.
    type: dict
    default: {}
  secrets:
    description: The secrets, each with C(name), C(parameter) and C(path).
    type: list
    elements: dict
    default: []
  root:
    description: The directory that holds the models.
    type: path
    required: true
  hub:
    description: Address of the Hugging Face Hub.
    type: str
    default: https://huggingface.co
  hub_token_file:
    description: File with the Hub's token, once it was fetched.
    type: path
    default: ""
  accelerator:
    description: What the engine computes on.
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
  port:
    description: The port that the gateway is published on.
    type: int
    default: 8080
  edge_ports:
    description: The ports that the edge is published on; empty without one.
    type: list
    elements: int
    default: []
  edge_domain:
    description: The name that the edge's certificate has to be of.
    type: str
    default: ""
  router_port:
    description: The port that the door to the engine is published on; 0 without one.
    type: int
    default: 0
  router_name:
    description: The name that the certificate of pooled engines has to be of.
    type: str
    default: engine-pool.slm-ft-serving.internal
  project:
    description: The compose project, which may have the port.
    type: str
    default: slm-ft-serving
  reserve:
    description: Bytes that must stay free on each disk.
    type: int
    default: 2147483648
  unpacked:
    description: How many times its compressed size an image takes on the disk, while it is pulled.
    type: float
    default: 3.5
  memory_reserve:
    description: Bytes of memory beside the model's weights, of the GPU and, where the engine has none, of the instance.
    type: int
    default: 3221225472
  clock_tolerance:
    description: Seconds that the clock may be off.
    type: int
    default: 120
  patience:
    description: Seconds for all of it.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Find what would make a deployment fail
  slm.serving.preflight_instance:
    region: us-east-1
    root: /var/lib/slm-ft-serving/models
    images:
      gateway:
        reference: registry.example/gateway@sha256:0000000000000000000000000000000000000000000000000000000000000000
        size: 200000000
    models:
      base: s3://some-bucket/base
  register: preflight
"""

RETURN = r"""
problems:
  description: What would make a deployment fail, each with what to do.
  type: list
  elements: str
  returned: success
facts:
  description: What was measured, for the operator.
  type: dict
  returned: success
"""

import email.utils
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any, TypedDict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.adapters import adapter_of, is_adapter
from ansible_collections.slm.serving.plugins.module_utils.aws_cli import AwsError, aws, role_in, secret_name_problem
from ansible_collections.slm.serving.plugins.module_utils.containers import PROJECT_LABEL
from ansible_collections.slm.serving.plugins.module_utils.disk_need import image_bytes
from ansible_collections.slm.serving.plugins.module_utils.docker_engine import (
    DEFAULT_ROOT,
    has_image,
    image_directory,
    info,
)
from ansible_collections.slm.serving.plugins.module_utils.edge import certificate_problem
from ansible_collections.slm.serving.plugins.module_utils.engine_profiles import capability_problem
from ansible_collections.slm.serving.plugins.module_utils.lora import (
    CONFIGURATION,
    HEAD_BYTES,
    WEIGHTS,
    configuration_of,
    misfit,
    shapes_of,
    unusable,
)
from ansible_collections.slm.serving.plugins.module_utils.model_sources import (
    is_whole,
    locate,
    missing_bytes,
    open_source,
    staging_of,
)
from ansible_collections.slm.serving.plugins.module_utils.model_sources.base import (
    GGUF,
    GGUF_FILE,
    GGUF_MAGIC,
    ModelError,
    ModelFile,
    Source,
)
from ansible_collections.slm.serving.plugins.module_utils.model_sources.shards import indexes, shard_problem
from ansible_collections.slm.serving.plugins.module_utils.os_release import read
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run

PCI_DEVICES = Path("/sys/bus/pci/devices")
NVIDIA_VENDOR = "0x10de"
CAPABILITY = re.compile(r"\d+\.\d+")
LISTEN = "0A"
# What each distribution has of it: Canonical's archive has none from 24.04 on, and the snap is AWS's own.
INSTALL_AWS = {
    "ubuntu": "sudo snap install aws-cli --classic",
    "amzn": "sudo dnf install -y awscli-2",
    "debian": "sudo apt-get install -y awscli",
}
INSTALL_AWS_BY_HAND = "install it (https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html)"
# As inventory/group_vars/all.yml names the files.
EDGE_CERTIFICATE, ROUTER_CERTIFICATE = "edge/certificate.pem", "router/certificate.pem"
GPU_SHARE = 0.9  # what vLLM may take of it
WEIGHT_FILES = (".safetensors", ".gguf")
# Each answer of a service of AWS has one; what a proxy, a captive portal or a web site says by itself has none.
REQUEST_IDS = ("x-amz-request-id", "x-amzn-requestid")
TRAINING_UNIT = "slm-ft-serving-training.service"
SAFE_STATES = {"running", "degraded", "starting", "initializing"}


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as the answer: AWS sends who asks for nothing to a web site, which a cache answers."""

    def redirect_request(self, *_arguments: Any, **_more: Any) -> None:
        """Follow none."""


def clock_addresses(region: str) -> list[str]:
    """Return where to ask for AWS's time: without the internet an instance often reaches one of them only."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return [endpoint] if endpoint else [f"https://{service}.{region}.{domain}" for service in ("s3", "sts")]


def headers_of(address: str) -> Message:
    """Return the headers of the answer that comes from an address itself, whatever its status.

    Raises:
        OSError: Nothing answers.
    """
    headers = {"User-Agent": "slm-ft-serving", "Cache-Control": "no-cache", "Pragma": "no-cache"}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=10) as answer:
            found: Message = answer.headers
    except urllib.error.HTTPError as error:
        error.close()
        return error.headers
    return found


def aws_time(headers: Message) -> float | None:
    """Return the time of an answer, in seconds since the epoch; None for one that no service of AWS gave.

    A cache keeps the date of what it gives, and says in `Age` how old that is.
    """
    if not any(headers.get(name) for name in REQUEST_IDS):
        return None
    try:
        date = email.utils.parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (TypeError, ValueError):
        return None
    age = headers.get("Age", "").strip()
    return date + (int(age) if age.isdecimal() else 0)


def gigabytes(size: float) -> str:
    """Return bytes as the messages show them."""
    return f"{size / 1e9:.1f} GB"


def sentence(text: str) -> str:
    """Return a text with its first letter large and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


class Disk(TypedDict):
    """A disk and what is to come to it, in bytes and in words."""

    path: str
    need: int
    purposes: list[str]


class Instance:
    """The checks of an instance, each a method that yields problems.

    Attributes:
        facts: what was measured, for the operator.
        hub_token: the Hub's token, once the secrets were checked.
        weight_bytes: size of the models' weights, once the models were checked.
        model_bytes: how many bytes of the models are still to come, likewise.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        """Start with nothing measured; `options` are the module's."""
        self.options = options
        self.facts: dict[str, float] = {}
        self.hub_token = ""
        self.weight_bytes = 0
        self.model_bytes = 0

    def _aws(self, *arguments: str) -> str:
        return aws(*arguments, region=self.options["region"], timeout=self.options["patience"])

    def systemd(self) -> Iterator[str]:
        """Yield a problem unless systemd is the first process, and not shutting down."""
        if not Path("/run/systemd/system").is_dir():
            yield "systemd does not run on the instance, and the stack is a systemd unit: use AWS's Deep Learning AMI."
            return
        state = run(["systemctl", "is-system-running"]).stdout.strip()
        if state not in SAFE_STATES:
            yield f"systemd on the instance reports {state!r}: wait for the end of its shutdown, or reboot it."

    def training(self) -> Iterator[str]:
        """Yield a problem while a fine-tuning has the GPU, which the engine would need."""
        if run(["systemctl", "is-active", TRAINING_UNIT]).stdout.strip() in {"active", "activating", "deactivating"}:
            yield (
                "A fine-tuning is under way on the instance and has its GPU: playbooks/finetune.yml, with what it was"
                f" started with, follows it to its end; `systemctl stop {TRAINING_UNIT}` on the instance saves a"
                " checkpoint and stops it."
            )

    def docker(self) -> Iterator[str]:
        """Yield a problem when Docker is installed and does not answer; the role container_runtime installs it."""
        if not shutil.which("docker"):
            return
        if run(["systemctl", "is-active", "docker.service"]).stdout.strip() not in {"active", "failed"}:
            return  # The role container_runtime starts it.
        try:
            info()
        except StackError as error:
            yield f"{error}: look at `journalctl --unit docker` on the instance and restart it."

    def clock(self) -> Iterator[str]:
        """Yield a problem unless the clock agrees with that of AWS, which is in every answer of its services."""
        silent = []
        addresses = clock_addresses(self.options["region"])
        for address in addresses:
            try:
                date = aws_time(headers_of(address))
            except (OSError, http.client.HTTPException) as error:
                silent.append(f"{address}: {error}")
                continue
            if date is not None:
                yield from self._clock_problem(time.time() - date)
                return
        # What answers and is not AWS says nothing about AWS's clock; the checks that need AWS say what is wrong.
        if len(silent) == len(addresses):
            yield (
                f"The instance does not reach AWS ({'; '.join(silent)}): check its route to the internet or its VPC"
                " endpoints, its proxy, and its security group."
            )

    def _clock_problem(self, off: float) -> Iterator[str]:
        self.facts["clock_off_seconds"] = round(off, 1)
        if abs(off) > self.options["clock_tolerance"]:
            direction = "ahead of" if off > 0 else "behind"
            yield (
                f"The instance's clock is {abs(off):.0f} s {direction} AWS's, which then refuses what it signs"
                " (SignatureDoesNotMatch, RequestExpired): run `timedatectl set-ntp true` on it, or restart chronyd."
            )

    def secrets(self) -> Iterator[str]:
        """Yield the secrets that cannot be read with the instance profile."""
        for secret in self.options["secrets"]:
            label = f"the secret {secret['name']} (named by the parameter {secret['parameter']})"
            wrong = secret_name_problem(secret["name"])
            if wrong:
                yield sentence(f"{label} cannot be read: {secret['name']!r} {wrong}. Correct the parameter")
                continue
            try:
                text = json.loads(
                    self._aws("secretsmanager", "get-secret-value", "--secret-id", secret["name"], "--output", "json")
                ).get("SecretString")
            except AwsError as error:
                if error.denied:
                    action = (
                        "kms:Decrypt on its key" if "kms" in error.reason.lower() else "secretsmanager:GetSecretValue"
                    )
                    yield sentence(f"{role_in(error.reason)} may not read {label}: allow it {action}")
                elif "ResourceNotFound" in error.reason or "marked for deletion" in error.reason:
                    yield sentence(f"{label} does not exist: create it, or correct the parameter")
                else:
                    yield sentence(f"{label} cannot be read by the instance: {error}")
                continue
            if not text:
                yield sentence(f"{label} has no text value: put one")
            elif secret["path"] == "hf-token":
                self.hub_token = text.strip()
            elif secret["path"] == EDGE_CERTIFICATE:
                wrong = certificate_problem(text, self.options["edge_domain"])
                if wrong:
                    yield sentence(f"{label} {wrong}")
            elif secret["path"] == ROUTER_CERTIFICATE:
                wrong = certificate_problem(text, self.options["router_name"], setting="engine_pool_name")
                if wrong:
                    yield sentence(f"{label} {wrong}")

    def registry(self) -> Iterator[str]:
        """Yield a problem unless ECR gives a token and the registry accepts connections."""
        try:
            self._aws("ecr", "get-authorization-token", "--query", "authorizationData[0].expiresAt", "--output", "text")
        except AwsError as error:
            denied = f"{role_in(error.reason)} may not log in to ECR: allow it ecr:GetAuthorizationToken on *"
            yield sentence(denied if error.denied else str(error))
        hosts = {image["reference"].partition("/")[0] for image in self.options["images"].values() if image}
        for host in sorted(hosts):
            name, _, port = host.partition(":")
            try:
                socket.create_connection((name, int(port or 443)), timeout=10).close()
            except OSError as error:
                yield (
                    f"The instance does not reach the registry {host} ({error}): check its route to the internet or the"
                    " VPC endpoints ecr.api, ecr.dkr and s3."
                )

    def models(self) -> Iterator[str]:
        """Yield the models that cannot be read or that no engine loads; set `weight_bytes` and `model_bytes`."""
        needed = 0
        found: dict[str, tuple[Source, dict[str, ModelFile], Path | None]] = {}
        for name, address in self.options["models"].items():
            if not address:
                continue
            try:
                options: Any = {**self.options, "hub_token": self.hub_token}
                source = open_source(name, address, options)
                directory = locate(Path(self.options["root"]), name, source)
                files = source.listing()
            except (ModelError, OSError) as error:
                yield f"The {name} model cannot be fetched: {error}."
                continue
            weights = sum(about["size"] for file, about in files.items() if file.endswith(WEIGHT_FILES))
            self.weight_bytes += weights
            whole = is_whole(directory)
            found[name] = source, files, directory if whole else None
            if name == GGUF:
                yield from self._no_gguf(*found[name])
            elif not weights or not {"config.json", "adapter_config.json"} & set(files):
                yield (
                    f"The {name} model at {address} is incomplete: it has no *.safetensors or no config.json"
                    " (adapter_config.json). Upload the whole folder as the training or Hugging Face lays it out."
                )
            yield from self._unreadable(name, *found[name])
            if not whole:
                needed += missing_bytes(staging_of(directory), files)
        self.model_bytes = needed
        # One alone is tried by the engine itself. Of several the engine would name the first that it cannot load.
        if any(adapter_of(name) for name in found):
            yield from self._unloadable(found)

    @staticmethod
    def _no_gguf(source: Source, files: dict[str, ModelFile], directory: Path | None) -> Iterator[str]:
        """Yield why llama.cpp has no file to load, or one of another form.

        Args:
            source: of the model.
            files: of it.
            directory: where it lies already, whole; None when it is still to come.
        """
        if GGUF_FILE not in files:
            yield (
                f"There is no {GGUF_FILE} at {source.source} (the {GGUF} model): make it with `python -m training"
                f" gguf`, upload it under that name, or correct model/{GGUF}."
            )
            return
        try:
            if directory is None:
                head = source.head(GGUF_FILE, len(GGUF_MAGIC))
            else:
                with (directory / GGUF_FILE).open("rb") as stream:
                    head = stream.read(len(GGUF_MAGIC))
        except (ModelError, OSError):
            return  # That it cannot be read is a problem of its own.
        if head != GGUF_MAGIC:
            yield f"{GGUF_FILE} at {source.source} is no GGUF file: upload what `python -m training gguf` writes."

    @staticmethod
    def _unloadable(models: dict[str, tuple[Source, dict[str, ModelFile], Path | None]]) -> Iterator[str]:
        """Yield the adapters that the engine would not load, or that were trained on a base of another shape.

        Args:
            models: by name: the source, its files, and where it lies already.
        """

        def head(model: str, file: str) -> bytes:
            source, files, directory = models[model]
            if file not in files:
                return b""
            if directory is None:
                return source.head(file, HEAD_BYTES)
            with (directory / file).open("rb") as stream:
                return stream.read(HEAD_BYTES)

        try:
            base = configuration_of(head("base", "config.json")) if "base" in models else {}
            for name in filter(is_adapter, models):
                if CONFIGURATION not in models[name][1]:
                    continue  # That is a problem of its own.
                problem = unusable(configuration_of(head(name, CONFIGURATION)))
                problem = problem or misfit(shapes_of(head(name, WEIGHTS)), base)
                if problem:
                    yield (
                        f"The {name} model at {models[name][0].source} {problem}. Every adapter has to be a LoRA"
                        " adapter of the one base that is deployed."
                    )
        except (ModelError, OSError) as error:
            yield f"The adapters cannot be compared with the base: {error}."

    @staticmethod
    def _unreadable(name: str, source: Source, files: dict[str, ModelFile], directory: Path | None) -> Iterator[str]:
        """Yield what of a listed model may not be read, or is named by its index and missing.

        Args:
            name: the model's.
            source: where it comes from.
            files: of it.
            directory: where it lies already, whole; None when it is still to come.
        """
        try:
            if not directory:
                source.try_out(files)
            for index in indexes(files):
                content = (directory / index).read_bytes() if directory else source.read(index)
                problem = shard_problem(index, content, files)
                if problem:
                    yield f"The {name} model at {source.source} {problem}."
        except (ModelError, OSError) as error:
            yield f"The {name} model cannot be fetched: {error}."

    def disk(self) -> Iterator[str]:
        """Yield the disks without room for what comes to them: images and models may share one."""
        destinations = {
            "new images": (self._image_directory(), self._image_bytes()),
            "new models": (Path(self.options["root"]), self.model_bytes),
        }
        disks: dict[int, Disk] = {}
        for purpose, (path, size) in destinations.items():
            existing = next(parent for parent in [path, *path.parents] if parent.exists())
            disk = disks.setdefault(existing.stat().st_dev, {"path": str(existing), "need": 0, "purposes": []})
            disk["need"] += size
            if size:
                disk["purposes"].append(f"{gigabytes(size)} for {purpose}")
        for disk in disks.values():
            free = shutil.disk_usage(disk["path"]).free
            self.facts[f"free_bytes:{disk['path']}"] = free
            if disk["need"] and disk["need"] + self.options["reserve"] > free:
                yield (
                    f"The disk of {disk['path']} has {gigabytes(free)} free, and needed are"
                    f" {' and '.join(disk['purposes'])}, with {gigabytes(self.options['reserve'])} to stay free:"
                    " enlarge the volume, or remove what is old (`docker system prune`, old models)."
                )

    def _image_directory(self) -> Path:
        """Return where images will lie; where Docker does not answer, another check says so."""
        try:
            return image_directory(info()) if self._has_docker() else DEFAULT_ROOT
        except StackError:
            return DEFAULT_ROOT

    def _has_docker(self) -> bool:
        return shutil.which("docker") is not None

    def _image_bytes(self) -> int:
        """Return the bytes that the missing images take, unpacked and with their layers while they are pulled."""
        images = [image for image in self.options["images"].values() if image]
        if self._has_docker():
            images = [image for image in images if not has_image(image["reference"])]
        return image_bytes(sum(image.get("size") or 0 for image in images), self.options["unpacked"])

    def memory(self) -> Iterator[str]:
        """Yield a problem unless GPU and memory can hold the model."""
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        total = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal"))
        self.facts["memory_bytes"] = total
        if self.options["accelerator"] == "gpu":
            yield from self._gpu()
            need, why = self.options["memory_reserve"], "for engine and gateway"
        else:
            need, why = (
                self.weight_bytes + self.options["memory_reserve"],
                "for the model on the CPU, engine and gateway",
            )
        if need > total:
            have = gigabytes(total)
            yield f"The instance has {have} of memory, and {gigabytes(need)} are needed {why}: take a larger one."

    def _gpu(self) -> Iterator[str]:
        """Yield a problem unless there is a GPU that can hold the model."""
        vendors = PCI_DEVICES.glob("*/vendor")
        if not any(vendor.read_text(encoding="ascii").strip() == NVIDIA_VENDOR for vendor in vendors):
            yield (
                "The instance has no NVIDIA GPU: take a type that has one, such as g6.2xlarge, or set the parameter"
                " engine/accelerator to cpu."
            )
            return
        if not shutil.which("nvidia-smi"):
            return  # The role nvidia_runtime installs the driver.
        answer = run(["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"], timeout=30)
        sizes = [int(line) for line in answer.stdout.split() if line.isdigit()]
        if answer.returncode != 0 or not sizes:
            yield f"The GPU does not answer ({last_line(answer.stdout + answer.stderr)}): reboot the instance."
            return
        total = max(sizes) * 1024**2
        self.facts["gpu_memory_bytes"] = total
        need = self.weight_bytes + self.options["memory_reserve"]
        if need > total * GPU_SHARE:
            yield (
                f"The GPU has {gigabytes(total)} of memory, of which the engine takes {GPU_SHARE:.0%}, and the model's"
                f" weights need {gigabytes(self.weight_bytes)}, and {gigabytes(self.options['memory_reserve'])} beside"
                " them: take a larger GPU or a smaller model."
            )
        yield from self._capability()

    def _capability(self) -> Iterator[str]:
        """Yield a problem unless every GPU can compute as the engine's profile wants it.

        A question of its own: a driver that does not know this one answers none of what is asked with it.
        """
        answer = run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"], timeout=30)
        known = {line.strip() for line in answer.stdout.splitlines() if CAPABILITY.fullmatch(line.strip())}
        for capability in sorted(known) if answer.returncode == 0 else ():
            problem = capability_problem(
                "The GPU of the instance", capability, self.options["engine_profile"], self.options["engine_options"]
            )
            if problem:
                yield problem

    def port(self) -> Iterator[str]:
        """Yield a problem for each port of gateway, edge and router that is neither free nor the stack's own."""
        yield from self._port(self.options["port"], "the gateway's")
        for port in self.options["edge_ports"]:
            yield from self._port(port, "the edge's")
        if self.options["router_port"]:
            yield from self._port(self.options["router_port"], "the router's")

    def _port(self, port: int, whose: str) -> Iterator[str]:
        if self._has_docker():
            listed = run(["docker", "ps", "--filter", f"publish={port}", "--format", "{{.Names}} {{.Labels}}"]).stdout
            for line in listed.splitlines():
                if f"{PROJECT_LABEL}={self.options['project']}" in line:
                    return
                yield f"The container {line.split()[0]} has {whose} port {port}: stop it, or choose another port."
                return
        for inode in listening(port):
            yield f"{owner(inode)} has {whose} port {port}: stop it, or choose another port."
            return


def listening(port: int) -> list[str]:
    """Return the sockets (inodes) that listen on a TCP port, from /proc/net; see proc_pid_net(5)."""
    inodes: list[str] = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = [line.split() for line in Path(table).read_text(encoding="ascii").splitlines()[1:]]
        except OSError:
            continue
        inodes += [row[9] for row in rows if row[3] == LISTEN and int(row[1].rpartition(":")[2], 16) == port]
    return inodes


def owner(inode: str) -> str:
    """Return the process that has a socket, in words."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) == f"socket:[{inode}]":
                process = link.parents[1]
                return f"The process {process.name} ({(process / 'comm').read_text(encoding='utf-8').strip()})"
        except OSError:
            continue
    return "Another process"


def check(instance: Instance, patience: float) -> list[str]:
    """Run the checks, those that wait for AWS side by side; return the problems in a fixed order.

    Args:
        instance: whose checks run.
        patience: seconds for all of them.
    """
    by_check: dict[str, list[str]] = {}

    def run_all(*names: str) -> None:
        for name in names:
            run_check: Callable[[], Iterator[str]] = getattr(instance, name)
            problems: list[str] = []
            try:
                problems.extend(run_check())
            except (StackError, OSError, ValueError, subprocess.SubprocessError) as error:
                problems.append(f"The instance could not be checked ({name}): {error}.")
            by_check[name] = problems

    # What needs another's results comes after it: disk and memory need the models, those of the Hub a secret.
    from_hub = any(source.startswith("hf://") for source in instance.options["models"].values())
    models = ("models", "disk", "memory")
    lanes: list[tuple[str, ...]] = [("systemd", "training", "docker", "port"), ("clock",), ("registry",)]
    lanes += [("secrets", *models)] if from_hub else [("secrets",), models]
    if not shutil.which("aws"):
        command = INSTALL_AWS.get(read()["id"], "")
        how = f"install it with `{command}` in a session (`aws ssm start-session`)" if command else INSTALL_AWS_BY_HAND
        by_check["aws"] = [
            f"The aws command is not installed on the instance: {how}, or use AWS's Deep Learning AMI, which has it."
        ]
        lanes = [("systemd", "training", "docker", "port"), ("clock",), ("disk", "memory")]
    deadline = time.monotonic() + patience
    # Daemons, so that one that hangs does not keep the module from ending.
    threads = [threading.Thread(target=run_all, args=lane, daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    order = ["aws", *(name for lane in lanes for name in lane)]
    problems = [problem for name in order for problem in by_check.get(name, [])]
    late = [name for name in order[1:] if name not in by_check]
    if late:
        problems.append(
            f"The checks {', '.join(late)} did not end within {patience:.0f} s: AWS, Docker or the instance's disk does"
            " not answer. Open a session with `aws ssm start-session`, or reboot the instance."
        )
    return problems


def main() -> None:
    """Check and report; the role fails when there is a problem, together with those of the controller."""
    module = AnsibleModule(
        argument_spec={
            "region": {"type": "str", "required": True},
            "images": {"type": "dict", "default": {}},
            "models": {"type": "dict", "default": {}},
            "secrets": {"type": "list", "elements": "dict", "default": [], "no_log": False},
            "root": {"type": "path", "required": True},
            "hub": {"type": "str", "default": "https://huggingface.co"},
            "hub_token_file": {"type": "path", "default": "", "no_log": False},
            "accelerator": {"type": "str", "choices": ["gpu", "cpu"], "default": "gpu"},
            "engine_profile": {"type": "str", "default": ""},
            "engine_options": {"type": "dict", "default": {}},
            "port": {"type": "int", "default": 8080},
            "edge_ports": {"type": "list", "elements": "int", "default": []},
            "edge_domain": {"type": "str", "default": ""},
            "router_port": {"type": "int", "default": 0},
            "router_name": {"type": "str", "default": "engine-pool.slm-ft-serving.internal"},
            "project": {"type": "str", "default": "slm-ft-serving"},
            "reserve": {"type": "int", "default": 2 * 1024**3},
            "unpacked": {"type": "float", "default": 3.5},
            "memory_reserve": {"type": "int", "default": 3 * 1024**3},
            "clock_tolerance": {"type": "int", "default": 120},
            "patience": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    instance = Instance(module.params)
    problems = check(instance, module.params["patience"])
    module.exit_json(changed=False, problems=problems, facts=instance.facts)


if __name__ == "__main__":
    main()
