"""Try an image before it is pushed: it starts as it will run in production, and holds nothing that it should not."""

import http.client
import json
import time
from dataclasses import dataclass

from pipeline import docker
from pipeline.definitions import Image
from pipeline.errors import PipelineError

START_TIMEOUT_SECONDS = 60.0
PAUSE_SECONDS = 0.02
# As the compose file runs every service.
CONFINED = (
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--tmpfs", "/tmp:mode=1777"),  # noqa: S108 - the container's own
)
LABELS = ("revision", "version", "source", "licenses")
LABEL_PREFIX = "org.opencontainers.image."
# Run by the image's own Python: prints what is there of programs and modules that build or install.
CONTENTS = """
import glob, importlib.util, json, os, shutil
programs = [name for name in ("cc", "gcc", "g++", "clang", "make", "pip", "pip3", "poetry", "uv") if shutil.which(name)]
modules = [name for name in ("pip", "poetry", "ensurepip") if importlib.util.find_spec(name)]
for name in ("pip", "poetry"):
    modules += glob.glob(f"/usr/lib/python3*/**/{name}", recursive=True)
    modules += glob.glob(f"/usr/local/lib/python3*/**/{name}", recursive=True)
print(json.dumps({"found": programs + modules, "user": os.getuid()}))
"""
ENGINE_VERSION = "import vllm; print(vllm.__version__)"
# Its libraries are there, and load on this processor; a model to serve is not at hand.
LLAMACPP_LOADS = "import xllamacpp; xllamacpp.CommonParams()"
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Report:
    """What was seen of an image.

    Attributes:
        megabytes: Its size in the daemon.
        start_seconds: From `docker run` to its first answer; None where none is asked for.
    """

    megabytes: float
    start_seconds: float | None

    def __str__(self) -> str:
        """Return a line for people."""
        start = "" if self.start_seconds is None else f", answers after {self.start_seconds:.1f} s"
        return f"{self.megabytes:.0f} MB{start}"


def smoke(image: Image, name: str) -> Report:
    """Try an image.

    Args:
        image: What it is.
        name: Its name in the daemon.

    Raises:
        PipelineError: It is not there, or not as it should be.
    """
    size = docker.inspect(name, "{{.Size}}")
    if size is None:
        raise PipelineError(f"There is no image {name} here: build it first, with `make images`.")
    problems = [*_label_problems(name), *_size_problems(image, int(size))]
    if problems:
        raise PipelineError(f"{name}: {'; '.join(problems)}.")
    start: float | None = None
    if image.name == "gateway":
        _require_contents(name)
        start = gateway_start(name)
    elif image.name == "engine":
        _require_engine_version(image, name)
    elif image.name == "llamacpp":
        _require_contents(name)
        docker.run("run", "--rm", *CONFINED, "--entrypoint", "python3", name, "-c", LLAMACPP_LOADS)
    else:
        docker.run("run", "--rm", *CONFINED, name, "--help")
    return Report(int(size) / MEGABYTE, start)


def _label_problems(name: str) -> list[str]:
    labels = json.loads(docker.inspect(name, "{{json .Config.Labels}}") or "null") or {}
    # Where git knows no remote, there is no source to name.
    wanted = [key for key in LABELS if key != "source"]
    return [f"it has no label {LABEL_PREFIX}{key}" for key in wanted if not labels.get(f"{LABEL_PREFIX}{key}")]


def _size_problems(image: Image, size: int) -> list[str]:
    limit = image.max_megabytes
    if limit is None or size <= limit * MEGABYTE:
        return []
    return [f"it has {size / MEGABYTE:.0f} MB, and max_megabytes in docker/images.toml is {limit}"]


def _require_contents(name: str) -> None:
    """Check that an image runs as nobody's root and without what builds or installs.

    Raises:
        PipelineError: It does not.
    """
    printed = docker.run("run", "--rm", *CONFINED, "--entrypoint", "python3", name, "-c", CONTENTS).stdout
    seen = json.loads(printed)
    if seen["found"]:
        raise PipelineError(f"{name} holds what only a build needs: {', '.join(seen['found'])}.")
    if seen["user"] == 0:
        raise PipelineError(f"{name} runs as root.")


def _require_engine_version(image: Image, name: str) -> None:
    # Without a GPU an engine cannot load a model; that its packages import is what can be tried anywhere.
    printed = docker.run("run", "--rm", "--cap-drop", "ALL", "--entrypoint", "python3", name, "-c", ENGINE_VERSION)
    version = (printed.stdout.split() or [""])[-1]
    if version.partition("+")[0] != image.version:
        raise PipelineError(f"{name} holds vLLM {version or 'of no version'}, not {image.version}.")


def gateway_start(name: str) -> float:
    """Start a gateway as production does, let its own health check judge it; return the seconds to its first answer.

    Raises:
        PipelineError: It does not start.
    """
    began = time.monotonic()
    container = docker.run(
        *("run", "--detach", *CONFINED, "--publish", "127.0.0.1::8080"),
        # The engine is not there: the gateway's life is its own.
        *("--env", "GATEWAY_AUTH=off", "--env", "GATEWAY_ENGINE_URL=http://127.0.0.1:9"),
        name,
    ).stdout.strip()
    try:
        port = int(docker.run("port", container, "8080/tcp").stdout.split()[0].rpartition(":")[2])
        while not _is_live(port):
            if time.monotonic() - began > START_TIMEOUT_SECONDS:
                logs = docker.run("logs", "--tail", "20", container, check=False)
                raise PipelineError(
                    f"{name} does not answer within {START_TIMEOUT_SECONDS:.0f} s. The end of its log:\n"
                    f"{logs.stdout}{logs.stderr}"
                )
            time.sleep(PAUSE_SECONDS)
        seconds = time.monotonic() - began
        check: list[str] | None = json.loads(docker.inspect(name, "{{json .Config.Healthcheck.Test}}") or "null")
        if not check or check[0] != "CMD":
            raise PipelineError(f"{name} has no health check of its own.")
        docker.run("exec", container, *check[1:])
    finally:
        docker.run("rm", "--force", container, check=False)
    return seconds


def _is_live(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/live")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
