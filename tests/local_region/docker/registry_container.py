"""The registry behind the fake ECR: one container, with TLS by the region's own authority."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time

from tests.local_region import names
from tests.local_region.docker import certificates, containers
from tests.local_region.docker.engine import DockerEngine
from tests.local_region.errors import RegionError
from tests.local_region.state import RegionState

READY_TIMEOUT_SECONDS = 30


def ensure(engine: DockerEngine, state: RegionState, port: int, image: str) -> None:
    """Start the registry on 127.0.0.1 of this machine and under ECR's name in the region's network, and wait for it.

    Args:
        engine: What it runs on.
        state: The region's.
        port: Its port on this machine.
        image: The registry's image.

    Raises:
        RegionError: It does not answer in time.
    """
    renewed = certificates.ensure(state.certificates, names.ECR_HOST, state.name)
    write_login(state, port)
    container = names.registry_container(state.name)
    settings = f"{containers.image_id(engine, image)} {port}"
    if renewed or containers.settings_of(engine, container) != settings:
        containers.remove(engine, container)
        _create(engine, state, port, image, settings)
    if not containers.is_running(engine, container):
        engine.run("start", container)
    wait_until_ready(engine, state, port)


def _create(engine: DockerEngine, state: RegionState, port: int, image: str, settings: str) -> None:
    volume = containers.ensure_volume(engine, state.name, "registry")
    engine.run(
        *("create", "--name", names.registry_container(state.name)),
        *("--label", containers.label(state.name), "--label", containers.settings_label(settings)),
        *("--label", containers.folder_label(state.folder)),
        *("--network", names.network_name(state.name), "--network-alias", names.ECR_HOST),
        *("--publish", f"127.0.0.1:{port}:443"),
        *("--volume", f"{volume}:/var/lib/registry", "--volume", f"{state.certificates}:/certificates:ro"),
        image,
    )


def write_login(state: RegionState, port: int) -> None:
    """Write the registry's log-in where `docker --config` finds it, so that nobody has to log in to push."""
    token = base64.b64encode(f"{names.ECR_USER}:{names.ECR_PASSWORD}".encode()).decode()
    content = {"auths": {f"127.0.0.1:{port}": {"auth": token}}}
    (state.docker_config / "config.json").write_text(json.dumps(content), encoding="utf-8")


def trouble(state: RegionState, port: int) -> str:
    """Ask the registry, with its authority and its password; return what is wrong, or nothing."""
    context = ssl.create_default_context(cafile=str(state.certificates / "ca.crt"))
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=2)
    token = base64.b64encode(f"{names.ECR_USER}:{names.ECR_PASSWORD}".encode()).decode()
    try:
        connection.request("GET", "/v2/", headers={"Authorization": f"Basic {token}"})
        status = connection.getresponse().status
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    return "" if status == http.HTTPStatus.OK else f"it answers with status {status}"


def wait_until_ready(engine: DockerEngine, state: RegionState, port: int) -> None:
    """Wait until the registry answers.

    Raises:
        RegionError: That takes too long; the message holds the end of its log.
    """
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while wrong := trouble(state, port):
        if time.monotonic() > deadline:
            log = engine.run("logs", "--tail", "5", names.registry_container(state.name), check=False)
            end = f"The end of its log:\n{log.stdout}{log.stderr}"
            raise RegionError(f"The registry is not ready after {READY_TIMEOUT_SECONDS} s ({wrong}). {end}")
        time.sleep(0.1)
