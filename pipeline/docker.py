"""The docker client: the operator's own, found on PATH or named by the variable DOCKER."""

import functools
import os
import subprocess

from pipeline.errors import PipelineError


def client() -> str:
    """Return the client's name or path."""
    return os.environ.get("DOCKER", "docker")


def environment() -> dict[str, str]:
    """Return the environment in which a build gives one manifest, whatever this user has set."""
    return {**os.environ, "DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


def run(*arguments: str, check: bool = True, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a docker command and return the finished process, its output as text.

    Args:
        arguments: The command and its arguments.
        check: Whether a failure is an error.
        given: Standard input.

    Raises:
        PipelineError: It failed and `check` is set, or there is no client.
    """
    command = [client(), *arguments]
    try:
        result = subprocess.run(command, env=environment(), input=given, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise PipelineError(f"There is no docker client {client()!r}: install Docker, or set DOCKER.") from error
    if check and result.returncode != 0:
        raise PipelineError(f"docker {' '.join(arguments[:2])} failed: {result.stderr.strip()}")
    return result


def show(*arguments: str) -> None:
    """Run a docker command whose progress goes to the terminal.

    Raises:
        PipelineError: It failed, or there is no client.
    """
    try:
        # Standard output holds results alone; docker's progress is none.
        result = subprocess.run([client(), *arguments], env=environment(), stdout=2, check=False)
    except FileNotFoundError as error:
        raise PipelineError(f"There is no docker client {client()!r}: install Docker, or set DOCKER.") from error
    if result.returncode != 0:
        raise PipelineError(f"docker {' '.join(arguments[:2])} failed; its output is above.")


def inspect(image: str, template: str) -> str | None:
    """Return what Go's template makes of an image that the daemon has; None where it has none.

    Raises:
        PipelineError: No daemon answers.
    """
    result = run("image", "inspect", "--format", template, image, check=False)
    if result.returncode == 0:
        return result.stdout.strip()
    if "no such image" in result.stderr.lower():
        return None
    raise PipelineError(f"docker image inspect failed: {result.stderr.strip()}")


@functools.cache
def has_buildx() -> bool:
    """Return whether the client has buildx; a client without it builds with the BuildKit of its daemon."""
    return run("buildx", "version", check=False).returncode == 0
