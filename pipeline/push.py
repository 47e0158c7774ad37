"""Push a commit's image under the commit, once."""

import json
import sys
import time
from dataclasses import dataclass

from pipeline import docker
from pipeline.definitions import ENGINES, Image
from pipeline.errors import PipelineError
from pipeline.registry import Registry


@dataclass(frozen=True)
class Pushed:
    """An image in ECR.

    Attributes:
        name: What the commands call it.
        address: Registry and repository.
        tag: Its tag.
        digest: Its manifest's.
    """

    name: str
    address: str
    tag: str
    digest: str


def push(image: Image, name: str, registry: Registry, *, address: str = "") -> Pushed:
    """Push an image, unless ECR holds this very one under its tag already.

    Args:
        image: What it is.
        name: Its name in the daemon.
        registry: The account's.
        address: Another way to the registry, to which docker is logged in; empty means ECR's own.

    Raises:
        PipelineError: ECR holds another one under the tag, or it cannot be pushed.
    """
    tag = name.rpartition(":")[2]
    identity = docker.inspect(name, "{{.Id}}")
    if identity is None:
        raise PipelineError(f"There is no image {name} here: build it first, with `make images`.")
    own = registry.address(image.repository)
    held = registry.held(image.repository, tag)
    repository = f"{address or own}/{image.repository}"
    if held is not None:
        if identity not in (held.digest, held.configuration):
            raise PipelineError(
                f"{repository} holds another image under {tag}, {held.digest}, and a tag is used once. "
                "Deploy that one, or make a new commit and build it."
            )
        sys.stderr.write(f"==> {image.name}: in the registry already\n")
        return Pushed(image.name, repository, tag, held.digest)
    if not address:
        registry.log_in(own)
    began = time.monotonic()
    remote = f"{repository}:{tag}"
    sys.stderr.write(f"==> {image.name}: pushed to {remote}\n")
    docker.run("tag", name, remote)
    try:
        docker.show("push", remote)
        digest = _digest(repository, remote)
    finally:
        docker.run("rmi", "--no-prune", remote, check=False)
    sys.stderr.write(f"    done in {time.monotonic() - began:.0f} s\n")
    return Pushed(image.name, repository, tag, digest)


def _digest(repository: str, remote: str) -> str:
    """Return the digest under which the registry keeps what was just pushed.

    Raises:
        PipelineError: The daemon does not know it.
    """
    known = json.loads(docker.inspect(remote, "{{json .RepoDigests}}") or "null") or []
    for each in known:
        name, _, digest = each.partition("@")
        if name == repository:
            return str(digest)
    raise PipelineError(f"{remote} was pushed, but docker does not know its digest.")


def deploy_commands(pushed: list[Pushed]) -> list[str]:
    """Return the commands that bring these images to the instance."""
    tags = {each.name: each.tag for each in pushed}
    commands = []
    engines = [name for name in ENGINES if name in tags]
    deploy = "ansible-playbook playbooks/deploy.yml"
    if "gateway" in tags and engines:
        commands += [f"{deploy} -e stack_revision={tags['gateway']}{ENGINES[name]}" for name in engines]
    else:
        commands += [f"{deploy} -e images_{name}_tag={tags[name]}" for name in ("gateway", "edge") if name in tags]
        commands += [f"{deploy} -e images_engine_tag={tags[name]}{ENGINES[name]}" for name in engines]
    if "trainer" in tags:
        commands.append(f"ansible-playbook playbooks/finetune.yml -e images_trainer_tag={tags['trainer']}")
    return commands
